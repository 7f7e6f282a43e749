"""A service in a process of its own, and clients that cost little: for benchmarks on one machine, on loopback only."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
HOST = "127.0.0.1"
START_SECONDS, STOP_SECONDS = 300, 60


@dataclass(frozen=True)
class Service:
    """A service that runs."""

    port: int
    process: subprocess.Popen[bytes]

    @property
    def address(self) -> str:
        """Of the service."""
        return f"http://{HOST}:{self.port}"

    def memory_mb(self, key: str = "RssAnon") -> float:
        """Memory that is its own, from /proc: RssAnon = now, VmHWM = most ever, with files that are mapped."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(f"{key}:"):
                return int(line.split()[1]) / 1e3
        raise SystemExit("the service has ended")


@dataclass(frozen=True)
class Reply:
    """What came back: the status, the headers in small letters, the body, and after how many seconds."""

    status: int
    headers: dict[str, str]
    body: bytes
    seconds: float

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@contextmanager
def running_service(config: Path, log: Path, *options: str) -> Iterator[Service]:
    """Starts `serve` with a config, waits until it answers, stops it and expects that it ends well."""
    port = _free_port()
    words = [sys.executable, "main.py", "serve", "--config", str(config), "--port", str(port), *options]
    with log.open("wb") as stderr:
        process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=stderr, env=dict(os.environ))
    service = Service(port, process)
    try:
        _wait_until_ready(service, log)
        yield service
        process.send_signal(signal.SIGTERM)
        if code := process.wait(STOP_SECONDS):
            raise SystemExit(f"the service ended with {code}, see {log}")
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _free_port() -> int:
    import socket

    with socket.socket() as taken:
        taken.bind((HOST, 0))
        return int(taken.getsockname()[1])


def _wait_until_ready(service: Service, log: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and service.process.poll() is None:
        try:
            with urllib.request.urlopen(f"{service.address}/readyz", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise SystemExit(f"the service does not answer, see {log}")


class Client:
    """One connection that is kept open, and opened again after it was closed."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, query: str, data: bytes, content_type: str = "application/octet-stream") -> Reply:
        """Sends a body to /v1/predict.

        Raises:
            OSError: if the service hangs up, or answers with what is no HTTP; the next call opens a new connection.
        """
        head = (
            f"POST /v1/predict{query} HTTP/1.1\r\nHost: {HOST}:{self._port}\r\nContent-Type: {content_type}\r\n"
            f"Content-Length: {len(data)}\r\n\r\n"
        )
        started = time.perf_counter()
        if self._streams is None:
            self._streams = await asyncio.open_connection(HOST, self._port)
        try:
            self._streams[1].write(head.encode() + data)
            status, headers, body = await _read_reply(self._streams[0])
        except (asyncio.IncompleteReadError, ValueError) as error:
            self.close()
            raise ConnectionError(str(error)) from error
        except BaseException:
            self.close()
            raise
        if headers.get("connection") == "close":
            self.close()
        return Reply(status, headers, body, time.perf_counter() - started)

    def close(self) -> None:
        """Hangs up."""
        if self._streams is not None:
            self._streams[1].close()
        self._streams = None


async def _read_reply(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").rstrip().split("\r\n")
    pairs = (line.partition(":") for line in lines)
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    return int(first.split()[1]), headers, await reader.readexactly(int(headers["content-length"]))


def form(photos: list[tuple[str, bytes]]) -> tuple[bytes, str]:
    """(body, content type) of a form with photos."""
    boundary = "carclf-photos-of-a-benchmark"
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="photos"; filename="{name}"\r\n\r\n'.encode() + data
        for name, data in photos
    ]
    return b"\r\n".join([*parts, f"--{boundary}--\r\n".encode()]), f"multipart/form-data; boundary={boundary}"
