"""The page with more than a screen can show: jobs and lines in their thousands."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from browser import LOG, Page
from hosts import Host, until
from selenium.webdriver.common.keys import Keys
from test_many_jobs import FILL

pytestmark = pytest.mark.only_on("trixie", because="the page meets the daemon and a browser")

LINES = 100_000
JOBS = 10_000
MAX_ROWS = 200  # elements; there are no more than a screen has, however long the list is


@pytest.fixture
def long_list(host: Host, page: Page) -> Iterator[None]:
    """Ten thousand jobs on the host, put there while its daemon was away."""
    job = host.run("--name=one-of-many", "echo", "one of many")
    host.result(job)

    def fill(*words: str) -> None:
        host.exec("systemctl", "stop", "joblet.socket", "joblet-http.socket", "joblet.service")
        host.exec("python3", "-c", FILL, job, *words)
        host.exec("systemctl", "start", "joblet-http.socket", "joblet.service")
        until(lambda: host.rnx("job", "status", job).returncode == 0)

    fill(str(JOBS))
    try:
        yield
    finally:
        fill()


# Scrolls through a box in 150 frames; how long frames took, in ms, and how many tasks took over 50 ms.
SCROLL = """
const [selector, done] = arguments;
const box = document.querySelector(selector);
const times = [];
let long = 0;
const observer = new PerformanceObserver((list) => { long += list.getEntries().length; });
observer.observe({ type: "longtask" });
const step = box.scrollHeight / 150;
let last = performance.now();
box.scrollTop = 0;
function frame() {
  const now = performance.now();
  times.push(now - last);
  last = now;
  box.scrollTop += step;
  if (times.length < 150) return requestAnimationFrame(frame);
  times.sort((a, b) => a - b);
  setTimeout(() => done({ median: times[75], p95: times[142], worst: times[149], long }), 100);
}
requestAnimationFrame(frame);
"""


def told(what: str, figures: dict[str, float]) -> None:
    """Figures, not judged here: machines differ."""
    print(f"\n{what}: " + ", ".join(f"{name} {value:.1f}" for name, value in figures.items()))


@pytest.mark.usefixtures("long_list")
def test_ten_thousand_jobs(page: Page) -> None:
    page.open("#/jobs", fresh=True)
    page.wait("Number(document.querySelector('[data-group=all] .number')?.textContent) >= 10000", 60)
    told(f"{JOBS} jobs scrolled", page.run_async(SCROLL, ".list-box"))
    assert page.run("return document.querySelectorAll('.list-box .row').length") < MAX_ROWS
    page.press("G")
    last = "document.querySelector('.list-box [aria-selected=true]')"
    page.wait(f"Number({last}?.getAttribute('aria-rowindex')) > {JOBS}")
    page.press("/")
    page.type("no such job")
    page.wait("document.querySelector('.empty h2')?.textContent === 'No job matches'")
    page.press(Keys.ESCAPE)


def test_a_hundred_thousand_lines(host: Host, page: Page) -> None:
    job = host.run("sh", "-c", f"seq 1 {LINES}; printf '\\033[32mdone\\033[0m\\n'")
    page.open(f"#/jobs/{job}")
    page.wait("document.querySelector('.log .foot').textContent.includes('End of the output')", 60)
    assert page.text(".log-state").startswith("100\u202f001 lines")
    page.wait(f"{LOG}.at(-1) === 'done'")
    told(f"{LINES} lines scrolled", page.run_async(SCROLL, ".log-box"))
    assert page.run("return document.querySelectorAll('.log .line').length") < MAX_ROWS
    page.press("g")
    page.wait(f"{LOG}[0] === '1'")
    page.press("/")
    page.type("99999")
    page.wait("document.querySelector('.found').textContent === '1 line'")
    page.press(Keys.ENTER)
    page.wait("document.querySelector('.line.hit code')?.textContent === '99999'")
