"""What the options of ``job run`` accept and what becomes of it on the wire; what they refuse, before any call."""

from __future__ import annotations

import contextlib
import os
import shlex
from typing import Any

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from joblet_wire.joblet_pb2 import RunJobRequest
from rnx import values
from rnx.schedule import schedule

from .conftest import Rnx
from .fakes import FakeJobs, Server

ACCEPTED: list[tuple[str, str, dict[str, Any]]] = [
    ("--max-cpu", "1", {"max_cpu": 100}),
    ("--max-cpu", "4", {"max_cpu": 400}),
    ("--max-cpu", "9", {"max_cpu": 900}),
    ("--max-cpu", "1.5", {"max_cpu": 150}),
    ("--max-cpu", "10", {"max_cpu": 10}),
    ("--max-cpu", "50", {"max_cpu": 50}),
    ("--max-cpu", "400", {"max_cpu": 400}),
    ("--max-cpu", "4c", {"max_cpu": 400}),
    ("--max-cpu", "0.5c", {"max_cpu": 50}),
    ("--max-cpu", "16c", {"max_cpu": 1600}),
    ("--max-cpu", "50%", {"max_cpu": 50}),
    ("--max-cpu", "5%", {"max_cpu": 5}),
    ("--max-memory", "512", {"max_memory": 512}),
    ("--max-memory", "512MB", {"max_memory": 512}),
    ("--max-memory", "512MiB", {"max_memory": 512}),
    ("--max-memory", "512m", {"max_memory": 512}),
    ("--max-memory", "2GB", {"max_memory": 2048}),
    ("--max-memory", "2 gb", {"max_memory": 2048}),
    ("--max-memory", "0.5G", {"max_memory": 512}),
    ("--max-memory", "1TB", {"max_memory": 1 << 20}),
    ("--max-iobps", "1", {"max_io_bps": 1}),
    ("--max-iobps", "10MB", {"max_io_bps": 10 << 20}),
    ("--max-iobps", "1.5K", {"max_io_bps": 1536}),
    ("--max-iobps", "2147483647", {"max_io_bps": 2147483647}),
    ("--max-io-bps", "500KB", {"max_io_bps": 512000}),
    ("--cpu-cores", "0-3", {"cpu_cores": "0-3"}),
    ("--cpu-cores", "0,2,4-5", {"cpu_cores": "0,2,4-5"}),
    ("--env", "A=1", {"environment": {"A": "1"}}),
    ("-e", "A=", {"environment": {"A": ""}}),
    ("-e", "_a1=x=y z\nü", {"environment": {"_a1": "x=y z\nü"}}),
    ("--env", "FROM_HERE", {"environment": {"FROM_HERE": "value here"}}),
    ("--name", "queue", {"name": "queue"}),
    ("--max-disk", "2GB", {"max_disk": 2048}),
    ("--max-runtime", "3600", {"max_runtime_ms": 3_600_000}),
    ("--max-runtime", "0.5", {"max_runtime_ms": 500}),
    ("--timeout", "1h", {"max_runtime_ms": 3_600_000}),
    ("--timeout", "2h30m", {"max_runtime_ms": 9_000_000}),
    ("--timeout", "1 day 1ms", {"max_runtime_ms": 86_400_001}),
    ("--timeout", "1.5Min", {"max_runtime_ms": 90_000}),
    ("--priority", "-100", {"priority": -100}),
    ("--priority", "+5", {"priority": 5}),
    ("--priority", "0", {}),
    ("--retries", "100", {"retries": 100}),
    ("--retries", "0", {}),
    ("--name", "0.a_b-C", {"name": "0.a_b-C"}),
]

