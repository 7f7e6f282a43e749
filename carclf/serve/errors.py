"""Refusals and mistakes of clients -> answers of one shape: {"error": "a sentence", "request_id": "…"}."""

from typing import TYPE_CHECKING, Any

from carclf.serve.parameters import describe_problems
from carclf.serve.refusals import CLIENT_GONE, UNKNOWN, WRONG_PARAMETER, Refusal
from carclf.serve.schemas import ErrorReply

if TYPE_CHECKING:
    from fastapi import FastAPI, Request, Response

BROKEN = 500
_SENTENCES = {
    UNKNOWN: "There is nothing here. GET /docs tells what there is.",
    405: "This address takes another method. GET /docs tells which.",
}
_MEANINGS = {
    400: "Not a photo, cut off, too many pixels, several pictures in one, or a broken form",
    401: "The key in X-API-Key is missing or wrong",
    404: "There is no such thing",
    413: "The body, the number of photos or the pictures asked for are over a limit",
    415: "A kind of file, or of body, that is not taken",
    422: "A wrong parameter",
    503: "The server is busy; Retry-After says how many seconds to wait",
    504: "The request took too long",
}
_RETRY_AFTER = {"Retry-After": {"description": "seconds", "schema": {"type": "integer", "minimum": 1}}}


def error_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """How OpenAPI describes errors of a route."""
    described: dict[int | str, dict[str, Any]] = {
        status: {"model": ErrorReply, "description": _MEANINGS[status]} for status in statuses
    }
    if 503 in described:
        described[503]["headers"] = _RETRY_AFTER
    return described


def error_body(sentence: str, request_id: str) -> dict[str, str]:
    """The body of every error."""
    return {"error": sentence, "request_id": request_id}


def add_error_answers(app: "FastAPI") -> None:
    """Lets an app answer every error in the one shape."""
    from fastapi.exceptions import RequestValidationError
    from fastapi.responses import JSONResponse
    from starlette.exceptions import HTTPException
    from starlette.requests import ClientDisconnect

    def answer(request: "Request", status: int, sentence: str, headers: Any = None) -> "Response":
        return JSONResponse(error_body(sentence, request.state.request_id), status, headers)

    async def refused(request: "Request", error: Exception) -> "Response":
        assert isinstance(error, Refusal)
        return answer(request, error.status, error.sentence, error.headers)

    async def wrong_parameter(request: "Request", error: Exception) -> "Response":
        assert isinstance(error, RequestValidationError)
        return answer(request, WRONG_PARAMETER, describe_problems(error.errors()))

    async def unknown(request: "Request", error: Exception) -> "Response":
        assert isinstance(error, HTTPException)
        return answer(request, error.status_code, _SENTENCES.get(error.status_code, error.detail), error.headers)

    async def hung_up(request: "Request", error: Exception) -> "Response":
        return answer(request, CLIENT_GONE, "The client hung up.")

    async def broken(request: "Request", error: Exception) -> "Response":
        return answer(request, BROKEN, "A fault of the server; its log has it under this request_id.")

    app.add_exception_handler(Refusal, refused)
    app.add_exception_handler(RequestValidationError, wrong_parameter)
    app.add_exception_handler(HTTPException, unknown)
    app.add_exception_handler(ClientDisconnect, hung_up)
    app.add_exception_handler(Exception, broken)
