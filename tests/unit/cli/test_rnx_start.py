"""The root command: version, help, completion, and what starting costs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from joblet_wire.joblet_pb2 import GetJobStatusResponse
from rnx import __version__, output

from .conftest import IMPORT_PATH, Rnx, spawn_rnx
from .fakes import JOB_ID, FakeJobs, Server

HEAVY = ("grpc", "google.protobuf", "joblet_wire.joblet_pb2", "rich", "asyncio")


def loaded_by(*arguments: str, **environment: str) -> set[str]:
    """The modules that a process running rnx has loaded in the end."""
    code = "import sys; from rnx.main import run; run(sys.argv[1:]); print('\\n'.join(sys.modules), file=sys.stderr)"
    result = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, "PYTHONPATH": IMPORT_PATH, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return set(result.stderr.splitlines())


@pytest.mark.parametrize(
    "arguments",
    [
        ("version",),
        ("--version",),
        ("--help",),
        ("job", "--help"),
        ("job", "run", "--help"),
        ("job", "run", "--max-cpu=x", "prog"),
        ("completion", "bash"),
        ("config-help",),
        ("nodes",),
    ],
)
def test_grpc_is_loaded_for_calls_only(arguments: tuple[str, ...]) -> None:
    assert not loaded_by(*arguments) & {*HEAVY, "joblet_systemd"}


def test_completing_loads_no_grpc() -> None:
    assert not loaded_by(_RNX_COMPLETE="bash_complete", COMP_WORDS="rnx job run --m", COMP_CWORD="3") & set(HEAVY)


@pytest.mark.usefixtures("server")
def test_completing_jobs_loads_what_a_call_does() -> None:
    loaded = loaded_by(_RNX_COMPLETE="bash_complete", COMP_WORDS="rnx job status ", COMP_CWORD="3")
    assert "grpc" in loaded
    assert "asyncio" not in loaded


@pytest.mark.usefixtures("server")
def test_a_call_loads_nothing_of_the_daemon() -> None:
    loaded = loaded_by("job", "list")
    assert {"grpc", "joblet_wire.joblet_pb2"} <= loaded
    assert not {name for name in loaded if name.startswith("joblet_systemd")}
    assert not loaded & {"rnx.jobrun", "rnx.uploads", "rich"}


@pytest.mark.usefixtures("server")
def test_a_job_without_options_loads_nothing_that_is_for_options(jobs: FakeJobs) -> None:
    jobs.answers[JOB_ID] = [GetJobStatusResponse(uuid=JOB_ID, status="COMPLETED")]
    loaded = loaded_by("job", "run", "--wait", "true")
    for_options = {f"rnx.{name}" for name in ("values", "envfile", "uploads", "transfer", "schedule", "download")}
    assert not loaded & {*for_options, "rnx.diagnose", "ssl", "decimal", "shutil"}
    assert "rnx.values" in loaded_by("job", "run", "--wait", "--max-cpu=1", "true")


def test_version(run_rnx: Rnx) -> None:
    assert run_rnx("version").text == run_rnx("--version").text == f"rnx {__version__}\n"
    assert json.loads(run_rnx("version", "--json").out)["version"] == __version__


@pytest.mark.parametrize("arguments", [(), ("job",)])
def test_a_group_alone_shows_its_help(arguments: tuple[str, ...], run_rnx: Rnx) -> None:
    result = run_rnx(*arguments)
    assert (result.code, result.out) == (2, b"")
    assert result.err.startswith("Usage: rnx ")
    assert "\nCommands:\n" in result.err


@pytest.mark.parametrize("arguments", [("nosuch",), ("job", "nosuch"), ("--nosuch",), ("nodes", "extra")])
def test_usage_errors(arguments: tuple[str, ...], run_rnx: Rnx) -> None:
    result = run_rnx(*arguments)
    assert (result.code, result.out) == (2, b"")
    assert result.err.startswith("rnx: ")
    assert result.err.count("\n") == 1
    assert " --help'." in result.err


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("run true", "rnx job run"),
        ("list", "rnx job list"),
        ("logs nightly", "rnx job log"),
        ("jobs list", "rnx job"),
        ("node", "rnx nodes"),
        ("job ls", "rnx job list"),
        ("job rm nightly", "rnx job delete"),
        ("job stauts nightly", "rnx job status"),
        ("monitor stat", "rnx monitor status"),
    ],
)
def test_the_command_that_was_meant(line: str, meant: str, run_rnx: Rnx) -> None:
    result = run_rnx(*line.split())
    assert (result.code, result.out) == (2, b"")
    assert f"'. Did you mean '{meant}'? See 'rnx" in result.err


def test_the_option_that_was_meant(run_rnx: Rnx) -> None:
    result = run_rnx("job", "run", "--wiat", "true")
    assert result.code == 2
    assert result.err == "rnx: No such option: --wiat. Did you mean --wait? See 'rnx job run --help'.\n"
    assert run_rnx("job", "run", "--frobnicate", "true").err.startswith("rnx: No such option: --frobnicate. See ")


@pytest.mark.parametrize("command", ["status", "log", "stop", "metrics"])
def test_bytes_that_are_no_text(command: str, server: Server, jobs: FakeJobs, run_rnx: Rnx) -> None:
    result = run_rnx("job", command, "caf\udce9")
    assert (result.code, result.out, jobs.requests) == (2, b"", [])
    assert result.err == "rnx: 'caf\\udce9' is not UTF-8, as names and paths on a node must be.\n"


@pytest.mark.parametrize(
    ("line", "missing", "instead"),
    [
        ("runtime list", "runtimes", "--upload-dir"),
        ("volume create data --size=1GB", "volumes", "rnx job download"),
        ("workflow run x.yml", "workflows", "rnx job run --wait"),
        ("job telematics nightly", "telematics", "rnx job metrics"),
        ("job run --runtime=python-3.11 python3 x.py", "runtimes", "--upload-dir"),
        ("job run --max-cpu=50 --network isolated true", "networks", "--upload"),
        ("job run --gpu=1 true", "GPUs", "Leave --gpu out"),
        ("job run --workflow=x.yml", "workflows", "rnx job run --wait"),
    ],
)
def test_what_is_not_there_yet(line: str, missing: str, instead: str, run_rnx: Rnx) -> None:
    result = run_rnx(*line.split())
    assert (result.code, result.out) == (2, b"")
    assert result.err.startswith(f"rnx: Joblet on systemd does not have {missing} ")
    assert instead in result.err


def test_help_lists_the_commands(run_rnx: Rnx) -> None:
    result = run_rnx("job", "-h")
    assert result.code == 0
    assert [line.split()[0] for line in result.text.split("Commands:\n")[1].splitlines()] == [
        "run",
        "list",
        "status",
        "log",
        "metrics",
        "top",
        "attach",
        "exec",
        "stop",
        "cancel",
        "update",
        "delete",
        "delete-all",
        "download",
    ]


@pytest.mark.parametrize("group", [(), ("job",), ("monitor",)])
def test_what_commands_are_for_is_listed_whole(
    group: tuple[str, ...], run_rnx: Rnx, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    listed = run_rnx(*group, "--help").text.split("Commands:\n")[1].splitlines()
    assert len(listed) >= 3
    assert not [line for line in listed if line.endswith("...")]
    assert all(line.startswith("  ") and line[2] != " " for line in listed)  # in one line each


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str, run_rnx: Rnx) -> None:
    result = run_rnx("completion", shell)
    assert result.code == 0
    assert f"_RNX_COMPLETE={shell}_complete" in result.text
    assert run_rnx("completion", shell, "--json").code == 2


def test_completing(monkeypatch: pytest.MonkeyPatch, run_rnx: Rnx) -> None:
    monkeypatch.setenv("_RNX_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "rnx job s")
    monkeypatch.setenv("COMP_CWORD", "2")
    assert run_rnx().text == "plain,status\nplain,stop\n"


class TestUnexpected:
    """A fault in rnx itself."""

    @pytest.fixture(autouse=True)
    def _fault(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(_given: str | None) -> None:
            raise ZeroDivisionError("why\never")

        monkeypatch.setattr("rnx.config.load", fail)

    def test_no_traceback(self, run_rnx: Rnx) -> None:
        result = run_rnx("nodes")
        assert result.code == 1
        assert result.err == "rnx: ZeroDivisionError: why ever. RNX_DEBUG=1 in the environment shows where.\n"

    def test_unless_asked_for(self, run_rnx: Rnx, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("RNX_DEBUG", "1")
        with pytest.raises(ZeroDivisionError):
            run_rnx("nodes")


def test_closed_streams(server: Server, jobs: FakeJobs) -> None:
    script = f"exec {sys.executable} -m rnx job status {JOB_ID} >&- 2>&-"
    environment = {**os.environ, "PYTHONPATH": IMPORT_PATH}
    assert subprocess.run(["sh", "-c", script], env=environment, check=False).returncode == 3
    assert len(jobs.requests) == 1


def test_a_locale_without_the_character(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    (tmp_path / "rnx-config.yml").write_text('nodes: {"ü": {address: "h:1"}}', encoding="utf-8")
    result = spawn_rnx("nodes")
    assert (result.code, result.text.splitlines()[1].split()) == (0, ["\\xfc", "h:1", "-", "yes"])


def test_colours(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "30")
    row = ("id", "FAILED", "a command that is too long for the line")
    output.table(("ID", "STATUS", "COMMAND"), [row], colour=1)
    assert capsys.readouterr().out == "ID  STATUS  COMMAND\nid  \x1b[31mFAILED\x1b[0m  a command that is…\n"
    monkeypatch.setenv("NO_COLOR", "1")
    output.table(("ID", "STATUS", "COMMAND"), [row], colour=1)
    assert "\x1b" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("job", "list", "--limit=x"), "'--limit': 'x' is not accepted; expected a whole number, 1 or more"),
        (("job", "list", "--limit=0"), "'--limit': '0' is not accepted; expected a whole number, 1 or more"),
        (("job", "top", "--interval=61"), "'--interval': '61' is not accepted; expected a whole number, from 1 to 60"),
        (("dashboard", "--port=0x50"), "'--port': '0x50' is not accepted; expected a whole number, from 1 to 65535"),
        (("--node", "", "nodes"), "'--node': '' is not accepted; expected a name, or leave the option out"),
        (("--config=", "nodes"), "'--config': '' is not accepted; expected a file, or leave the option out"),
    ],
)
def test_a_refusal_says_what_is_accepted(arguments: tuple[str, ...], told: str, run_rnx: Rnx) -> None:
    result = run_rnx(*arguments)
    assert result.code == 2
    assert f"Invalid value for {told}" in result.err
