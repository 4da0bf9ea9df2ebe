"""Parameters of a request's query, each checked as the fields of a message are: InvalidValue names it."""

from __future__ import annotations

from collections.abc import Collection

from aiohttp import web

from ..errors import InvalidValue

MAX_LENGTH = 200


def known(request: web.Request, names: Collection[str]) -> None:
    """Refuse parameters that mean nothing here: better than an answer to another question."""
    for name in request.query:
        if name not in names:
            raise InvalidValue("query", name, f"these parameters: {', '.join(names)}" if names else "no parameters")


def text(request: web.Request, name: str, *, accepted: str = "") -> str:
    """A parameter as it is; empty when it is not there. ``accepted`` is said of one that is there and empty."""
    values = request.query.getall(name, [])
    if accepted and "" in values:
        raise InvalidValue(name, "", accepted)
    if len(values) > 1:
        raise InvalidValue(name, values[1], "one value")
    value = values[0] if values else ""
    if len(value) > MAX_LENGTH or "\0" in value or any("\ud800" <= letter <= "\udfff" for letter in value):
        raise InvalidValue(name, value, f"up to {MAX_LENGTH} characters in UTF-8, without NUL")
    return value


def number(request: web.Request, name: str, default: int, low: int, high: int) -> int:
    """A whole number."""
    value = text(request, name, accepted=f"{low} to {high}")
    if not value:
        return default
    if not (value.isascii() and value.isdecimal() and len(value) < 19 and low <= int(value) <= high):
        raise InvalidValue(name, value, f"{low} to {high}")
    return int(value)


def flag(request: web.Request, name: str, default: bool) -> bool:
    """``true`` or ``false``."""
    value = text(request, name, accepted="true or false")
    if value not in ("", "true", "false"):
        raise InvalidValue(name, value, "true or false")
    return value == "true" if value else default
