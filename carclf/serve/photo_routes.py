"""The route that answers photos."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse, Response

from carclf.serve.asking import Service, held_chunks
from carclf.serve.bodies import BYTES, FORM, PART, read_uploads
from carclf.serve.errors import error_responses
from carclf.serve.gate import Ticket
from carclf.serve.parameters import PredictParameters
from carclf.serve.refusals import CLIENT_GONE, Refusal, too_slow
from carclf.serve.schemas import PredictReply

Outcome = TypeVar("Outcome")
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_BODY = {
    "requestBody": {
        "required": True,
        "description": f"Photos as a form, in parts called {PART}; or the bytes of one photo.",
        "content": {
            FORM: {
                "schema": {
                    "type": "object",
                    "required": [PART],
                    "additionalProperties": False,
                    "properties": {PART: {"type": "array", "minItems": 1, "items": _BINARY["schema"]}},
                }
            },
            **dict.fromkeys(("image/jpeg", "image/png", "image/webp", "image/bmp", "image/tiff", BYTES), _BINARY),
        },
    }
}


def make_photo_routes(service: Service, errors: tuple[int, ...]) -> APIRouter:
    """Makes the route; `errors`: statuses that every route can answer with."""
    routes = APIRouter()

    async def admit() -> AsyncIterator[Ticket]:
        ticket = service.gate.enter()
        try:
            yield ticket
        finally:
            service.release(ticket)

    held = Depends(admit, scope="request")  # until the answer is sent

    @routes.post(
        "/v1/predict",
        response_model=PredictReply,
        responses=error_responses(*errors, 413, 415, 422, 503, 504),
        openapi_extra=_BODY,
        summary="Answers one or several photos",
    )
    async def predict(
        request: Request, parameters: Annotated[PredictParameters, Query()], ticket: Annotated[Ticket, held]
    ) -> Response:
        return JSONResponse(await _predict(service, request, parameters, ticket))

    return routes


async def _predict(service: Service, request: Request, parameters: PredictParameters, ticket: Ticket) -> dict[str, Any]:
    limits, time_limit = service.settings.limits, service.settings.time_limit
    try:
        async with asyncio.timeout(time_limit):
            chunks = held_chunks(request.stream(), ticket)
            uploads = await read_uploads(request.headers.get("Content-Type", ""), chunks, limits.most_photos)
            request.state.photos = len(uploads)
            said = await _unless_gone(request, service.ask(uploads, parameters.wanted, ticket))
    except TimeoutError:
        raise too_slow(time_limit) from None
    return service.make_reply(uploads, said, parameters.case)


async def _unless_gone(request: Request, work: Awaitable[Outcome]) -> Outcome:
    """The outcome of some work, which is given up when the client hangs up."""
    working, leaving = asyncio.ensure_future(work), asyncio.ensure_future(_hang_up(request))
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise Refusal(CLIENT_GONE, "The client hung up.")
        return working.result()
    finally:
        working.cancel()
        leaving.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _hang_up(request: Request) -> None:
    """Ends when the client hangs up; its body is read already."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
