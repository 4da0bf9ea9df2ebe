// Tests of the page's modules in a document, without a node; page_runner.js runs them.

const frame = () => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));

/** A box that scrolls, as that of the output, with rows that have their number; `seen` has those in sight. */
async function numbered(count) {
  const { Rows } = await load("rows");
  const box = document.createElement("div");
  box.style.cssText = "position: fixed; inset: 0; width: 200px; height: 300px; overflow: auto; padding: 8px 0";
  document.body.append(box);
  const make = () => Object.assign(document.createElement("div"), { className: "row-of-20px" });
  const fill = (element, index) => {
    element.style.height = "20px";
    element.textContent = index;
  };
  const rows = new Rows(box, { height: 20, make, fill, stamp: (index) => index });
  rows.count = count;
  rows.drawNow();
  const seen = () => {
    const { top, bottom } = box.getBoundingClientRect();
    return [...box.querySelectorAll(".row-of-20px")]
      .filter((row) => row.getBoundingClientRect().top > top - 1 && row.getBoundingClientRect().bottom < bottom + 1)
      .map((row) => Number(row.textContent));
  };
  return { rows, box, seen };
}

const tests = {
  async "more rows than an element can be high, to the last one"() {
    const count = 3_200_000; // 64 million characters in rows of 20
    const { rows, box, seen } = await numbered(count);
    try {
      same([seen()[0], rows.atEnd], [0, false]);
      // By hand.
      box.scrollTop = box.scrollHeight;
      await frame();
      same([seen().at(-1), rows.atEnd], [count - 1, true]);
      box.scrollTop = box.scrollHeight / 2;
      await frame();
      if (Math.abs(seen()[0] - count / 2) > 100) throw new Error(`in the middle is row ${seen()[0]}`);
      const middle = seen()[0];
      rows.top += 40;
      await frame();
      same([seen()[0] - middle >= 1, seen()[0] - middle <= 3], [true, true]);
      // By the page.
      rows.top = 0;
      rows.drawNow();
      same(seen()[0], 0);
      for (const index of [1_234_567, count - 1, 17]) {
        rows.reveal(index, true);
        rows.drawNow();
        same(seen().includes(index), true);
        if (box.querySelectorAll(".row-of-20px").length > 60) throw new Error("too many elements");
      }
      rows.toEnd();
      rows.drawNow();
      same(seen().at(-1), count - 1);
    } finally {
      box.remove();
    }
  },

  async "fewer rows are as high as they are"() {
    const { rows, box, seen } = await numbered(100_000);
    try {
      rows.top = 20 * 5_000;
      rows.drawNow();
      same([box.scrollTop, seen()[0]], [20 * 5_000, 5_000]);
      rows.toEnd();
      rows.drawNow();
      same([seen().at(-1), box.scrollHeight], [99_999, 100_000 * 20 + 16]);
    } finally {
      box.remove();
    }
  },
};

run(tests);
