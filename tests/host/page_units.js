// Tests of the page's modules that need no document; page_runner.js runs them.

const tests = {
  async "events in pieces of any size"() {
    const { EventParser } = await load("sse");
    const text =
      ": hello\nretry: 1\n\nid: 7\n\nid: 8\nevent: job\ndata: {\ndata: }\n\ndata:x\r\n\r\nevent: none\n\ndata";
    const wanted = [
      [null, "", "7"],
      ["job", "{\n}", "8"],
      ["message", "x", "8"],
      [null, "", "8"],
    ];
    for (const size of [1, 2, 3, 1000]) {
      const got = [];
      const parser = new EventParser(({ event, data, id }) => got.push([event, data, id]));
      for (let at = 0; at < text.length; at += size) parser.feed(text.slice(at, at + size));
      same(got, wanted);
    }
  },

  async "colours, and nothing else of a terminal's"() {
    const { parse, plain } = await load("ansi");
    const shown = (line) => parse(line).parts.map(({ text, style }) => [text, style.fg, style.bg, style.bold]);
    same(shown("a\x1b[31;1mb\x1b[0mc"), [
      ["a", null, null, false],
      ["b", 1, null, true],
      ["c", null, null, false],
    ]);
    same(shown("\x1b[38;5;196mx\x1b[48;2;1;2;3my"), [
      ["x", "rgb(255, 0, 0)", null, false],
      ["y", "rgb(255, 0, 0)", "rgb(1, 2, 3)", false],
    ]);
    same(shown("\x1b[38:5:12mx\x1b[97mz\x1b[39m-"), [
      ["x", 12, null, false],
      ["z", 15, null, false],
      ["-", null, null, false],
    ]);
    same(shown("\x1b[38;2;999;0;0mx\x1b[38mx\x1b[38;5mx"), [
      ["x", null, null, false],
      ["x", null, null, false],
      ["x", null, null, false],
    ]);
    same(plain("\x1b[2J\x1b[1;1H\x1b[?25lhome\x1b(B\x1bc"), "home");
    same(plain("\x1b]8;;https://x/\x07link\x1b]8;;\x1b\\!"), "link!");
    same(plain("\x1bPq#0\x1b\\picture"), "picture");
    same(plain("50%\r100%\r"), "100%");
    same(plain("tab\there"), "tab\there");
    same(plain("end \x1b"), "end ␛");
    same(plain("\x1b[31"), "␛[31");
    same(plain("\x1b]open \x1b[32mgreen"), "␛]open green");
    same(plain("\0\b\x7f\x9b\u202e\u2066"), "␀␈␡⟨9b⟩⟨202e⟩⟨2066⟩");
  },

  async "colours go on in the next line of the same stream"() {
    const { Log } = await load("log");
    const log = new Log();
    log.add({ stream: "stdout", time: "2026-01-01T00:00:00Z", text: "\x1b[31mred\n" });
    log.add({ stream: "stderr", time: "2026-01-01T00:00:00Z", text: "plain\n" });
    log.add({ stream: "stdout", time: "2026-01-01T00:00:00Z", text: "still\n" });
    same(
      log.lines.map((line) => line.style.fg),
      [null, null, 1],
    );
  },

  async "hostile lines are gone through a few times at most"() {
    const { parse } = await load("ansi");
    // A text that counts how many of its characters are looked at.
    const counted = (text) => {
      const line = {
        looks: 0,
        length: text.length,
        endsWith: (end) => text.endsWith(end),
        charCodeAt: (i) => line.at(i).charCodeAt(0),
        slice: (from, to) => {
          line.looks += to - from;
          return text.slice(from, to);
        },
        at: (i) => {
          line.looks += 1;
          return text[i] ?? "";
        },
      };
      return new Proxy(line, { get: (_, key) => (/^\d+$/.test(String(key)) ? line.at(Number(key)) : line[key]) });
    };
    for (const evil of ["\x1b]", "\x1b[", "\x1b[1;", "\x1b", "\x1b]\x1b\\", "\x1bP\x1b[31m", "\r", "\x1b[31m\x1b]"]) {
      const line = counted(evil.repeat(2_000));
      parse(line);
      if (line.looks < line.length / 2 || line.looks > 8 * line.length)
        throw new Error(`${JSON.stringify(evil)}: ${line.looks} looks at ${line.length} characters`);
    }
  },

  async "lines in pieces, of both streams"() {
    const { Log } = await load("log");
    const log = new Log();
    const add = (stream, text) => log.add({ stream, time: "2026-01-01T00:00:00Z", text });
    add("stdout", "one\ntw");
    add("stderr", "error");
    add("stdout", "o\n\nfour");
    add("stderr", "!\n");
    log.add({ stream: "stdout", time: "2026-01-01T00:00:00Z", base64: btoa("\xff\xe2\x82\xac\n") });
    same(
      log.lines.map(({ text, stream }) => [text, stream]),
      [
        ["one", 0],
        ["two", 0],
        ["error!", 1],
        ["", 0],
        ["four\ufffd€", 0],
      ],
    );
  },

  async "a long line becomes several, and nothing of it is lost"() {
    const { Log } = await load("log");
    const log = new Log();
    const text = "0123456789".repeat(1_000);
    for (const part of [text.slice(0, 3_999), text.slice(3_999, 4_001), text.slice(4_001), "\nnext\n"]) {
      log.add({ stream: "stdout", time: "2026-01-01T00:00:00Z", text: part });
    }
    same(
      log.lines.map(({ text, more }) => [text.length, more]),
      [
        [4000, true],
        [4000, true],
        [2000, false],
        [4, false],
      ],
    );
    same(
      log.lines
        .slice(0, 3)
        .map((line) => line.text)
        .join(""),
      text,
    );
  },

  async "a line as long as a piece ends where its newline is"() {
    const { Log } = await load("log");
    const log = new Log();
    for (const text of ["x".repeat(4_000), "\n", "next\n", "y".repeat(4_000), "\n\n", "end"]) {
      log.add({ stream: "stdout", time: "2026-01-01T00:00:00Z", text });
    }
    same(
      log.lines.map(({ text, more }) => [text.length, more]),
      [
        [4000, false],
        [4, false],
        [4000, false],
        [0, false],
        [3, false],
      ],
    );
  },

  async "what is lost is told in its place and added up"() {
    const { Log, amount } = await load("log");
    const log = new Log();
    log.add({ stream: "stdout", time: "2026-01-01T00:00:00Z", text: "one\n" });
    log.lose({ time: "2026-01-01T00:00:00Z", reason: "limit", lines: 3, entries: 0, bytes: 2048 });
    log.lose({ time: "2026-01-01T00:00:00Z", reason: "journal", lines: 0, entries: 1, bytes: 0 });
    same(
      log.lines.map(({ text }) => text),
      [
        "one",
        "3 lines (2.0 KB) lost here: the job has used up its share of the log",
        "output in 1 piece lost here: it is not in the journal any more",
      ],
    );
    same(log.lost, { places: 2, lines: 3, entries: 1, bytes: 2048 });
    same(amount(log.lost), "3 lines and output in 1 piece (2.0 KB)");
    same(amount({}), "output");
  },

  async "the oldest lines go, and numbers stay"() {
    const { Log, Selection, View } = await load("log");
    const log = new Log(10_000);
    const found = new View(log, new Selection({ text: "line 14999" }));
    for (let i = 0; i < 30_000; i += 1) {
      log.add({ stream: "stdout", time: "2026-01-01T00:00:00Z", text: `line ${i}\n` });
      if (i === 15_000) while (found.advance());
    }
    same([log.end, log.lines.length <= 15_000, log.line(log.first).text], [30_000, true, `line ${log.first}`]);
    same(found.matching, [14_999]);
    while (found.advance());
    same(found.matching, []);
    // Nor may few and large ones grow without end.
    for (let i = 0; i < 200; i += 1)
      log.add({ stream: "stdout", time: "2026-01-01T00:00:00Z", text: "x".repeat(1 << 20) });
    const held = log.lines.reduce((sum, line) => sum + line.text.length, 0);
    same(held <= 65 << 20, true);
  },

  async "lines chosen by text and stream"() {
    const { Log, Selection, View, STDERR, STDOUT } = await load("log");
    const log = new Log();
    log.add({ stream: "stdout", time: "2026-01-01T00:00:00Z", text: "Error one\nfine\n" });
    log.add({ stream: "stderr", time: "2026-01-01T00:00:00Z", text: "an \x1b[31merr\x1b[0mor\n" });
    const chosen = (options) => {
      const view = new View(log, new Selection(options));
      while (view.advance());
      return [view.shown, view.matching];
    };
    same(chosen({ text: "error" }), [null, [0, 2]]);
    same(chosen({ text: "Error" }), [null, [0]]);
    same(chosen({ text: "error", only: true }), [
      [0, 2],
      [0, 2],
    ]);
    same(chosen({ text: "error", only: true, streams: new Set([STDERR]) }), [[2], [2]]);
    same(chosen({ streams: new Set([STDOUT]) }), [[0, 1], []]);
    same(chosen({ text: "(.*)+$" }), [null, []]);
  },

  async "long lines on several rows"() {
    const { Log, Selection, View } = await load("log");
    const { Folds } = await load("folds");
    const log = new Log(10_000);
    const add = (text, stream = "stdout") => log.add({ stream, time: "2026-01-01T00:00:00Z", text });
    const view = new View(log, new Selection());
    const folds = new Folds(log, view, 10);
    const update = () => {
      while (view.advance());
      folds.update();
      return folds.count;
    };
    add("0123456789\n\n0123456789abc\n\x1b[31m0123456789\x1b[0m\nopen");
    same(update(), 1 + 1 + 2 + 1 + 1);
    same(
      [0, 1, 2, 3, 4, 5].map((row) => Object.values(folds.at(row))),
      [
        [0, 0],
        [1, 0],
        [2, 0],
        [2, 10],
        [3, 0],
        [4, 0],
      ],
    );
    same(
      [0, 1, 2, 3, 4].map((index) => folds.row(index)),
      [0, 1, 2, 4, 5],
    );
    // A line that grows behind others.
    add("error\n", "stderr");
    same(update(), 7);
    add(" and wide\n");
    same([update(), folds.row(5)], [8, 7]);
    // The oldest go.
    for (let i = 0; i < 20_000; i += 1) add("0123456789abc\n");
    same([update(), folds.at(0), folds.at(3)], [log.lines.length * 2, { index: 0, from: 0 }, { index: 1, from: 10 }]);
    same(folds.gone, 8); // others came and went in between
  },

  async "changes and pages of the list in any order"() {
    const { JobStore } = await load("jobs");
    const job = (uuid, status, more = {}) => ({ uuid, status, command: "true", args: [], name: uuid, ...more });
    const store = new JobStore();
    const mark = store.mark();
    store.change(job("b", "COMPLETED")); // while the page was on its way, which has it as it was
    store.delete("c");
    store.page([job("b", "RUNNING"), job("a", "FAILED"), job("c", "FAILED")], mark);
    same(
      store.select({}).map(({ uuid, status }) => [uuid, status]),
      [
        ["b", "COMPLETED"],
        ["a", "FAILED"],
      ],
    );
    store.page([job("b", "STOPPED")], store.mark());
    same(store.get("b").status, "STOPPED");
    store.page([job("z", "FAILED")], store.mark());
    store.change(job("new", "RUNNING"));
    same(
      store.select({}).map(({ uuid }) => uuid),
      ["new", "b", "a", "z"],
    );
    same(
      store.select({ group: "failed" }).map(({ uuid }) => uuid),
      ["a", "z"],
    );
    same(
      store.select({ text: "NEW" }).map(({ uuid }) => uuid),
      ["new"],
    );
    same(
      store.select({ sort: "name", reverse: true }).map(({ uuid }) => uuid),
      ["z", "new", "b", "a"],
    );
    same(store.counts().all, 4);
  },

  async "a job that is run again is the same job"() {
    const { bodyOf, leftOut, valuesOf } = await load("newjob");
    const asked = {
      command: "bash",
      args: ["-c", 'echo "$1"\n', "it's", ""],
      name: "again",
      cpuCores: "0-3,5",
      maxCpu: 150,
      maxMemory: 512,
      maxDisk: 2048,
      maxIoBps: 1_000_000,
      priority: -3,
      retries: 2,
      maxRuntimeMs: 1500,
      retryDelayMs: 250,
      environment: { PATH: "/bin", EMPTY: "", SPACED: " a = b " },
    };
    const by = (one, other) => (one[0] < other[0] ? -1 : 1);
    const again = (job) => Object.entries(bodyOf(valuesOf(job))).sort(by);
    same(again(asked), Object.entries(asked).sort(by));
    const nothing = { maxCpu: 0, cpuCores: "", maxIoBps: 0, retryDelayMs: 0, schedule: "", environment: {}, name: "" };
    same(bodyOf(valuesOf({ command: "true", args: [], ...nothing })), { command: "true", args: [] });
    // What a shell runs is shown as it was written, if it is the one that will run it.
    same([valuesOf({ command: "sh", args: ["-c", "a | b"] }).command, valuesOf(asked).shell], ["a | b", false]);
    same(leftOut({ ...asked, uploads: [], secretEnvironment: {}, schedule: "", interactive: false }), []);
    const more = {
      ...asked,
      uploads: ["a.py", "b"],
      secretEnvironment: { TOKEN: "***" },
      environment: { ...asked.environment, KEY: "1\n2" },
      schedule: "1h",
      interactive: true,
    };
    same(again(more), again(asked));
    same(
      leftOut(more).map(([what]) => what),
      [
        "Uploaded files: a.py, b",
        "Secret variables: TOKEN",
        "Variables: KEY",
        "Schedule: 1h",
        "Input: what was sent to it",
      ],
    );
    const many = leftOut({ command: "true", uploads: Array.from({ length: 5000 }, (_, i) => `f${i}`) });
    same(many[0][0], "Uploaded files: f0, f1, f2, f3, f4, f5, f6, f7, f8, f9 and 4990 more");
  },

  async "the newest job is the one that was submitted last, whenever the page came to know it"() {
    const { JobStore } = await load("jobs");
    const job = (uuid, second, more = {}) => ({
      uuid,
      status: "RUNNING",
      command: "true",
      args: [],
      submitTime: `2026-01-01T00:00:${String(second).padStart(2, "0")}.000000Z`,
      ...more,
    });
    const store = new JobStore();
    const order = (options = {}) => store.select(options).map(({ uuid }) => uuid);
    store.page([job("asked-for", 2)], store.mark()); // by its address, before the list
    store.page([job("newest", 9), job("twin-2", 5), job("twin-1", 5)], store.mark());
    store.change(job("far-down", 1)); // of a job that no page has had
    same(order(), ["newest", "twin-2", "twin-1", "asked-for", "far-down"]);
    same(order({ reverse: true }), ["far-down", "asked-for", "twin-1", "twin-2", "newest"]);
    same(order({ sort: "status", reverse: true }), order());
  },

  async "texts of others, and commands"() {
    const { printable, shellLine, shellWords, size, duration } = await load("text");
    same(printable("a\n\x1b\u202eb"), "a\\n\\u001b\\u202eb");
    for (const words of [
      ["a", "b c", "it's", "", "$x", "*"],
      ["sh", "-c", "a\nb"],
    ])
      same(shellWords(shellLine(words)), words);
    same(shellWords('a "b \\" \\n" \'c \\\' d\\ e'), ["a", 'b " \\n', "c \\", "d e"]);
    let problem = "";
    try {
      shellWords("a 'b");
    } catch (error) {
      problem = error.message;
    }
    same(problem, "the quote ' is not closed");
    same(
      [size(0), size(1536), size(3 << 20), duration(3.21), duration(75), duration(3700)],
      ["0 bytes", "1.5 KB", "3.0 MB", "3.2 s", "1 min 15 s", "1 h 1 min"],
    );
  },
};

run(tests);
