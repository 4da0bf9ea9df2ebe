"""The page in a browser, as people use it. One suite is enough: what the page needs of a host is the HTTP interface."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import BUSY, LOG, Page, browser, row, state
from hosts import PROJECT, Host, until
from selenium.webdriver.common.keys import Keys

pytestmark = pytest.mark.only_on("trixie", because="the page meets the daemon and a browser")

NUMBERS = "i=0; while [ $i -lt {count} ]; do i=$((i+1)); echo line $i; sleep {pause}; done"


@pytest.mark.parametrize(("tests", "least"), [("page_units.js", 14), ("page_parts.js", 3)])
def test_the_modules_by_themselves(page: Page, tests: str, least: int) -> None:
    directory = Path(__file__).parent
    results = page.run_async("".join((directory / name).read_text("utf-8") for name in ("page_runner.js", tests)))
    assert len(results) >= least
    assert {name: wrong for name, wrong in results.items() if wrong} == {}


def test_all_modules_are_asked_for_at_once(page: Page) -> None:
    there = {path.name for path in (PROJECT / "joblet_systemd/http/page").glob("*.js")}
    named = page.run("return [...document.querySelectorAll('[rel=modulepreload]')].map(one => one.href)")
    assert {name.rpartition("/")[2] for name in named} | {"app.js"} == there


def test_a_job_from_its_start_to_its_stop(host: Host, page: Page) -> None:
    assert page.text("#node") == host.name
    shortcut = "[...document.querySelectorAll('button')].find(one => one.textContent === 'New job').ariaKeyShortcuts"
    assert page.run(f"return {shortcut}") == "c"  # as test_a_job_is_submitted presses it
    job = host.run("--name=watched", "sh", "-c", NUMBERS.format(count=10_000, pause=0.1))
    page.wait(f"{state(job)} === 'Running'")
    # By keyboard: it is the newest.
    page.press("g")
    page.press(Keys.ENTER)
    page.wait("document.querySelector('h1').textContent === 'watched'")
    page.wait(f"{LOG}.includes('line 3')")
    page.wait(f"{LOG}.length > 12")
    page.wait("document.querySelector('.charts .value').textContent.endsWith('%')")
    label = page.run("return document.querySelector('.chart svg').getAttribute('aria-label')")
    assert label.startswith("CPU: now ")
    page.click("Stop")
    page.click("Stop the job")
    page.wait("document.querySelector('.job-head .badge').textContent === 'Stopped'")
    page.wait_for_output()
    assert not page.visible("Stop")
    page.press(Keys.ESCAPE)
    page.wait(f"{state(job)} === 'Stopped'")
    assert host.status(job)["status"] == "STOPPED"


def test_a_job_is_submitted(host: Host, page: Page) -> None:
    page.press("c")
    page.fill("Command", "printf '%s\\n' 'two words' $HOME")
    page.fill("Name", "not a name")
    page.click("Start")
    page.wait("document.querySelector('.form-problem')?.textContent.includes('not a name')")
    assert page.run("return document.activeElement.id") == "f-name"
    page.fill("Name", "by-hand")
    page.fill("Environment", "WHAT=that")
    page.click("Start")
    page.wait("document.querySelector('.job-head .badge')?.textContent === 'Completed'")
    page.wait(f"{LOG}.join() === 'two words,$HOME'")
    page.click("Run again…")
    assert page.run("return document.getElementById('f-command').value") == "printf '%s\\n' 'two words' '$HOME'"
    assert page.run("return document.getElementById('f-environment').value") == "WHAT=that"
    page.click("Close")


def value(field: str) -> str:
    return f"document.getElementById('f-{field}').value"


def test_run_again_starts_the_same_job_and_says_what_it_cannot_take_over(
    host: Host, page: Page, tmp_path: Path
) -> None:
    (tmp_path / "input.txt").write_text("what the job reads\n")
    limits = ("--priority=7", "--retries=1", "--retry-delay=1500ms", "--max-runtime=90")
    given = ("--env=WHAT=that", "--secret-env=TOKEN=hush", "--upload=input.txt")
    job = host.run("--name=first", *limits, *given, "bash", "-c", "echo $WHAT", cwd=tmp_path)
    host.result(job)
    page.open(f"#/jobs/{job}")
    page.click("Run again…")
    note = page.text("dialog .form-note")
    assert "Uploaded files: input.txt" in note
    assert "Secret variables: TOKEN" in note
    assert page.run(f"return {value('priority')}") == "7"
    page.fill("Name", "second")
    page.click("Start")
    page.wait("document.querySelector('h1')?.textContent === 'second'")
    page.wait("document.querySelector('.job-head .badge')?.textContent === 'Completed'")
    ask = "fetch(`/v1/jobs/${arguments[0]}`).then(async (answer) => arguments[1](await answer.json()))"
    again = page.run("return location.hash.split('/')[2]")
    before, after = page.run_async(ask, job), page.run_async(ask, again)
    assert before["retryDelayMs"] == 1500
    same = ("command", "args", "priority", "retries", "retryDelayMs", "maxRuntimeMs", "environment")
    assert {key: after[key] for key in same} == {key: before[key] for key in same}


def test_run_again_waits_for_all_of_the_job(host: Host, page: Page) -> None:
    long = "x" * 3000  # the list leaves it out
    job = host.run("--name=lengthy", "echo", long)
    host.result(job)
    with page.answering(f"/jobs/{job}$", BUSY):
        page.open(f"#/jobs/{job}", fresh=True)
        page.wait("document.querySelector('.job-head')")
        page.press("r")
        assert page.run("return document.querySelector('.job-head .actions button').disabled")
        assert page.run("return document.querySelector('dialog') === null")
        page.run("mend()")
        page.wait("!document.querySelector('.job-head .actions button').disabled")
    page.press("r")
    assert page.run(f"return {value('command')}") == f"echo {long}"
    page.click("Close")


def test_nothing_is_lost_or_doubled_when_the_connection_is(host: Host, page: Page) -> None:
    page.size(1280, 2400)  # all lines at once
    count = 80
    waits = "0.1; if [ $i = 50 ]; then until test -e go; do sleep 0.1; done; fi"
    job = host.run("--name=numbers", "sh", "-c", NUMBERS.format(count=count, pause=waits))
    page.open(f"#/jobs/{job}")
    page.wait(f"{LOG}.length > 10")
    with host.daemon_killed():
        page.wait("!document.getElementById('banner').hidden")
        host.exec("touch", f"/var/lib/joblet/jobs/{job}/work/go")
        assert "nothing will be missed" in page.text("#banner")
        assert page.text("#connection") == "Offline"
    page.wait_for_output()
    page.wait("document.getElementById('banner').hidden")
    assert page.text("#connection") == "Live"
    assert page.run(f"return {LOG}") == [f"line {number}" for number in range(1, count + 1)]
    page.wait("document.querySelector('.job-head .badge').textContent === 'Completed'")


def test_a_list_that_fails_can_be_asked_for_again(host: Host, page: Page) -> None:
    job = host.run("--name=seen-in-the-end", "true")
    host.result(job)
    # The events come, so that nothing but the list is missing.
    with page.answering("/jobs$", BUSY):
        page.open("#/jobs", fresh=True)
        page.wait("document.querySelector('.empty h2')?.textContent === 'The jobs cannot be listed'")
        assert page.text("#connection") == "Live"
        page.run("mend()")
        page.click("Try again")
        page.wait(f"{state(job)} === 'Completed'")
        # Or it is asked for again without anybody doing anything.
        page.open("#/jobs", fresh=True)
        page.wait("document.querySelector('.empty h2')?.textContent === 'The jobs cannot be listed'")
        page.run("mend()")
        page.wait(f"{state(job)} === 'Completed'")


def test_changes_while_away_are_seen(host: Host, page: Page) -> None:
    job = host.run("--name=ended-meanwhile", "sh", "-c", "until test -e go; do sleep 0.1; done")
    page.wait(f"{state(job)} === 'Running'")
    with host.daemon_killed():
        page.wait("!document.getElementById('banner').hidden")
        host.exec("touch", f"/var/lib/joblet/jobs/{job}/work/go")
        unit = host.unit(job)
        until(lambda: host.exec("systemctl", "is-active", unit, check=False).stdout.strip() != "active")
    page.wait(f"{state(job)} === 'Completed'", 60)


def test_a_hidden_window_lets_go_and_comes_back(host: Host, page: Page) -> None:
    page.size(1280, 2400)
    count = 40
    job = host.run("--name=unseen", "sh", "-c", NUMBERS.format(count=count, pause=0.1))
    page.open(f"#/jobs/{job}")
    page.wait(f"{LOG}.length > 5")
    hide = """
        Object.defineProperty(document, "hidden", { configurable: true, get: () => arguments[0] });
        document.dispatchEvent(new Event("visibilitychange"));
    """
    page.run(hide, True)
    page.settle()
    before = page.text(".log-state")
    page.settle()
    assert page.text(".log-state") == before
    page.run(hide, False)
    page.wait_for_output()
    assert page.run(f"return {LOG}") == [f"line {number}" for number in range(1, count + 1)]


# Markup, a title, a link, the screen cleared, colours, a control, text turned around, a line begun anew.
HOSTILE = (
    b"<img src=x onerror=alert(1)><script>alert(2)</script>\n"
    b"\x1b]0;pwned\x07title \x1b]8;;https://evil.example/\x1b\\link\x1b]8;;\x1b\\\n"
    b"\x1b[2J\x1b[Hscreen \x1b[1;31mred\x1b[0m\n"
    b"nul \x00 bell \x07 turned \xe2\x80\xaetxt.exe\n"
    b"10%\r50%\r100%\n"
    b"\xff\xfe no UTF-8\n"
    b"\x1b]0;never closed\n"
    b"\x1b[31;31;31;99999999999999999999mlong parameters\x1b[0m\n"
)


def test_hostile_output_and_commands_do_nothing(host: Host, page: Page) -> None:
    octal = "".join(f"\\{byte:03o}" for byte in HOSTILE)
    markup = "<img src=x onerror=alert(3)>"
    job = host.run("sh", "-c", f"printf '{octal}'", markup)
    page.wait(f"{state(job)} === 'Completed'")
    assert markup in page.run(f"return {row(job)}.textContent")
    page.open(f"#/jobs/{job}")
    page.wait_for_output()
    assert page.run(f"return {LOG}") == [
        "<img src=x onerror=alert(1)><script>alert(2)</script>",
        "title link",
        "screen red",
        "nul ␀ bell ␇ turned ⟨202e⟩txt.exe",
        "100%",
        "\ufffd\ufffd no UTF-8",
        "␛]0;never closed",
        "long parameters",
    ]
    assert page.run("return document.querySelectorAll('.log :is(img, script, a)').length") == 0
    assert "pwned" not in page.run("return document.title")
    assert page.run("return getComputedStyle(document.querySelector('.log .fg-1')).fontWeight") == "700"


def test_stderr_search_and_times(host: Host, page: Page) -> None:
    job = host.run("sh", "-c", "echo one; sleep 0.1; echo Two of it >&2; sleep 0.1; echo three")
    page.open(f"#/jobs/{job}")
    page.wait(f"{LOG}.length === 3")
    assert page.run("return document.querySelector('.line.err code').textContent") == "Two of it"
    page.press("/")
    page.type("two")
    page.wait("document.querySelector('.found').textContent === '1 line'")
    assert page.run("return [...document.querySelectorAll('.log mark')].map(one => one.textContent)") == ["Two"]
    page.click("only these")
    page.wait(f"{LOG}.join() === 'Two of it'")
    page.press(Keys.ESCAPE)
    page.wait(f"{LOG}.length === 3")
    page.press("t")
    page.wait("/^\\d\\d:\\d\\d:\\d\\d\\.\\d{3}$/.test(document.querySelector('.line time').textContent)")
    page.press("t")


def test_long_lines_are_wrapped(host: Host, page: Page) -> None:
    long = "".join(f"{number:04}" for number in range(500))
    job = host.run("echo", long)
    page.open(f"#/jobs/{job}")
    page.wait(f"{LOG}.join() === '{long}'")
    wide = "document.querySelector('.log-box').scrollWidth > document.querySelector('.log-box').clientWidth"
    assert page.run(f"return {wide}")
    page.press("w")
    page.wait(f"{LOG}.length > 10")
    assert page.run(f"return {LOG}.join('')") == long
    assert not page.run(f"return {wide}")
    page.size(390, 640, mobile=True)
    page.settle()
    assert not page.run(f"return {wide}")
    assert page.run(f"return {LOG}.join('')").endswith(long[-400:])


def test_output_is_copied_and_downloaded(host: Host, page: Page) -> None:
    job = host.run("sh", "-c", "printf '\\033[31mred\\033[0m\\n\\377\\000\\nend'; sleep 0.1; echo ' of it'")
    page.open(f"#/jobs/{job}")
    page.wait_for_output()
    # What the page hands to the browser; the rest is the browser's.
    page.run("""
        window.handed = {};
        navigator.clipboard.writeText = async (text) => { window.handed.copied = text; };
        URL.createObjectURL = (blob) => { window.handed.blob = blob; return "data:,"; };
    """)
    page.click("Copy")
    page.wait("window.handed.copied === 'red\\n\\ufffd␀\\nend of it\\n'")
    page.click("Download")
    page.wait("window.handed.blob")
    got = page.run_async("window.handed.blob.arrayBuffer().then((bytes) => arguments[0]([...new Uint8Array(bytes)]))")
    assert bytes(got) == b"\x1b[31mred\x1b[0m\n\xff\x00\nend of it\n"


# The output as events, two of which tell of losses; and as bytes, which tell nothing.
LOSSY = """new Response(options.headers.Accept === "text/plain" ? "kept\\n" : [
    "id: 1\\ndata: " + JSON.stringify({stream: "stdout", time: "2026-01-01T00:00:00Z", text: "kept\\n"}),
    "event: dropped\\nid: 2\\ndata: " + JSON.stringify(
        {reason: "limit", time: "2026-01-01T00:00:00Z", lines: 12, entries: 0, bytes: 2048}),
    "event: dropped\\nid: 3\\ndata: " + JSON.stringify(
        {reason: "journal", time: "2026-01-01T00:00:00Z", lines: 0, entries: 3, bytes: 0}),
    "event: end\\nid: over\\ndata: {}", ""].join("\\n\\n"))"""


def test_a_download_says_what_is_missing_in_it(host: Host, page: Page) -> None:
    job = host.run("echo", "kept")
    with page.answering(f"/jobs/{job}/logs$", LOSSY):
        page.open(f"#/jobs/{job}", fresh=True)
        page.wait(f"{LOG}.length === 3")
        page.click("Download")
        page.wait("document.querySelector('.toast')")
    said = page.text(".toast")
    assert said.startswith("5 bytes downloaded.\n")
    assert "12 lines and output in 3 pieces (2.0 KB)" in said
    assert "in 2 places" in said


def test_a_reader_is_offered_nothing_that_he_may_not(host: Host, page: Page) -> None:
    job = host.run("--name=others", "sleep", "300")
    try:
        page.open(f"#/jobs/{job}")
        page.wait("document.querySelector('.job-head .badge')?.textContent === 'Running'")
        page.press("?")
        assert "stop the job" in page.text("dialog")
        assert "run it again" in page.text("dialog")
        page.press(Keys.ESCAPE)
        with browser(host, "reader") as reader:
            reader.open("#/jobs")
            reader.wait(f"{state(job)} === 'Running'")
            assert not reader.visible("New job")
            reader.open(f"#/jobs/{job}")
            reader.wait("document.querySelector('.job-head .badge')?.textContent === 'Running'")
            assert not reader.visible("Stop")
            assert not reader.visible("Run again…")
            reader.press("r")
            reader.press("s")
            reader.press("?")
            assert "search the output" in reader.text("dialog")
            assert "stop the job" not in reader.text("dialog")
            assert "run it again" not in reader.text("dialog")
            assert reader.problems() == []
    finally:
        host.rnx("job", "stop", job)


def test_a_deleted_job_goes_from_the_list(host: Host, page: Page) -> None:
    job = host.run("true")
    page.wait(f"{state(job)} === 'Completed'")
    host.rnx("job", "delete", job)
    page.wait(f"{row(job)} === null")
    page.open(f"#/jobs/{job}")
    page.wait("document.querySelector('.empty h1')?.textContent === 'This job cannot be shown'")


def test_the_host(host: Host, page: Page) -> None:
    page.click("Host")
    page.wait(f"document.querySelector('h1').textContent === '{host.name}'")
    page.wait("document.querySelector('.host-charts .value')?.textContent.endsWith('%')")
    assert "Debian" in page.text(".host .facts")


def test_windows_leave_a_connection_for_requests(host: Host, page: Page) -> None:
    job = host.run("--name=popular", "sleep", "300")
    try:
        page.open(f"#/jobs/{job}")
        page.wait("document.querySelector('.job-head .badge')?.textContent === 'Running'")
        # Another window that is seen as well.
        page.run("window.other = open(location.href, '', 'width=600,height=600')")
        page.wait("window.other.document.getElementById('connection')?.textContent === 'Waiting'")
        page.wait("window.other.document.getElementById('banner').textContent.includes('Other windows')")
        page.run("window.other.close()")
        page.click("Stop")
        page.click("Stop the job")
        page.wait("document.querySelector('.job-head .badge').textContent === 'Stopped'")
    finally:
        host.rnx("job", "stop", job)


@contextlib.contextmanager
def dashboard(host: Host, *options: str) -> Iterator[str]:
    """``rnx dashboard`` while the block runs; its link."""
    process = subprocess.Popen(
        host.rnx_argv("--json", "dashboard", "--no-browser", *options), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        text = b""
        while not text.strip().endswith(b"}"):
            piece = process.stdout.readline()
            assert piece, process.communicate()[1].decode()
            text += piece
        yield json.loads(text)["url"]
    finally:
        process.terminate()
        process.communicate()


def test_rnx_dashboard_lets_one_browser_in(host: Host, page: Page) -> None:
    job = host.run("--name=through-rnx", "sh", "-c", NUMBERS.format(count=10_000, pause=0.1))
    try:
        with dashboard(host) as link, browser(host, None) as other:
            other.open(link)
            other.wait(f"{state(job)} === 'Running'")
            other.press("g")
            other.press(Keys.ENTER)
            # It comes as it is written, nothing holds it back.
            other.wait(f"{LOG}.some(line => line.startsWith('line '))")
            other.click("Stop")
            other.click("Stop the job")
            other.wait("document.querySelector('.job-head .badge').textContent === 'Stopped'")
            with host.daemon_killed():
                other.wait("!document.getElementById('banner').hidden")
            other.wait("document.getElementById('banner').hidden", 60)
            assert other.problems() == []
            other.open(link)
            assert "This link has been used" in other.text("body")
    finally:
        host.rnx("job", "stop", job)


# Follows a job as docs/http.md shows it; ``found`` has all the text and how it ended.
EVENT_SOURCE = """
const source = new EventSource(`/v1/jobs/${arguments[0]}/logs`);
const found = window.found = {text: "", opened: 0, end: null};
source.onopen = () => { found.opened += 1; };
source.onmessage = (event) => { found.text += JSON.parse(event.data).text; };
source.addEventListener("end", (event) => { source.close(); found.end = JSON.parse(event.data); });
"""


def test_the_browsers_own_event_source(host: Host, page: Page) -> None:
    """Programs in other pages than ours use it; it comes back by itself when the daemon is restarted."""
    page.open("#/jobs")
    waits = "if [ $i = 5 ]; then until test -e go; do sleep 0.1; done; fi"
    job = host.run("sh", "-c", f"for i in 1 2 3 4 5 6 7 8 9 10; do echo line $i; sleep 0.2; {waits}; done; exit 3")
    page.run(EVENT_SOURCE, job)
    page.wait("found.text.includes('line 3')")
    host.exec("systemctl", "restart", "joblet.service")
    host.exec("touch", f"/var/lib/joblet/jobs/{job}/work/go")
    page.wait("found.end")
    found = page.run("return found")
    assert found["text"] == "".join(f"line {number}\n" for number in range(1, 11))
    assert found["end"] == {"status": "FAILED", "exitCode": 3, "reason": "exit-code 3"}
    assert found["opened"] >= 2
