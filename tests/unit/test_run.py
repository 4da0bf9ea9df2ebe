"""What 'make test' does with tests that fail: most get a second chance, which is told; storms get none."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "run"
SAID = """
FAILED here is what a job said
=== short test summary info ===
FAILED tests/host/test_x.py::test_it[trixie-a b] - assert 1 == 2
ERROR tests/host/test_y.py::test_other
1 failed, 1 error in 2.00s
"""


@pytest.fixture
def runner() -> ModuleType:
    """The program as a module."""
    loader = importlib.machinery.SourceFileLoader("tests_run", str(SCRIPT))
    spec = importlib.util.spec_from_loader("tests_run", loader)
    assert spec
    module = importlib.util.module_from_spec(spec)
    sys.modules["tests_run"] = module  # where its dataclasses look for it
    loader.exec_module(module)
    return module


def answering(monkeypatch: pytest.MonkeyPatch, runner: ModuleType, *answers: tuple[int, str]) -> list[list[str]]:
    """Its commands are not run but answered so; those that it would have run."""
    left, seen = list(answers), []

    def execute(command: list[str]) -> tuple[int, str]:
        seen.append(command)
        return left.pop(0)

    monkeypatch.setattr(runner, "execute", execute)
    return seen


def test_a_second_chance_is_told_in_the_summary(
    runner: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = answering(monkeypatch, runner, (1, SAID), (0, "2 passed\n"))
    monkeypatch.setattr(runner, "STEPS", [runner.Step("hosts", [[*runner.PYTEST, "tests/host"]])])
    assert runner.main() == 0
    assert "--last-failed" in seen[1]
    told = capsys.readouterr().out.splitlines()
    summary = next(number for number, line in enumerate(told) if line.startswith("== everything passed"))
    assert told[summary - 2 : summary] == [
        "UNSTEADY, failed and then passed: tests/host/test_x.py::test_it[trixie-a b]",
        "UNSTEADY, failed and then passed: tests/host/test_y.py::test_other",
    ]


def test_it_is_the_last_chance(
    runner: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = answering(monkeypatch, runner, (1, SAID), (1, "failed again"))
    monkeypatch.setattr(runner, "STEPS", [runner.Step("hosts", [[*runner.PYTEST, "tests/host"]])])
    assert runner.main() == 1
    assert len(seen) == 2
    assert "UNSTEADY" not in capsys.readouterr().out


def test_what_failed_comes_last(
    runner: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trace = "a line of a test\n" * 500 + "E       assert 1 == 2\ntests/host/test_x.py:7: AssertionError\n"
    answering(monkeypatch, runner, (2, trace + "captured\n" * 500 + SAID), (0, "passed\n" * 500))
    steps = [runner.Step("hosts", [["false"]]), runner.Step("others", [["true"]])]
    monkeypatch.setattr(runner, "STEPS", steps)
    assert runner.main() == 1
    told = capsys.readouterr().out.splitlines()
    last = told[told.index("== hosts: FAILED; again what matters of the above:") :]
    assert last[1:3] == ["E       assert 1 == 2", "tests/host/test_x.py:7: AssertionError"]
    assert "FAILED tests/host/test_x.py::test_it[trixie-a b] - assert 1 == 2" in last
    assert len(last) < 20


def test_a_command_that_hangs_is_interrupted_and_then_killed(
    runner: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "COMMAND_SEC", 2)  # in which a shell begins, even on a busy machine
    monkeypatch.setattr(runner, "INTERRUPTED_SEC", 0.5)
    # What it leaves behind has its output open still.
    status, said = runner.execute(["sh", "-c", "trap '' INT; echo begun; while :; do sleep 3; done"])
    assert status
    assert said.splitlines() == ["begun", "ERROR it hung: interrupted after 2 s", "ERROR killed 0.5 s later"]
    # Whoever then ends well has failed all the same.
    monkeypatch.setattr(runner, "INTERRUPTED_SEC", 60)
    status, said = runner.execute(["sh", "-c", "trap 'exit 0' INT; echo begun; while :; do sleep 0.1; done"])
    assert (status, "killed" in said) == (2, False)


def test_a_storm_has_one_chance(runner: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    lost = SAID.replace("test_y.py::test_other", "../chaos/test_chaos.py::test_it").replace("host/../", "")
    seen = answering(monkeypatch, runner, (1, lost))
    _, status, _ = runner.run("hosts", [[*runner.PYTEST, "tests/vm", "tests/chaos"]])
    assert (status, len(seen)) == (1, 1)
