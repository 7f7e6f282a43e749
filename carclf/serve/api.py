"""All routes as one app: those that need the key, if there is one, and those that do not."""

import hashlib
import hmac
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import APIRouter, FastAPI, Security
from fastapi.responses import Response
from fastapi.security import APIKeyHeader

from carclf import __version__
from carclf.serve.asking import Service
from carclf.serve.docs_page import add_docs
from carclf.serve.errors import add_error_answers, error_responses
from carclf.serve.metrics import CONTENT_TYPE, Metrics
from carclf.serve.model_routes import make_model_routes
from carclf.serve.page_files import add_page, read_page_files
from carclf.serve.photo_routes import make_photo_routes
from carclf.serve.refusals import stopping, wrong_key
from carclf.serve.schemas import StateReply

_CLOSING_SECONDS = 5.0  # for what is being answered when no request waits for it any more
_DESCRIPTION = (
    "Photos of a car in, honest answers out: how bad the damage is, where it is, of what kind, and which pixels are "
    "damaged. The answers are those of `python main.py predict`."
)


def make_api(service: Service) -> FastAPI:
    """Makes the app of a service; it starts and closes the service with itself."""

    @asynccontextmanager
    async def live(app: FastAPI) -> AsyncIterator[None]:
        service.start()
        yield
        await service.close(_CLOSING_SECONDS)

    app = FastAPI(
        title="carclf", version=__version__, description=_DESCRIPTION, lifespan=live, docs_url=None, redoc_url=None
    )
    key = service.settings.api_key
    errors, check = ((400,), []) if key is None else ((400, 401), [Security(_key_check(key))])
    app.include_router(make_photo_routes(service, errors), dependencies=check)
    app.include_router(make_model_routes(service.facts, errors), dependencies=check)
    app.include_router(_make_figure_routes(service.metrics, errors), dependencies=check)
    app.include_router(_make_state_routes(service))
    add_error_answers(app)
    add_docs(app)
    add_page(app, read_page_files())
    return app


def _key_check(key: str) -> Callable[..., Awaitable[None]]:
    """Lets through who has the key; how long the comparison takes says nothing about it."""
    expected = hashlib.sha256(key.encode()).digest()
    header = APIKeyHeader(name="X-API-Key", auto_error=False, description="The key of the service")

    async def check(given: Annotated[str | None, Security(header)]) -> None:
        if not hmac.compare_digest(hashlib.sha256((given or "").encode()).digest(), expected):
            raise wrong_key()

    return check


def _make_figure_routes(figures: Metrics, errors: tuple[int, ...]) -> APIRouter:
    routes = APIRouter()
    text = {"content": {"text/plain": {"schema": {"type": "string"}}}}

    @routes.get(
        "/metrics",
        response_class=Response,
        responses={200: text, **error_responses(*errors)},
        summary="Figures for Prometheus",
    )
    async def metrics() -> Response:
        return Response(figures.text(), media_type=CONTENT_TYPE)

    return routes


def _make_state_routes(service: Service) -> APIRouter:
    """What needs no key."""
    routes = APIRouter()

    @routes.get("/healthz", responses=error_responses(400), summary="Whether the service is there")
    async def healthz() -> StateReply:
        return StateReply(status="ok")

    @routes.get("/readyz", responses=error_responses(400, 503), summary="Whether it answers photos")
    async def readyz() -> StateReply:
        if not service.is_ready:
            raise stopping()
        return StateReply(status="ok")

    return routes
