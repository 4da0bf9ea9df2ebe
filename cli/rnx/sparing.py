"""gRPC without its asyncio interface, which rnx does not use: a third of the time that importing gRPC takes."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any


class _Later(ModuleType):
    """Stands for a module that nobody is expected to look into; whoever does gets what is in the real one."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # the import system asks for those
            raise AttributeError(name)
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(importlib.import_module(self.__name__), name)


@contextlib.contextmanager
def put_off(*names: str) -> Iterator[None]:
    """What is imported in the block gets these modules, as far as they are not there already, when it uses them."""
    absent = [name for name in names if name not in sys.modules]
    placeholders = {name: _Later(name) for name in absent}
    sys.modules.update(placeholders)
    try:
        yield
    finally:
        for name, placeholder in placeholders.items():
            if sys.modules.get(name) is placeholder:
                del sys.modules[name]
