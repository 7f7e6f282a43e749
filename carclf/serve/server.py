"""Listens, and stops without dropping anything: what runs is finished, within a limit."""

import asyncio
import io
import logging
import os
import signal
import socket
import threading
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from PIL import Image
from uvicorn.protocols.http.h11_impl import H11Protocol

from carclf.config import Config
from carclf.errors import CarclfError, ConfigError
from carclf.photo_source import PhotoSource
from carclf.predict import Predictor
from carclf.serve.access_log import AccessLog
from carclf.serve.api import make_api
from carclf.serve.asking import Service
from carclf.serve.guarding import Guard
from carclf.serve.model_facts import gather_facts
from carclf.serve.settings import Settings

LOG = logging.getLogger(__name__)
_HEAD_SECONDS = 15.0  # for the head of a request
_HEAD_BYTES = 32 * 1024  # of a request
_AFTER_TIME_LIMIT = 5.0  # seconds that stopping may take beyond the time limit of a request
STOPPED = 1  # exit code where something was left undone
_WAITING = 2048  # connections that are not accepted yet


def listen(settings: Settings) -> socket.socket:
    """Takes the port, before anything slow is done: who comes before the model is there waits.

    Raises:
        ConfigError: if it cannot be had.
    """
    host, port = settings.host, settings.port
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        taken = socket.socket(family, kind, protocol)
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(address)
        taken.listen(_WAITING)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"--host {host} --port {port}: cannot listen there ({reason}). Give another one.") from error
    return taken


def run_server(predictor: Predictor, config: Config, settings: Settings, taken: socket.socket) -> None:
    """Answers requests until it is told to stop by SIGTERM or SIGINT.

    Args:
        predictor: the model.
        config: that it was trained with; its report is told, too.
        settings: of the service.
        taken: see listen.
    """
    server = make_server(predictor, config, settings)
    _warm_up(predictor)
    host, port = taken.getsockname()[:2]
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    LOG.info("%s answers at %s (the interface: %s/docs). Ctrl-C stops.", predictor.model, address, address)
    server.run(sockets=[taken])
    if not server.service.has_ended:
        LOG.warning("A photo is still being answered; nobody waits for it, so the server ends without it.")
        os._exit(STOPPED)  # Python itself would wait for the threads


def make_server(predictor: Predictor, config: Config, settings: Settings) -> "Server":
    """Makes the server of a model; nothing runs yet."""
    _quiet_libraries()
    service = Service(predictor, gather_facts(predictor, config, settings.limits), settings)
    app = AccessLog(Guard(make_api(service), settings), service.metrics)
    return Server(
        uvicorn.Config(
            app,
            http=PatientProtocol,
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # nothing here depends on who asks
            backlog=_WAITING,
            h11_max_incomplete_event_size=_HEAD_BYTES,
            timeout_graceful_shutdown=round(settings.time_limit + _AFTER_TIME_LIMIT),
        ),
        service,
    )


class Server(uvicorn.Server):
    """uvicorn's, which ends by itself when it is told to stop: uvicorn's own lets the signal kill it afterwards."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self.service = service

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Hears the signals while it runs."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {each: signal.signal(each, self.handle_exit) for each in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)


class PatientProtocol(H11Protocol):
    """uvicorn's, whose patience ends: a connection that brings no whole head of a request for a while is closed."""

    _seen: object = None
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begins to wait for a request."""
        super().connection_made(transport)
        self._timer = self.loop.call_later(_HEAD_SECONDS, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stops waiting."""
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    def _look(self) -> None:
        """Closes the connection if no request has begun since the last look, and none is being answered."""
        is_idle = self.cycle is None or self.cycle.response_complete
        if is_idle and self.cycle is self._seen:
            self.transport.close()
            return
        self._seen = self.cycle
        self._timer = self.loop.call_later(_HEAD_SECONDS, self._look)


def _warm_up(predictor: Predictor) -> None:
    """Answers a grey photo, so that the first client does not wait for what is made at first use."""
    grey = io.BytesIO()
    Image.new("RGB", (64, 64), (128, 128, 128)).save(grey, "JPEG")
    for answer in predictor.predict([PhotoSource(Path("warm-up"), grey.getvalue())]):
        if isinstance(answer, CarclfError):
            raise answer


def _quiet_libraries() -> None:
    """Keeps EXIF data, which decoders tell of, and addresses out of the log, whoever else turns logging on."""
    warnings.filterwarnings("ignore", module=r"PIL\.")
    logging.getLogger("PIL").setLevel(logging.WARNING)
    logging.getLogger("uvicorn.access").disabled = True  # ours takes its place
