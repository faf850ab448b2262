"""What the server responds with: JSON that can hold any file name, and errors as a problem with a hint."""

from __future__ import annotations

import errno
import json
import logging

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from aral.errors import BadInput, RunFailed

log = logging.getLogger(__name__)

SHORTAGES = {
    errno.ENOSPC: "No space is left on the disk.",
    errno.EDQUOT: "No space is left in the quota of this user.",
    errno.EMFILE: "Too many files are open (ulimit -n).",
    errno.ENFILE: "Too many files are open on this machine.",
}
"""What may be missing for a moment; none of these is an error of the program."""


class Json(JSONResponse):
    """JSON in ASCII: a file name that is not valid UTF-8 holds surrogates, which only escapes can carry."""

    def __init__(self, content: object, status_code: int = 200) -> None:
        super().__init__(content, status_code, {"cache-control": "no-store"})

    def render(self, content: object) -> bytes:
        return json.dumps(content, allow_nan=False, separators=(",", ":")).encode("ascii")


def problem(status: int, text: str, hint: str = "") -> Json:
    """An error as every route reports it."""
    return Json({"problem": text, "hint": hint}, status)


def add_error_handlers(app: FastAPI) -> None:
    """Report every expected error as a problem with a hint.

    The status is 400 for a request that cannot be carried out, 422 for one that cannot be read, and 503 for
    one that may succeed later, for instance when the disk is full.
    """

    async def bad_input(request: Request, error: Exception) -> Json:
        assert isinstance(error, BadInput)
        return problem(400, error.problem, error.hint)

    async def run_failed(request: Request, error: Exception) -> Json:
        assert isinstance(error, RunFailed)
        return problem(503, error.problem, error.hint)

    async def not_valid(request: Request, error: Exception) -> Json:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        return problem(422, f"The request cannot be read: {field}: {first['msg']}.", "Reload the page.")

    async def http_error(request: Request, error: Exception) -> Json:
        assert isinstance(error, HTTPException)
        return problem(error.status_code, str(error.detail))

    async def no_resources(request: Request, error: Exception) -> Response:
        assert isinstance(error, OSError)
        if error.errno not in SHORTAGES:
            raise error
        shortage = SHORTAGES[error.errno]
        log.warning("A request failed: %s", shortage)
        return problem(503, f"{shortage} What was saved before stays.", "Try again in a moment.")

    app.add_exception_handler(OSError, no_resources)
    app.add_exception_handler(BadInput, bad_input)
    app.add_exception_handler(RunFailed, run_failed)
    app.add_exception_handler(RequestValidationError, not_valid)
    app.add_exception_handler(HTTPException, http_error)
