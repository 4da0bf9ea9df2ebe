"""The page as it looks: on a phone, in the dark, to those who do not see it; and the pictures of the documentation."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Any

import pytest
from browser import LOG, Page, state
from hosts import PROJECT, Host
from selenium.webdriver.common.keys import Keys

pytestmark = pytest.mark.only_on("trixie", because="the page meets the daemon and a browser")

MAX_PICTURE = 150_000  # bytes
# With this set, the pictures in docs/images are made anew.
PICTURES = os.environ.get("JOBLET_SCREENSHOTS")


def test_a_phone_scrolls_one_way_only(host: Host, page: Page) -> None:
    job = host.run("--name=" + "long-name-" * 6, "sh", "-c", "echo " + "x" * 500, "argument " * 40)
    host.result(job)
    page.size(360, 740, mobile=True)
    for view in ("#/jobs", f"#/jobs/{job}", "#/host"):
        page.open(view)
        page.wait("document.querySelector('main > .view')")
        page.settle()
        width, inner = page.run("return [document.documentElement.scrollWidth, innerWidth]")
        assert width <= inner, view
    page.open("#/jobs")
    page.press("c")
    assert page.run("return document.querySelector('dialog').scrollWidth <= innerWidth")
    page.click("Close")


def test_a_phone_sorts(host: Host, page: Page) -> None:
    """There are no heads of columns to click."""
    jobs = [host.run(f"--name=sorted-{name}", "true") for name in "bac"]
    for job in jobs:
        host.result(job)
    page.press("/")
    page.type("sorted-")
    names = "[...document.querySelectorAll('.list-box .name a')].map(one => one.textContent.slice(-1)).join('')"
    page.wait(f"{names} === 'cab'")
    orders = "document.querySelector('select[aria-label=\"Order of the jobs\"]')"
    assert not page.run(f"return {orders}.checkVisibility()")
    page.click("Job")
    page.wait(f"{names} === 'abc'")
    page.size(360, 740, mobile=True)
    assert page.run(f"return {orders}.checkVisibility() && {orders}.selectedOptions[0].text") == "Job: A to Z"
    for order, shown in (("Job: Z to A", "cba"), ("Oldest first", "bac"), ("Newest first", "cab")):
        page.choose(orders, order)
        page.wait(f"{names} === '{shown}'")
    page.press("/")
    page.press(Keys.ESCAPE)


def test_light_and_dark(page: Page) -> None:
    def lightness() -> int:
        colour = page.run("return getComputedStyle(document.body).backgroundColor")
        return sum(int(part) for part in colour.strip("rgb()").split(","))

    assert lightness() > 600
    page.colours("dark")
    assert lightness() < 150
    page.click("Change to light colours")
    assert lightness() > 600
    page.open("#/jobs", fresh=True)
    page.wait("document.querySelector('.list')")
    assert lightness() > 600
    page.click("Change to dark colours")
    assert lightness() < 150


NAMED = {
    "button",
    "link",
    "textbox",
    "searchbox",
    "checkbox",
    "combobox",
    "spinbutton",
    "image",
    "grid",
    "dialog",
    "meter",
}


def test_everything_has_a_name(host: Host, page: Page) -> None:
    job = host.run("--name=named", "echo", "hello")
    host.result(job)
    for view, opener in (("#/jobs", ""), (f"#/jobs/{job}", ""), ("#/host", ""), ("#/jobs", "c"), ("#/jobs", "?")):
        page.open(view)
        page.settle()
        if opener:
            page.press(opener)
        found = [(role, name) for role, name in page.accessible() if role in NAMED]
        assert found
        assert [role for role, name in found if not name] == [], view
        if opener:
            page.click("Close")


# What a host with all controllers tells of a job, at a second's distance.
SAMPLES = [
    {
        "time": f"2026-11-25T12:00:{second:02}.000Z",
        "cpuPercent": 50 + second,
        "memoryBytes": (100 + second) << 20,
        "ioReadBytes": second << 20,
        "ioWriteBytes": 0,
    }
    for second in range(20)
]
CHARTS = """
    const [samples, done] = arguments;
    const real = window.fetch;
    window.fetch = async () => new Response(JSON.stringify({ samples }));
    (async () => {
      const { JobCharts } = await import(new URL("static/charts.js", document.baseURI));
      const charts = new JobCharts("x");
      await charts.start(true);
      window.fetch = real;
      const drawn = () => [...charts.element.querySelectorAll("figure:not([hidden]) svg")];
      const told = () => done(drawn().map((one) => one.getAttribute("aria-label")));
      requestAnimationFrame(() => requestAnimationFrame(told));
    })();
