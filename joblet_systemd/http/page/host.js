// The view of the host: what it is, and how busy.

import { json } from "./api.js";
import { Chart } from "./chart.js";
import { percent, rate } from "./charts.js";
import { explained, h, setText } from "./dom.js";
import { dateTime, duration, printable, size } from "./text.js";

const POLL_MS = 2_000;

export class HostView {
  element = h("section", { class: "view host", "aria-label": "Host" });
  keys = [{ key: "Escape", label: "back to the list", run: () => (location.hash = "#/jobs") }];
  #cpu = new Chart({ title: "CPU", format: percent, top: 100 });
  #memory = new Chart({ title: "Memory", format: size });
  #disk = new Chart({ title: "Disk", names: ["read", "written"], format: rate, top: 1024 });
  #network = new Chart({ title: "Network", names: ["in", "out"], format: rate, top: 1024 });
  #facts = h("dl", { class: "facts" });
  #disks = h("div", { class: "disks" });
  #title = h("h1", { tabindex: -1, text: "Host" });
  #problem = h("div", { class: "form-problem", role: "alert", hidden: true });
  #timer = null;
  #closed = false;
  #version;

  /** `version` is that of the daemon. */
  constructor(version) {
    this.#version = version;
    this.element.append(
      this.#title,
      this.#problem,
      h("div", { class: "host-charts" }, ...this.#charts.map((chart) => chart.element)),
      h(
        "div",
        { class: "host-more" },
        h("section", {}, h("h2", { text: "System" }), this.#facts),
        h("section", {}, h("h2", { text: "Disks" }), this.#disks),
      ),
    );
    this.#ask();
  }

  get #charts() {
    return [this.#cpu, this.#memory, this.#disk, this.#network];
  }

  close() {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  shown() {
    this.#title.focus({ preventScroll: true });
  }

  async #ask() {
    if (!document.hidden) {
      try {
        const status = await json("v1/host?parts=host,cpu,memory,disk,network,io");
        this.#problem.hidden = true;
        this.#show(status);
      } catch (error) {
        this.#problem.replaceChildren(...explained(error));
        this.#problem.hidden = false;
      }
    }
    if (!this.#closed) this.#timer = setTimeout(() => this.#ask(), POLL_MS);
  }

  #show(status) {
    const { host = {}, cpu = {}, memory = {}, disks = [], io = {}, networks = [] } = status;
    const time = Date.parse(status.time) || Date.now();
    const sum = (key) =>
      networks.filter((one) => one.interface !== "lo").reduce((total, one) => total + (one[key] ?? 0), 0);
    this.#cpu.add(time, [cpu.usagePercent]);
    this.#memory.add(time, [memory.usedBytes]);
    this.#disk.add(time, [io.readRate, io.writeRate]);
    this.#network.add(time, networks.length ? [sum("receiveRate"), sum("transmitRate")] : [null, null]);
    this.#memory.top = memory.totalBytes ?? 0;
    for (const chart of this.#charts) {
      chart.element.hidden = chart.empty;
      chart.draw();
    }
    setText(this.#title, printable(host.hostname || "Host"));
    const used = memory.totalBytes ? `${size(memory.usedBytes ?? 0)} of ${size(memory.totalBytes)}` : "";
    const swap = memory.swapTotal ? `${size(memory.swapUsed ?? 0)} of ${size(memory.swapTotal)}` : "";
    const facts = [
      ["System", host.os],
      ["Kernel", [host.kernelVersion, host.architecture].filter(Boolean).join(", ")],
      ["Up for", host.uptime ? duration(Number(host.uptime)) : ""],
      ["Booted", host.bootTime ? dateTime(Date.parse(host.bootTime)) : ""],
      ["CPUs", cpu.cores ? String(cpu.cores) : ""],
      ["Load", (cpu.loadAverage ?? []).map((load) => load.toFixed(2)).join("  ")],
      ["Memory", used],
      ["Swap", swap],
      ["Addresses", (host.serverIps ?? []).join("\n")],
      ["Joblet", this.#version],
    ];
    this.#facts.replaceChildren(
      ...facts
        .filter(([, value]) => value)
        .flatMap(([name, value]) => [
          h("dt", { text: name }),
          h("dd", { text: value.split("\n").map(printable).join("\n") }),
        ]),
    );
    this.#disks.replaceChildren(...disks.map(diskMeter));
  }
}

function diskMeter({ mountPoint, totalBytes = 0, usedBytes = 0, usagePercent = 0 }) {
  const label = `${printable(mountPoint)}: ${size(Number(usedBytes))} of ${size(Number(totalBytes))}`;
  return h(
    "div",
    { class: "disk" },
    h("span", { text: label }),
    h("meter", { min: 0, max: 100, high: 80, optimum: 10, value: usagePercent, "aria-label": label }),
  );
}
