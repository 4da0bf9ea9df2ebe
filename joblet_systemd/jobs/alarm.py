"""An alarm clock by the wall clock, which may be set while it waits (timerfd_create(2)).

asyncio's timers run by the monotonic clock: a host whose clock is corrected by an hour would start its schedules an
hour off. Python has timerfd from 3.13 on only, so libc is called.
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import heapq
import os
import time
from collections.abc import Callable

from ..model import USEC_PER_SEC

FEW = 100
TFD_TIMER_ABSTIME = 1
TFD_TIMER_CANCEL_ON_SET = 2

_libc = ctypes.CDLL(None, use_errno=True)


def now_usec() -> int:
    """The wall clock, in microseconds since the epoch."""
    return time.time_ns() // 1000


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Timer(ctypes.Structure):
    _fields_ = (("interval", _Timespec), ("value", _Timespec))


class Alarm:
    """Calls ``on_due(name)`` when a name's time has come, and ``on_clock_set()`` when the clock was set.

    Both are called in the event loop. Times are microseconds since the epoch. Nothing wakes up while no time is set.
    """

    def __init__(self, on_due: Callable[[str], None], on_clock_set: Callable[[], None]) -> None:
        self._on_due = on_due
        self._on_clock_set = on_clock_set
        self._times: dict[str, int] = {}
        self._heap: list[tuple[int, str]] = []  # some of these times were changed or cleared
        self._fd = _libc.timerfd_create(time.CLOCK_REALTIME, os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        asyncio.get_running_loop().add_reader(self._fd, self._ring)

    def set(self, name: str, usec: int) -> None:
        """Set or change a name's time; one that has passed is due at once."""
        self._times[name] = usec
        heapq.heappush(self._heap, (usec, name))
        self._arm()

    def __contains__(self, name: str) -> bool:
        """Whether there is a time for that name."""
        return name in self._times

    def clear(self, name: str) -> bool:
        """Forget a name; whether there was a time for it."""
        known = self._times.pop(name, None) is not None
        if known:
            self._arm()
        return known

    def close(self) -> None:
        """Ring no more, whatever is set from now on."""
        asyncio.get_running_loop().remove_reader(self._fd)
        os.close(self._fd)
        self._fd = -1

    def _arm(self) -> None:
        if self._fd < 0:
            return
        if len(self._heap) > 2 * len(self._times) + FEW:
            self._heap = [(usec, name) for name, usec in self._times.items()]
            heapq.heapify(self._heap)
        while self._heap and self._times.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        seconds, usec = divmod(max(self._heap[0][0], 1), USEC_PER_SEC) if self._heap else (0, 0)
        timer = _Timer(value=_Timespec(seconds, usec * 1000))  # all zero: off
        if _libc.timerfd_settime(self._fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, ctypes.byref(timer), None) < 0:
            number = ctypes.get_errno()
            if number != errno.ECANCELED:
                raise OSError(number, "timerfd_settime")
            # It is armed all the same; the clock was set since it was last.
            asyncio.get_running_loop().call_soon(self._on_clock_set)

    def _ring(self) -> None:
        clock_set = False
        try:
            os.read(self._fd, 8)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.ECANCELED:
                raise
            clock_set = True
        try:
            if clock_set:
                self._on_clock_set()
            now = now_usec()
            while self._heap and self._heap[0][0] <= now:
                usec, name = heapq.heappop(self._heap)
                if self._times.get(name) == usec:
                    del self._times[name]
                    self._on_due(name)
        finally:
            self._arm()  # whatever failed there, the others' time comes