REFUSED = [
    *(("--max-cpu", value) for value in ("0", "-1", "abc", "", "4x", "1e3", "0.001", "1.55%", "٣", "99999999999", "c")),
    *(("--max-memory", value) for value in ("0", "-5", "x", "1KB", "1.5", "512MX", "99999TB", "1e9")),
    *(("--max-iobps", value) for value in ("0", "fast", "2GB", "2147483648", "0.5", "-1")),
    *(("--cpu-cores", value) for value in ("", "a", "3-1", "1-", "-1", "0,,1", "8192", "0-99999999999999", "0 1", "٣")),
    *(("--env", value) for value in ("", "=x", "1A=x", "A-B=x", "ä=x", "NOT_SET_HERE", "A=\udcff")),
    *(("--max-disk", value) for value in ("0", "-1", "x")),
    *(("--max-runtime", value) for value in ("0", "-1", "", "x", "5x", "1M", "5 5", "1..5s", "h", "1h30", "٣s", "11y")),
    *(("--max-runtime", value) for value in ("0s", "0.1ms", "3661d", "9" * 18 + "w", "9" * 99)),
    *(("--priority", value) for value in ("101", "-101", "1.5", "high", "", "٣", "9" * 99)),
    *(("--retries", value) for value in ("-1", "101", "x", "")),
    *(("--retry-delay", value) for value in ("0", "x")),
    *(
        ("--schedule", value)
        for value in ("", "5", "2026-02-31 10:00", "2026-12-24 25:00", "a\nb", "-1h", "\udcff", "0001-01-01")
    ),
    *(("--name", value) for value in ("", "-x", "a b", "a/b", "x" * 64, "ä", "a\n")),
]


@pytest.mark.parametrize(("option", "value", "fields"), ACCEPTED)
@pytest.mark.parametrize("form", ["--flag value", "--flag=value"])
def test_accepted(
    form: str,
    option: str,
    value: str,
    fields: dict[str, Any],
    server: Server,
    jobs: FakeJobs,
    run_rnx: Rnx,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FROM_HERE", "value here")
    joined = f"{option}={value}" if option.startswith("--") else option + value
    arguments = [option, value] if form == "--flag value" else [joined]
    result = run_rnx("job", "run", *arguments, "prog", "--max-cpu=7", "-w")
    assert result.err == ""
    assert jobs.requests == [RunJobRequest(command="prog", args=["--max-cpu=7", "-w"], **fields)]


@pytest.mark.parametrize(("option", "value"), REFUSED)
def test_refused(option: str, value: str, server: Server, jobs: FakeJobs, run_rnx: Rnx) -> None:
    result = run_rnx("job", "run", f"{option}={value}", "prog")
    assert (result.code, jobs.requests, result.out) == (2, [], b"")
    assert result.err.startswith(f"rnx: Invalid value for '{option}'") or option == "--env"
    assert option in result.err
    assert "expected" in result.err
    assert result.err.endswith(" See 'rnx job run --help'.\n")


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--wait",),
        ("",),
        ("prog", "\udcff"),
        ("--no-such-option", "prog"),
        ("--wait=true", "prog"),
        ("--max-cpu",),
        ("--", ""),
    ],
)
def test_a_bad_command_line_sends_nothing(
    arguments: tuple[str, ...], server: Server, jobs: FakeJobs, run_rnx: Rnx
) -> None:
    result = run_rnx("job", "run", *arguments)
    assert (result.code, jobs.requests, result.out) == (2, [], b"")
    assert result.err.count("\n") == 1


def test_options_end_at_the_first_word_that_is_none(server: Server, jobs: FakeJobs, run_rnx: Rnx) -> None:
    assert run_rnx("job", "run", "--", "--odd", "-w").code == 0
    assert (
        run_rnx("job", "run", "-e", "A=1", "-e", "B=2", "-eA=3", "sh", "-c", "exit 3", "--json", "--", "-h").code == 0
    )
    first, second = jobs.requests
    assert (first.command, list(first.args)) == ("--odd", ["-w"])
    assert (second.command, list(second.args)) == ("sh", ["-c", "exit 3", "--json", "--", "-h"])
    assert dict(second.environment) == {"A": "3", "B": "2"}


def test_arguments_travel_untouched(server: Server, jobs: FakeJobs, run_rnx: Rnx) -> None:
    words = ["$HOME", "$$", "quoted  words", "ünïcode", "", "a\nb\t\x01", "%s"]
    assert run_rnx("job", "run", "printf", *words).code == 0
    assert list(jobs.requests[0].args) == words


