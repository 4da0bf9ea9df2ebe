"""Threads for work that waits for the disk, minutes perhaps: their own, so that nothing else waits with it.

What is removed does not wait for what is written out, either.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

THREADS = 4  # of each; more of them do not make the disk any faster

_writers = ThreadPoolExecutor(THREADS, thread_name_prefix="write-out")
_cleaners = ThreadPoolExecutor(THREADS, thread_name_prefix="clean-up")


async def write_out(
    function: Callable[Parameters, Result], *args: Parameters.args, **kwargs: Parameters.kwargs
) -> Result:
    """What the function, which unmounts a /work, returns or raises."""
    return await asyncio.get_running_loop().run_in_executor(_writers, partial(function, *args, **kwargs))


async def clean_up(
    function: Callable[Parameters, Result], *args: Parameters.args, **kwargs: Parameters.kwargs
) -> Result:
    """What the function, which removes or copies files, returns or raises."""
    return await asyncio.get_running_loop().run_in_executor(_cleaners, partial(function, *args, **kwargs))
