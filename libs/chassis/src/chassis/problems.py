"""Problem details (RFC 9457) for everything that an HTTP API refuses.

Guarantee: every error response is `application/problem+json` with a stable `code`, whichever layer
refused; none shows a traceback or a secret.
"""

import logging
from collections.abc import Mapping
from functools import cache
from http import HTTPStatus
from typing import Any

import orjson
from botocore.exceptions import BotoCoreError, ClientError
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException

from chassis.methods import Methods
from contracts.openapi import load_openapi
from messaging import is_outage

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
MAX_FIELD_ERRORS = 20


class Problem(Exception):
    """An error with a status, a code and a text that says what to do."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        errors: list[dict[str, str]] | None = None,
        **extensions: Any,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.headers = dict(headers or {})
        self.errors = errors
        self.extensions = extensions

    def body(self) -> bytes:
        """The problem document."""
        document: dict[str, Any] = {
            "type": f"urn:bookstore:problem:{self.code}",
            "title": self.code.replace("_", " ").capitalize(),
            "status": self.status,
            "detail": str(self),
            "code": self.code,
            **self.extensions,
        }
        if self.errors:
            document["errors"] = self.errors
        return orjson.dumps(document)

    def response(self) -> Response:
        """The problem as an HTTP response."""
        return Response(self.body(), self.status, self.headers, media_type=MEDIA_TYPE)


def problem_responses(**descriptions: str) -> dict[int | str, dict[str, Any]]:
    """OpenAPI entries for the problems of an endpoint: `problem_responses(_409="out of stock")`.

    Every endpoint that takes parameters must name 422, or FastAPI documents an answer of its own.
    """
    return {
        int(status.lstrip("_")): {
            "description": description,
            "content": {MEDIA_TYPE: {"schema": _problem_schema()}},
        }
        for status, description in descriptions.items()
    }


@cache
def _problem_schema() -> Mapping[str, Any]:
    schema: Mapping[str, Any] = load_openapi("order")["components"]["schemas"]["Problem"]
    return schema


# What each endpoint that takes a body may answer, besides what it refuses itself.
BODY_PROBLEMS = problem_responses(
    _400="The body is no JSON (invalid_json), or the request is malformed (bad_request).",
    _413="The body is larger than the service takes (content_too_large).",
    _415="The body is not application/json (unsupported_media_type).",
    _422="The request breaks its contract (invalid_request); `errors` says where.",
)
INVALID = problem_responses(
    _422="The request breaks its contract (invalid_request); `errors` says where."
)
UNAVAILABLE = problem_responses(_503="A dependency does not answer; try again later.")


def install_problem_handlers(app: FastAPI, methods: Methods) -> None:
    """Answer every kind of error with a problem document; `methods` are the application's own."""

    async def on_problem(_: Request, error: Exception) -> Response:
        assert isinstance(error, Problem)
        return error.response()

    async def on_invalid(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        found = error.errors()
        for each in found:
            if each["type"] == "json_invalid":
                detail = f"The body is no valid JSON, at character {each['loc'][-1]}."
                return Problem(400, "invalid_json", detail).response()
        detail = "The request breaks its contract; `errors` says where."
        return Problem(422, "invalid_request", detail, errors=_fields(found)).response()

    async def on_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        headers = dict(error.headers or {})
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            # A route knows its own methods only, and others may have the same path.
            headers["Allow"] = ", ".join(methods.of(request.url.path))
        phrase = HTTPStatus(error.status_code).phrase
        code = phrase.lower().replace(" ", "_").replace("-", "_")
        return Problem(error.status_code, code, str(error.detail) + ".", headers=headers).response()

    async def on_outage(request: Request, error: Exception) -> Response:
        if not is_outage(error):
            raise error  # It may be ours after all: on to `on_bug`.
        log.warning("%s %s: a dependency is down: %s", request.method, request.url.path, error)
        return _unavailable().response()

    async def on_bug(request: Request, error: Exception) -> Response:
        log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        detail = "Something failed here; it is logged. The same request may be sent again."
        # The server closes the connection after this; the client should know.
        closing = {"Connection": "close"}
        return Problem(500, "internal_error", detail, headers=closing).response()

    app.add_exception_handler(Problem, on_problem)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(HTTPException, on_http)
    # By their classes: what only `Exception` catches is raised again after the answer, and then the
    # server writes a traceback for each request of an outage.
    for outage in (DBAPIError, PoolTimeoutError, OSError, ClientError, BotoCoreError):
        app.add_exception_handler(outage, on_outage)
    app.add_exception_handler(Exception, on_bug)


def _unavailable() -> Problem:
    detail = "The service cannot reach what it needs; send the same request again soon."
    return Problem(503, "unavailable", detail, headers={"Retry-After": "2", "Connection": "close"})


def _fields(errors: Any) -> list[dict[str, str]]:
    listed = [
        {
            "pointer": "/" + "/".join(str(part) for part in error["loc"]),
            "message": str(error["msg"])[:300],
        }
        for error in errors[:MAX_FIELD_ERRORS]
    ]
    if len(errors) > MAX_FIELD_ERRORS:
        listed.append({"pointer": "", "message": f"and {len(errors) - MAX_FIELD_ERRORS} more"})
    return listed
