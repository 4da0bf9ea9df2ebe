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


# Scrolls through a box in 150 frames, from its start to its end; the most elements that there were for rows.
SCROLL = """
const [selector, row, done] = arguments;
const box = document.querySelector(selector);
const step = box.scrollHeight / 150;
let most = 0, frames = 0;
box.scrollTop = 0;
function frame() {
  most = Math.max(most, box.querySelectorAll(row).length);
  box.scrollTop += step;
  frames += 1;
  if (frames < 150) return requestAnimationFrame(frame);
  box.scrollTop = box.scrollHeight;
  requestAnimationFrame(() => requestAnimationFrame(() => done(most)));
}
requestAnimationFrame(frame);
"""


def in_sight(box: str, row: str) -> str:
    """The last row of a box, if it is in sight."""
    return (
        f"[...document.querySelectorAll('{box} {row}')].filter(one => one.getBoundingClientRect().bottom < 1 +"
        f" document.querySelector('{box}').getBoundingClientRect().bottom).at(-1)"
    )


@pytest.mark.usefixtures("long_list")
def test_ten_thousand_jobs(page: Page) -> None:
    page.open("#/jobs", fresh=True)
    page.wait("Number(document.querySelector('[data-group=all] .number')?.textContent) >= 10000", 60)
    assert 0 < page.run_async(SCROLL, ".list-box", ".row") < MAX_ROWS
    total = page.run("return Number(document.querySelector('.list').getAttribute('aria-rowcount'))")
    assert total > JOBS
    assert page.run(f"return Number({in_sight('.list-box', '.row')}.getAttribute('aria-rowindex'))") == total
    page.press("g")
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
    page.wait_for_output()
    assert page.text(".log-state").startswith("100\u202f001 lines")
    page.wait(f"{LOG}.at(-1) === 'done'")
    assert 0 < page.run_async(SCROLL, ".log-box", ".line") < MAX_ROWS
    assert page.run(f"return {in_sight('.log-box', '.line code')}.textContent") == "done"
    page.press("g")
    page.wait(f"{LOG}[0] === '1'")
    page.press("/")
    page.type("99999")
    page.wait("document.querySelector('.found').textContent === '1 line'")
    page.press(Keys.ENTER)
    page.wait("document.querySelector('.line.hit code')?.textContent === '99999'")
