"""Errors as clients get them: ``application/problem+json`` (RFC 9457)."""

from __future__ import annotations

import json
import re
from http import HTTPStatus
from typing import Any

from aiohttp import web

from ..errors import Ambiguous, InvalidValue, JobletError

TYPE = "application/problem+json"
STATUS = {
    "INVALID_ARGUMENT": HTTPStatus.BAD_REQUEST,
    "NOT_FOUND": HTTPStatus.NOT_FOUND,
    "PERMISSION_DENIED": HTTPStatus.FORBIDDEN,
    "FAILED_PRECONDITION": HTTPStatus.CONFLICT,
    "UNIMPLEMENTED": HTTPStatus.NOT_IMPLEMENTED,
    "RESOURCE_EXHAUSTED": HTTPStatus.TOO_MANY_REQUESTS,
    "UNAVAILABLE": HTTPStatus.SERVICE_UNAVAILABLE,
    "ABORTED": HTTPStatus.REQUEST_TIMEOUT,
    "INTERNAL": HTTPStatus.INTERNAL_SERVER_ERROR,
}


class BadRequest(JobletError):
    """A request that HTTP itself has a word for: a status of 4xx."""

    grpc_status = "INVALID_ARGUMENT"

    def __init__(self, status: int, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.status = status


def of(error: JobletError) -> dict[str, Any]:
    """The members of the problem: type, title, status, detail, and hint and field where there are such."""
    if isinstance(error, BadRequest):
        return plain(error.status, error.message, error.hint)
    words = re.sub(r"(?<!^)(?=[A-Z])", " ", type(error).__name__).lower()
    problem: dict[str, Any] = {
        "type": f"urn:joblet:problem:{words.replace(' ', '-')}",
        "title": words.capitalize(),
        "status": int(HTTPStatus.CONFLICT if isinstance(error, Ambiguous) else STATUS[error.grpc_status]),
        "detail": error.message,
    }
    if error.hint:
        problem["hint"] = error.hint
    if isinstance(error, InvalidValue):
        problem["field"] = error.field
    return problem


def plain(status: int, detail: str, hint: str = "") -> dict[str, Any]:
    """The problem of a request that HTTP itself has a word for."""
    problem = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    return problem | ({"hint": hint} if hint else {})


def response(problem: dict[str, Any], headers: dict[str, str] | None = None) -> web.Response:
    """The answer that tells of it."""
    return web.Response(
        status=problem["status"],
        body=json.dumps(problem, ensure_ascii=False).encode(errors="replace"),
        content_type=TYPE,
        headers=headers,
    )
