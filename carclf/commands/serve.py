"""serve: answers photos over HTTP, with a page for people."""

import argparse
import logging
import math
from collections.abc import Callable
from pathlib import Path

from carclf.commands.exit_codes import DONE
from carclf.config import read_config
from carclf.serve import settings as service
from carclf.serve.heaps import bound_heaps
from carclf.serve.settings import KEY_VARIABLE, Limits, Settings

LOG = logging.getLogger(__name__)
KEY_FILE = f"file that holds the key which clients must send as X-API-Key; default: the variable {KEY_VARIABLE}, if any"
HOST = (
    "address to listen at; 0.0.0.0 = every one of this machine; default: %(default)s, which only this machine reaches"
)
HOST_NAMES = (
    "a name that clients call the service by, if it is not its address; may be repeated. While only this machine "
    "reaches it, other names are refused"
)
PIXELS = "of a photo; a third of it for transparent ones and those of 16 bits; default: %(default)s"


def execute(options: argparse.Namespace) -> int:
    """Does what the options say; returns the exit code."""
    config = read_config(options.config)
    settings = _read_settings(options)
    bound_heaps()
    from carclf.serve.server import listen, run_server
    from carclf.using import open_predictor

    with listen(settings) as taken:
        if options.workers is not None:
            config = config.model_copy(update={"workers": options.workers})
        run_server(open_predictor(config, options.model), config, settings, taken)
    return DONE


def _read_settings(options: argparse.Namespace) -> Settings:
    """The settings that the options say, told wrong before a model is loaded."""
    names = service.allowed_host_names(options.host, tuple(options.allow_host))
    limits = Limits(options.max_bytes, options.max_pixels, options.max_photos)
    key = service.read_api_key(options.api_key_file)
    settings = Settings(options.host, options.port, limits, options.queue, options.time_limit, key, names)
    service.check_settings(settings)
    if key is None and not service.is_loopback(options.host):
        LOG.warning(
            "--host %s: whoever reaches this address can ask, without a key. Set %s.", options.host, KEY_VARIABLE
        )
    return settings


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of this command."""
    parser.add_argument("--host", default=service.HOST, help=HOST)
    port = "default: %(default)s; 0 = any free one"
    parser.add_argument("--port", type=_whole(0, 65535), default=service.PORT, metavar="N", help=port)
    parser.add_argument("--allow-host", action="append", default=[], metavar="NAME", help=HOST_NAMES)
    parser.add_argument("--model", help="which of the config's models answers; default: the first")
    parser.add_argument("--api-key-file", type=Path, metavar="FILE", help=KEY_FILE)
    for option, default, text in (
        ("--max-bytes", service.MOST_BYTES, "of a request; default: %(default)s"),
        ("--max-pixels", service.MOST_PHOTO_PIXELS, PIXELS),
        ("--max-photos", service.MOST_PHOTOS, "of a request; default: %(default)s"),
        ("--queue", service.QUEUE, "photos held at once; to more the answer is 503; default: %(default)s"),
    ):
        parser.add_argument(option, type=_whole(1), default=default, metavar="N", help=text)
    limit = "of a request, its upload included; default: %(default)s"
    parser.add_argument("--time-limit", type=_seconds, default=service.TIME_LIMIT, metavar="SECONDS", help=limit)
    workers = "threads that decode, look and draw; default: those of the config"
    parser.add_argument("--workers", type=_whole(1), metavar="N", help=workers)
    parser.set_defaults(command=execute)


def _whole(least: int, most: int | None = None) -> Callable[[str], int]:
    """Reads whole numbers of a range."""

    def read(word: str) -> int:
        if not word.isdecimal() or int(word) < least or (most is not None and int(word) > most):
            bounds = f"from {least} on" if most is None else f"from {least} to {most}"
            raise argparse.ArgumentTypeError(f'"{word}" is no whole number {bounds}')
        return int(word)

    return read


def _seconds(word: str) -> float:
    try:
        seconds = float(word)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f'"{word}" is no number of seconds')
    return seconds
