"""Around all routes: limits that hold whatever a route does, safe headers, clients that read or send slowly.

- A body is counted while it is read, with or without a Content-Length: what is too long is refused before it is there.
- An answer that comes before the body was read whole would be lost if the connection were closed at once: what the
  client still sends is thrown away for a moment, and then the connection is closed.
- An answer goes out piece by piece; a client that takes none of it for a while is left alone.
- A page of another site can make a browser call 127.0.0.1 by a name of its own: such names are refused.
- HEAD is answered as GET is, without the body: what watches a service often asks so.
- What is given up because the server ends is told so, as far as nothing else was said.
"""

import asyncio
import json
from typing import TYPE_CHECKING

from carclf.serve.errors import error_body
from carclf.serve.refusals import Refusal, stopping, too_many_bytes, wrong_host
from carclf.serve.settings import Settings

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

SAFE_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_PIECE = 256 * 1024  # bytes of an answer that are sent at once
_SEND_SECONDS = 30.0  # for a piece
_LINGER_SECONDS, _LINGER_BYTES = 2.0, 64 * 2**20  # that are thrown away after an early answer


class Guard:
    """Wraps an ASGI app."""

    def __init__(self, app: "ASGIApp", settings: Settings) -> None:
        self._app, self._settings = app, settings

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Answers a request, or passes on what is none."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        body = _Body(receive, headers, self._settings.limits.most_bytes)
        answer = _Answer(send, body)
        try:
            self._check_host(headers.get("host", ""))
        except Refusal as refusal:
            await _send_refusal(refusal, scope["state"]["request_id"], answer)
        else:
            await self._answer(scope, body, answer)
        scope["state"]["bytes"] = body.count

    async def _answer(self, scope: "Scope", body: "_Body", answer: "_Answer") -> None:
        # of HEAD the server itself leaves the body out
        asked = {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope
        try:
            await self._app(asked, body.receive, answer.send)
        except asyncio.CancelledError:  # by uvicorn alone, when it has waited long enough or is told to stop twice
            if not answer.has_begun:
                await _send_refusal(stopping(), scope["state"]["request_id"], answer)
        scope["route"] = asked.get("route")

    def _check_host(self, host: str) -> None:
        allowed = self._settings.host_names
        name = host.lower() if host.endswith("]") else host.lower().rpartition(":")[0] or host.lower()
        if allowed is not None and name not in allowed:
            raise wrong_host(name)


async def _send_refusal(refusal: Refusal, request_id: str, answer: "_Answer") -> None:
    body = json.dumps(error_body(refusal.sentence, request_id)).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    headers += [(name.lower().encode(), value.encode()) for name, value in refusal.headers.items()]
    await answer.send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await answer.send({"type": "http.response.body", "body": body})


class _Body:
    """The body of a request, counted."""

    def __init__(self, receive: "Receive", headers: dict[str, str], most: int) -> None:
        self.count = 0
        declared = headers.get("content-length", "0")
        self.declared = int(declared) if declared.isdecimal() else 0
        self.ended = not self.declared and "transfer-encoding" not in headers
        self.awaits_our_word = "expect" in headers  # the client sends nothing before we read
        self._receive, self._most = receive, most

    async def receive(self) -> "Message":
        """The next piece.

        Raises:
            Refusal: if the body is too long.
        """
        if self.declared > self._most:
            raise too_many_bytes(self._most)
        message = await self._take()
        if self.count > self._most:
            raise too_many_bytes(self._most)
        return message

    async def throw_away(self) -> None:
        """Reads on for a moment, and keeps nothing."""
        most = self.count + _LINGER_BYTES
        try:
            async with asyncio.timeout(_LINGER_SECONDS):
                while not self.ended and self.count < most:
                    await self._take()
        except TimeoutError:
            pass

    async def _take(self) -> "Message":
        self.awaits_our_word = False
        message = await self._receive()
        self.count += len(message.get("body", b""))
        self.ended = message["type"] == "http.disconnect" or not message.get("more_body", False)
        return message


class _Answer:
    """The answer to a request, on its way out."""

    def __init__(self, send: "Send", body: _Body) -> None:
        self._send, self._body = send, body
        self._is_taken = True
        self.has_begun = False

    async def send(self, message: "Message") -> None:
        """Sends a message; nothing more once the client has stopped to take it."""
        if message["type"] == "http.response.start":
            self.has_begun = True
            await self._send({**message, "headers": self._headers(message)})
        elif self._is_taken:
            await self._send_body(message.get("body", b""), message.get("more_body", False))

    def _headers(self, message: "Message") -> list[tuple[bytes, bytes]]:
        headers = list(message.get("headers", ()))
        given = {name.lower() for name, _ in headers}
        safe = [(name.lower().encode(), value.encode()) for name, value in SAFE_HEADERS.items()]
        closing = [] if self._body.ended else [(b"connection", b"close")]
        return [*headers, *(each for each in safe if each[0] not in given), *closing]

    async def _send_body(self, data: bytes, more: bool) -> None:
        whole = memoryview(data)
        lingers = not more and not self._body.ended and not self._body.awaits_our_word
        for start in range(0, len(whole) or 1, _PIECE):
            last = start + _PIECE >= len(whole)
            await self._send_piece(bytes(whole[start : start + _PIECE]), more or lingers or not last)
        if lingers:
            await self._body.throw_away()
            await self._send_piece(b"", False)

    async def _send_piece(self, data: bytes, more: bool) -> None:
        if not self._is_taken:
            return
        try:
            async with asyncio.timeout(_SEND_SECONDS):
                await self._send({"type": "http.response.body", "body": data, "more_body": more})
        except TimeoutError:
            self._is_taken = False
