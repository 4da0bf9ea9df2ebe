"""The body of a request: JSON of bounded size, read in bounded time, and the job that it asks for."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from aiohttp import web

from joblet_wire import joblet_pb2 as wire

from ..api.threads import Threads
from ..errors import InvalidValue, TooSlow
from .problems import BadRequest

TYPE = "application/json"
# Arguments of 1 MiB and variables of 512 KiB, with what JSON adds to them.
MAX_BYTES = 4 << 20
READ_SEC = 30.0
# Bodies of one identity that are in memory at a time.
AT_ONCE = 2
THREAD_BYTES = 64 << 10
_parsers = Threads(2, "json")
INT32 = (-(2**31), 2**31 - 1)
INT64 = (-(2**63), 2**63 - 1)

Convert = Callable[[str, Any], Any]


class Bodies:
    """Reads bodies, a few at a time of each identity."""

    def __init__(self) -> None:
        self._slots: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(AT_ONCE))

    async def json(self, request: web.Request, who: str, held: contextlib.AsyncExitStack) -> Any:
        """The value; its slot is taken until ``held`` ends. Raises BadRequest, InvalidValue, TooSlow."""
        if request.content_type != TYPE:
            raise BadRequest(415, f"Content-Type: {request.content_type[:80]!r} is not accepted; expected {TYPE}.")
        if request.content_length is None:
            raise BadRequest(411, "Content-Length: expected the size of the body; chunked ones are not accepted.")
        if request.content_length > MAX_BYTES:
            raise BadRequest(413, f"The body has {request.content_length} bytes; accepted are {MAX_BYTES}.")
        await held.enter_async_context(self._slots[who])
        try:
            async with asyncio.timeout(READ_SEC):
                raw = await request.content.readexactly(request.content_length) if request.content_length else b""
        except TimeoutError:
            raise TooSlow(
                f"The body was not there after {READ_SEC:.0f} s.", hint="Is the connection broken or very slow?"
            ) from None
        except asyncio.IncompleteReadError:
            raise ConnectionResetError("the client has gone") from None
        return await _parsers.run(_parsed, raw) if len(raw) > THREAD_BYTES else _parsed(raw)


def _parsed(raw: bytes) -> Any:
    try:
        return json.loads(raw.decode(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        why = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise BadRequest(400, f"The body is not JSON in UTF-8: {why:.100}.") from None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


# --- a job


def _text(field: str, value: Any) -> str:
    if not isinstance(value, str):
        raise InvalidValue(field, value, "a string")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidValue(field, value, "a string without lone surrogates") from None
    return value


def _words(field: str, value: Any) -> list[str]:
    if not isinstance(value, list):
        raise InvalidValue(field, value, "a list of strings")
    return [_text(f"{field}[{index}]", word) for index, word in enumerate(value)]


def _variables(field: str, value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        raise InvalidValue(field, value, "an object of strings")
    return {_text(field, name): _text(f"{field} {name}", text) for name, text in value.items()}


def _secrets(field: str, value: Any) -> dict[str, str]:
    # Unlike other values, no error repeats these.
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise InvalidValue(field, "***", "an object of strings")
    try:
        "".join([*value, *value.values()]).encode()
    except UnicodeEncodeError:
        raise InvalidValue(field, "***", "strings without lone surrogates") from None
    return value


def _number(low: int, high: int) -> Convert:
    def convert(field: str, value: Any) -> int:
        if isinstance(value, float) and value.is_integer():
            value = int(value)  # in JSON they are the same
        if isinstance(value, bool) or not isinstance(value, int):
            raise InvalidValue(field, value, "a whole number")
        if not low <= value <= high:
            raise InvalidValue(field, value, f"{low} to {high}")
        return value

    return convert


# The key in JSON, the field of RunJobRequest, and what its value has to be.
FIELDS: Mapping[str, tuple[str, Convert]] = {
    "command": ("command", _text),
    "args": ("args", _words),
    "name": ("name", _text),
    "environment": ("environment", _variables),
    "secretEnvironment": ("secret_environment", _secrets),
    "maxCpu": ("max_cpu", _number(*INT32)),
    "cpuCores": ("cpu_cores", _text),
    "maxMemory": ("max_memory", _number(*INT32)),
    "maxIoBps": ("max_io_bps", _number(*INT32)),
    "maxRuntimeMs": ("max_runtime_ms", _number(*INT64)),
    "maxDisk": ("max_disk", _number(*INT32)),
    "priority": ("priority", _number(*INT32)),
    "retries": ("retries", _number(*INT32)),
    "retryDelayMs": ("retry_delay_ms", _number(*INT64)),
    "schedule": ("schedule", _text),
    "timeZone": ("time_zone", _text),
}
KEYS = {field: key for key, (field, _) in FIELDS.items()}
KEYS |= {"max_runtime": "maxRuntimeMs", "retry_delay": "retryDelayMs"}


def job(value: Any) -> wire.RunJobRequest:
    """The request that the JSON object stands for. Raises InvalidValue naming the key."""
    if not isinstance(value, dict):
        raise InvalidValue("body", value, "a JSON object")
    unknown = sorted(value.keys() - FIELDS.keys())
    if unknown:
        raise InvalidValue("body", unknown[0], f"these keys: {', '.join(FIELDS)}")
    converted = {FIELDS[key][0]: FIELDS[key][1](key, given) for key, given in value.items()}
    return wire.RunJobRequest(**converted)


@contextlib.contextmanager
def in_json_terms() -> Iterator[None]:
    """What is refused of a field within is refused of its key."""
    try:
        yield
    except InvalidValue as error:
        field, space, rest = error.field.partition(" ")
        raise error.called(f"{KEYS.get(field, field)}{space}{rest}") from None