"""


def test_charts_say_what_they_show(page: Page) -> None:
    assert page.run_async(CHARTS, SAMPLES) == [
        "CPU: now 69 %; CPU at most 69 %; over 19 seconds",
        "Memory: now 119.0 MB; Memory at most 119.0 MB; over 19 seconds",
        "I/O: now read 1.0 MB/s · written 0 bytes/s; read at most 1.0 MB/s, written at most 0 bytes/s; over 19 seconds",
    ]
    # Where only some of it is accounted for, only that is shown.
    some = [{"time": one["time"], "cpuPercent": one["cpuPercent"]} for one in SAMPLES]
    assert page.run_async(CHARTS, some) == ["CPU: now 69 %; CPU at most 69 %; over 19 seconds"]


def test_the_keyboard_is_explained(page: Page) -> None:
    page.press("?")
    text = page.text("dialog")
    assert "next job" in text
    assert "new job" in text
    page.press(Keys.ESCAPE)
    page.wait("document.querySelector('dialog') === null")


TRAINING = r"""
import sys, time
for step in range(1, 3000):
    sum(i * i for i in range(20_000 * (2 if step // 40 % 2 else 1)))
    loss, rate = 0.9 / (step + 3) ** 0.5, 1180 + step % 37
    print(f"\033[2mepoch 3\033[0m  step {step:4}  \033[32mloss {loss:.4f}\033[0m  \033[36m{rate} img/s\033[0m")
    if step % 11 == 0:
        print(f"warning: batch {step} was slow to load", file=sys.stderr)
    time.sleep(0.04)
"""


def test_pictures(host: Host, page: Page, tmp_path: Path) -> None:
    """What the documentation shows; made anew on demand only, as each differs a little."""
    directory = PROJECT / "docs" / "images" if PICTURES else tmp_path
    directory.mkdir(exist_ok=True)
    host.rnx("job", "delete-all")
    for words in (
        "--name=fetch-sources git-mirror --all",
        "--name=unit-tests --max-runtime=600 sh -c 'sleep 1.2'",
        "--name=lint sh -c 'exit 0'",
        "--name=import-orders --max-runtime=1 sleep 60",
        "--name=build-image sh -c 'sleep 2; exit 2'",
        "--name=nightly-report --schedule=6h python3 report.py --month=11",
        "--name=index-rebuild sh -c 'sleep 600'",
    ):
        host.run(*shlex.split(words), node="developer" if "lint" in words else "")
    (tmp_path / "train.py").write_text(TRAINING)
    training = host.run(
        "--name=train-model", "--upload=train.py", "python3", "-u", "train.py", "--lr=0.01", cwd=tmp_path
    )
    page.wait("document.querySelector('[data-group=failed] .number')?.textContent === '3'")
    page.open("#/jobs", fresh=True)
    page.wait(f"{state(training)} === 'Running'")
    page.wait("document.querySelector('[data-group=failed] .number')?.textContent === '3'")
    pictures: dict[str, Any] = {}
    for name, view, ready in (
        ("jobs", "#/jobs", f"{state(training)} === 'Running'"),
        ("job", f"#/jobs/{training}", f"{LOG}.length > 25 && {LOG}.at(-1).includes('step')"),
    ):
        for look in ("light", "dark"):
            page.colours(look)
            page.size(1120, 640)
            page.open(view)
            page.wait(ready)
            page.settle()
            pictures[f"{name}-{look}"] = page.picture()
        page.size(390, 640, mobile=True)
        page.settle()
        pictures[f"{name}-phone"] = page.picture()
    for name, picture in pictures.items():
        (directory / f"dashboard-{name}.png").write_bytes(picture)
        assert len(picture) < MAX_PICTURE, name
    host.end_all()
