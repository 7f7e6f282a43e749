"""Around all routes: limits counted while reading, the key, names of hosts, safe headers, one line per request."""

import json
import re
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from carclf.config import Config
from carclf.predict import Predictor
from carclf.serve.access_log import LOG
from carclf.serve.schemas import ErrorReply
from tests.served import KEY, SETTINGS, as_form, serve_page, wait_for


@pytest.fixture(scope="module")
def client(predictor: Predictor, config: Config) -> Iterator[httpx.Client]:
    with serve_page(predictor, config, SETTINGS) as served, httpx.Client(base_url=served.address) as client:
        yield client


@pytest.fixture(scope="module")
def photos(drawn_set: Path) -> list[Path]:
    return sorted((drawn_set / "photos").iterdir())[:4]


@pytest.mark.parametrize("head", [b"Content-Length: 100000000\r\n", b"Transfer-Encoding: chunked\r\n"])
def test_a_body_that_is_too_long_is_refused_before_it_is_there(client: httpx.Client, head: bytes) -> None:
    address = (client.base_url.host, client.base_url.port or 0)
    with socket.create_connection(address, timeout=20) as connection:
        connection.sendall(
            b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/jpeg\r\n" + head + b"\r\n"
        )
        piece = b"8000\r\n" + bytes(0x8000) + b"\r\n"
        for _ in range(14 if b"chunked" in head else 1):  # a little more than the limit; the rest never comes
            connection.sendall(piece)
        answer = b""
        while b"}" not in answer:
            answer += connection.recv(10_000)
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"connection: close" in answer.lower()


def test_nothing_that_is_sent_gets_onto_a_disk(
    client: httpx.Client, photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a temporary file")

    for name in ("SpooledTemporaryFile", "TemporaryFile", "NamedTemporaryFile", "mkstemp"):
        monkeypatch.setattr(f"tempfile.{name}", refuse)
    padded = photos[0].read_bytes() + bytes(100_000)
    files = [("photos", ("a.jpg", padded)), ("photos", ("b.jpg", padded))]
    assert client.post("/v1/predict?masks=rle", files=files).status_code == 200


def test_a_line_per_request_without_a_name(
    client: httpx.Client, photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[dict[str, Any]] = []
    monkeypatch.setattr(LOG, "info", lambda line: lines.append(json.loads(line)))
    client.post("/v1/predict", files=as_form(photos[:2]), headers={"X-Request-ID": "from-a-client-7"})
    client.get("/no/such/place", headers={"X-Request-ID": "with spaces"})
    wait_for(lambda: len(lines) == 2)  # a line is written when its answer has gone out
    first, second = lines
    assert list(first) == ["time", "request_id", "method", "route", "status", "bytes", "photos", "duration_ms"]
    told = {key: first[key] for key in ("request_id", "method", "route", "status", "photos")}
    assert told == {
        "request_id": "from-a-client-7",
        "method": "POST",
        "route": "/v1/predict",
        "status": 200,
        "photos": 2,
    }
    assert first["bytes"] > sum(photo.stat().st_size for photo in photos[:2])
    assert re.fullmatch(r"[0-9a-f]{32}", second["request_id"])
    assert (second["route"], second["status"]) == ("unmatched", 404)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/report/pictures/results.txt",
        "/v1/report/pictures/..%2fconfig.json",
        "/page/..%2fapi.py",
        "/page/%2e%2e/api.py",
        "/page/__init__.py",
        "/docs/..%2fapi.py",
        "/etc/passwd",
    ],
)
def test_no_path_comes_from_a_client(client: httpx.Client, path: str) -> None:
    reply = client.get(path)
    assert reply.status_code == 404
    ErrorReply.model_validate(reply.json())


def test_every_answer_has_safe_headers(client: httpx.Client) -> None:
    for path in ("/", "/docs", "/v1/models", "/healthz", "/nowhere"):
        headers = client.get(path).headers
        assert "default-src 'self'" in headers["Content-Security-Policy"]
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Referrer-Policy"] == "no-referrer"


def test_head_is_answered_as_get_without_a_body(client: httpx.Client) -> None:
    for path, status in (("/healthz", 200), ("/docs", 200), ("/nowhere", 404), ("/v1/predict", 405)):
        asked, told = client.get(path), client.head(path)
        assert (told.status_code, told.content) == (status, b"")
        assert told.headers["Content-Length"] == asked.headers["Content-Length"]
    assert 'carclf_requests_total{method="HEAD",route="/healthz",status="200"} 1.0' in client.get("/metrics").text


def test_a_foreign_name_of_this_machine_is_refused(client: httpx.Client) -> None:
    for name in ("evil.example", "evil.example:80", "127.0.0.1.evil.example"):
        reply = client.get("/healthz", headers={"Host": name})
        assert (reply.status_code, reply.json()["error"][:25]) == (400, "This server is not called")
    for name in ("localhost", "LOCALHOST:1", "[::1]:8000", "127.0.0.1"):
        assert client.get("/healthz", headers={"Host": name}).json() == {"status": "ok"}


def test_with_a_key_only_who_has_it_is_answered(predictor: Predictor, config: Config, photos: list[Path]) -> None:
    settings = replace(SETTINGS, api_key=KEY)
    with serve_page(predictor, config, settings) as served, httpx.Client(base_url=served.address) as client:
        for headers in ({}, {"X-API-Key": "another"}, {"X-API-Key": KEY + "x"}, {"Authorization": KEY}):
            reply = client.post("/v1/predict", files=as_form(photos[:1]), headers=headers)
            assert reply.status_code == 401
            assert ErrorReply.model_validate(reply.json()).error.startswith("This server asks for a key")
        for path in ("/v1/models", "/v1/report", "/metrics"):
            assert client.get(path).status_code == 401
            assert client.get(path, headers={"X-API-Key": KEY}).status_code == 200
        assert client.post("/v1/predict", files=as_form(photos[:1]), headers={"X-API-Key": KEY}).status_code == 200
        for path in ("/", "/docs", "/openapi.json", "/healthz", "/readyz"):
            assert client.get(path).status_code == 200
        assert "401" in client.get("/openapi.json").json()["paths"]["/v1/predict"]["post"]["responses"]
