"""How much one identity may ask for at once, so that what it sends can neither fill the memory nor starve others.

Left to itself, gRPC reads every message whole, up to MAX_REQUEST_BYTES, before anybody is asked. Here the
caller is known before more of a call than its first WINDOW_BYTES is read, and is then read to a few at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from typing import Any

from google.protobuf.message import DecodeError, Message
from grpc import aio

from ..errors import Exhausted, InvalidValue, TooSlow
from .threads import Threads

MAX_REQUEST_BYTES = 128 << 20
# What gRPC takes of a call that is not read yet.
WINDOW_BYTES = 64 << 10
# Files inside of requests are what old clients send; nothing else is large.
LARGE = frozenset(
    {"JobService/RunJob", "JobService/RunWorkflow"}
    | {f"RuntimeService/{method}" for method in ("InstallRuntimeFromLocal", "StreamingInstallRuntimeFromLocal")}
)
SMALL_BYTES = 64 << 10
STREAMED_BYTES = 4 << 20
SMALL_SEC, LARGE_SEC = 10.0, 900.0
# Of one identity: calls in all, those of them that are not read yet, and those that are being read at the same
# time, once for the small and once for the large.
MAX_CALLS, MAX_UNREAD, MAX_READS = 12_000, 2_000, 2

_parsers = Threads(8, "parse")

END: Any = aio.EOF  # type: ignore[attr-defined] # the stubs do not have it
# In pure Python it also lets pass what it comes across, such as UnicodeDecodeError.
BAD_MESSAGE = (DecodeError, ValueError, IndexError, RecursionError, struct.error)
Parse = Callable[[bytes], Message]


class Bounds:
    """Counts the calls of each identity."""

    def __init__(self) -> None:
        self._calls: Counter[str] = Counter()
        self._unread: Counter[str] = Counter()
        # As many as there are identities with certificates, at most.
        self._reads: defaultdict[tuple[str, bool], asyncio.Semaphore] = defaultdict(
            lambda: asyncio.Semaphore(MAX_READS)
        )

    def call(self, who: str) -> contextlib.AbstractContextManager[None]:
        """A call of this identity. Raises Exhausted when there are too many."""
        return counted(self._calls, who, MAX_CALLS, "calls")

    @contextlib.asynccontextmanager
    async def request(self, name: str, who: str, parse: Parse, context: Any) -> AsyncIterator[Message]:
        """The one request of a call. Raises InvalidValue, Exhausted, TooSlow."""
        large = name in LARGE
        async with contextlib.AsyncExitStack() as reading:
            with counted(self._unread, who, MAX_UNREAD, "calls that wait to be read"):
                await reading.enter_async_context(self._reads[who, large])
                raw = await _read(context, LARGE_SEC if large else SMALL_SEC)
            size, limit = len(raw), MAX_REQUEST_BYTES if large else SMALL_BYTES
            if size > limit:
                del raw  # or the traceback would keep it
                raise _too_large(size, limit)
            request = await _parsed(raw, parse)
            del raw
            if not large:
                await reading.aclose()
            yield request  # a large one counts as long as it is there

    async def requests(self, parse: Parse, context: Any) -> AsyncGenerator[Message, None]:
        """The requests of a call that streams them, read one by one. Raises InvalidValue."""
        while (raw := await context.read()) is not END:
            if len(raw) > STREAMED_BYTES:
                raise _too_large(len(raw), STREAMED_BYTES)
            yield await _parsed(raw, parse)


async def _read(context: Any, seconds: float) -> bytes:
    try:
        async with asyncio.timeout(seconds):
            raw = await context.read()
    except TimeoutError:
        raise TooSlow(
            f"The request was not there after {seconds:.0f} s.", hint="Is the connection broken or very slow?"
        ) from None
    if raw is END:
        raise InvalidValue("request", None, "one message")
    return bytes(raw)


def _too_large(size: int, limit: int) -> InvalidValue:
    return InvalidValue("request", f"{size} bytes", f"at most {limit >> 10} KiB in a message of this call")


async def _parsed(raw: bytes, parse: Parse) -> Message:
    try:
        # protobuf in pure Python, which some distributions ship, takes a second for each megabyte of small fields.
        # Whoever goes meanwhile, it counts until that has been done.
        return await _parsers.run(parse, raw) if len(raw) > SMALL_BYTES else parse(raw)
    except BAD_MESSAGE:
        raise InvalidValue(
            "request",
            f"{len(raw)} bytes",
            "a protobuf message of this call, its strings in UTF-8",
            hint="Does the client speak another version of the protocol?",
        ) from None


@contextlib.contextmanager
def counted(counter: Counter[str], who: str, limit: int, what: str) -> Iterator[None]:
    """One more of ``what`` for this identity, as long as the block lasts. Raises Exhausted when there are too many."""
    if counter[who] >= limit:
        raise Exhausted(f"{who!r} has {limit} {what} already, as many as there may be.", hint="Try again later.")
    counter[who] += 1
    try:
        yield
    finally:
        counter[who] -= 1
        if not counter[who]:
            del counter[who]
