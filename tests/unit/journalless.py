"""Imports of the daemon's parts without systemd-python: it is compiled, and no unit test reads a journal."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest


def imported(name: str) -> Any:
    """The module ``name`` of joblet_systemd."""
    with pytest.MonkeyPatch.context() as patched:
        if importlib.util.find_spec("systemd") is None:
            patched.setitem(sys.modules, "systemd", ModuleType("systemd"))
            patched.setitem(sys.modules, "systemd._reader", SimpleNamespace(_Reader=None))  # type: ignore[misc]
        return importlib.import_module(f"joblet_systemd.{name}")