# The command lines of the document that this project is built from, as a shell passes them on; of
# --runtime, --network, --volume and --max-runtime, which come with later groups, they are freed first.
DOCUMENTED = r"""
--runtime=python-3.11-ml --upload=data.csv --volume=analysis-results python -c "\nimport pandas as pd\n"
--runtime=python-3.12 --upload=modern_app.py python modern_app.py
--runtime=python-3.11-ml --upload=api.py --network=web --max-memory=512 python api.py
--runtime=java:17 --upload=Application.java --volume=maven-cache bash -c "javac Application.java && java Application"
--runtime=java:21 --upload=VirtualThreadApp.java --max-memory=1024 bash -c "javac V.java && java V"
--runtime=java:17 --upload-dir=spring-project --volume=maven-cache --max-memory=2048 mvn clean package
--runtime=java:17 --upload=application.jar --upload=application.properties --network=web --volume=d java -jar app.jar
--runtime=python-3.11-ml --volume=pipeline-data --max-memory=2048 python -c "\nimport joblib\n# ...\n"
--runtime=python-3.12 --upload-dir=my-package --volume=dev-pip-cache bash -c "\ncd my-package\npip install -e .\n"
--runtime=java:17 --upload-dir=frontend --volume=frontend-dist bash -c "\ncp -r target/* /volumes/frontend-dist/\n"
--runtime=python-3.11-ml --upload-dir=backend --network=web python -c "\napp.run(host='0.0.0.0', port=8080)\n"
--runtime=python-3.11-ml --network=database --volume=db-cache python -c "\nimport psycopg2\n"
--runtime=python-3.11-ml --upload=large.csv --volume=chunks --max-memory=4096 --max-cpu=4 python -c "\nchunk = 0\n"
--runtime=python-3.11-ml --network=message-queue python -c "\ntime.sleep(0.1)\n"
--runtime=java:17 --network=message-queue --upload=Consumer.java java Consumer
--runtime=python-3.11-ml --upload=task.py --max-cpu=8 --max-memory=4096 python -c "\nPool(processes=8)\n"
--runtime=python-3.11-ml --network=test-net --volume=test-db python setup_test_db.py
--runtime=python-3.11-ml --max-memory=2048 --max-cpu=4 --max-runtime=3600 --upload=ml_training.py python ml_training.py
--runtime=java:17 --volume=maven-cache --volume=p --upload-dir=java-app bash -c "\ncd java-app\nmvn exec:java\n"
"""
LATER = ("--runtime=", "--network=", "--volume=", "--max-runtime=")


@pytest.mark.parametrize("line", DOCUMENTED.strip().splitlines())
def test_documented_command_lines(line: str, server: Server, jobs: FakeJobs, run_rnx: Rnx) -> None:
    words = [word for word in shlex.split(line.replace(r"\n", "\n")) if not word.startswith(LATER)]
    options = dict(word.split("=", 1) for word in words if word.startswith("--"))
    names = [word.split("=", 1)[1] for word in words if word.startswith("--upload=")]
    for name in names:
        with open(name, "w") as file:
            file.write(name)
    if directory := options.get("--upload-dir"):
        os.mkdir(directory)
        names.append(directory)
    command = [word for word in words if not word.startswith("--")]
    result = run_rnx("job", "run", *words)
    assert (result.code, result.err) == (0, "")
    (request,) = jobs.requests
    assert [request.command, *request.args] == command
    assert [upload.path for upload in request.uploads] == names
    assert request.max_memory == int(options.get("--max-memory", 0))
    assert request.max_cpu == 100 * int(options.get("--max-cpu", 0))


LIKE_VALUES = st.from_regex(r"[-+0-9:.TZ* hmdwsMun]{0,30}", fullmatch=True)
DATES = st.from_regex(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2})?)?", fullmatch=True)


@given(st.text() | LIKE_VALUES | DATES)
def test_no_text_does_more_than_be_refused(text: str) -> None:
    for convert in (values.duration_ms, values.memory_mb, values.priority, values.retries, schedule):
        with contextlib.suppress(click.BadParameter):
            convert(text)
