"""Around everything: request ids, one line of JSON per request on stderr, figures for Prometheus.

A line says when, what was asked for (the route, never the path), what came of it and how long it took. It holds no
names of files, nothing of their contents, no addresses and no key.
"""

import json
import logging
import re
import time
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from carclf.serve.metrics import Metrics
from carclf.serve.refusals import CLIENT_GONE

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOG = logging.getLogger(__name__)
REQUEST_ID = "X-Request-ID"
UNMATCHED = "unmatched"  # in place of a route, where there is none
_CLIENTS_ID = re.compile(rb"[A-Za-z0-9-]{1,64}")
_LONGEST_METHOD = 20  # letters; any word is a method
_DIGITS = 1  # of milliseconds


class AccessLog:
    """Wraps an ASGI app."""

    def __init__(self, app: "ASGIApp", metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Answers a request and writes its line; passes on what is none."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, statuses = time.perf_counter(), []
        state = scope.setdefault("state", {})
        state["request_id"] = _request_id(scope)
        header = (REQUEST_ID.lower().encode(), state["request_id"].encode())

        async def note_status(message: "Message") -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])
                message = {**message, "headers": [*message.get("headers", ()), header]}
            await send(message)

        with self._metrics.in_flight.track_inprogress():
            try:
                await self._app(scope, receive, note_status)
            except Exception:  # it is answered with 500 already
                LOG.exception(json.dumps({"time": _now(), "request_id": state["request_id"], "message": "a fault"}))
        seconds = time.perf_counter() - started
        line = _line(scope, statuses[0] if statuses else CLIENT_GONE, seconds)
        self._metrics.count_request(line["route"], line["method"], line["status"], seconds)
        LOG.info(json.dumps(line))


def _request_id(scope: "Scope") -> str:
    """That of the client if it is harmless, else one of our own."""
    given = next((value for name, value in scope["headers"] if name == REQUEST_ID.lower().encode()), b"")
    return given.decode() if _CLIENTS_ID.fullmatch(given) else uuid.uuid4().hex


def _line(scope: "Scope", status: int, seconds: float) -> dict[str, Any]:
    state = scope["state"]
    return {
        "time": _now(),
        "request_id": state["request_id"],
        "method": scope["method"][:_LONGEST_METHOD],
        "route": getattr(scope.get("route"), "path", UNMATCHED),
        "status": status,
        "bytes": state.get("bytes", 0),
        "photos": state.get("photos", 0),
        "duration_ms": round(1000 * seconds, _DIGITS),
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
