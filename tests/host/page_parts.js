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
  async "charts ask for what was measured while nobody looked"() {
    const { JobCharts } = await load("charts");
    const real = window.fetch;
    const at = (second) => `2026-01-01T00:00:${String(second).padStart(2, "0")}.000Z`;
    const sample = (second) => ({ time: at(second), cpuPercent: second });
    const kept = Array.from({ length: 60 }, (_, second) => sample(second));
    const asked = [];
    let now = 10; // of this second the stream tells first
    let stream = null;
    window.fetch = async (url, options) => {
      if (!url.pathname.endsWith("/jobs/x/metrics")) return real(url, options);
      const { headers } = options;
      if (headers.Accept === "text/event-stream") {
        const first = `data: ${JSON.stringify(sample(now))}\n\n`;
        const start = (to) => (stream = to).enqueue(new TextEncoder().encode(first));
        return new Response(new ReadableStream({ start }));
      }
      const since = url.searchParams.get("since");
      asked.push(since);
      const samples = kept.filter(({ time }) => time <= at(now) && time >= (since ?? ""));
      await frame(); // the stream is faster
      return new Response(JSON.stringify({ samples }));
    };
    const charts = new JobCharts("x");
    const path = () => charts.element.querySelector(".line").getAttribute("d");
    const until = async (condition) => {
      for (let frames = 0; !condition(); frames += 1) {
        if (frames > 300) throw new Error(`not in time; asked for ${asked}, drawn is ${path()}`);
        await frame();
      }
    };
    try {
      await charts.start(false);
      await until(() => asked.length === 2 && path()?.split("L").length === 11);
      // The window is hidden, and looked at again.
      now = 50;
      stream.close();
      await until(() => path().split("L").length === 51);
      same([path().split("M").length, asked], [2, [null, at(10), at(10)]]);
    } finally {
      charts.close();
      window.fetch = real;
    }
  },
};

run(tests);
