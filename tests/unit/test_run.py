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


def test_a_storm_has_one_chance(runner: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    lost = SAID.replace("test_y.py::test_other", "../chaos/test_chaos.py::test_it").replace("host/../", "")
    seen = answering(monkeypatch, runner, (1, lost))
    _, status, _ = runner.run("hosts", [[*runner.PYTEST, "tests/vm", "tests/chaos"]])
    assert (status, len(seen)) == (1, 1)
