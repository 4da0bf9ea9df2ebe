"""Gives memory that is free back to the kernel.

malloc keeps what the largest answers took. A setting that bounds this (mallopt(3), M_TRIM_THRESHOLD) makes uploads take
half as long again.
"""

from __future__ import annotations

import ctypes

_libc = ctypes.CDLL(None)


def give_back() -> None:
    """All whole pages that are free (malloc_trim(3)); of some tens of megabytes it takes about a millisecond."""
    _libc.malloc_trim(ctypes.c_size_t(0))
