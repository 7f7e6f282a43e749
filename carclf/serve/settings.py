"""What may be sent, how much at once, and by whom: every number of the service, with its reason."""

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from carclf.errors import ConfigError

HOST, PORT = "127.0.0.1", 8000  # nobody else on the network, unless somebody says so
MOST_BYTES = 20 * 2**20  # of a body: several photos of 12 megapixels
MOST_PHOTO_PIXELS = 100_000_000  # a photo and its mask take up to 30 bytes a pixel: 3 GB
MOST_PHOTOS = 16  # of a request: a car from all sides
QUEUE = 128  # photos held at once, those being answered among them
TIME_LIMIT = 30.0  # seconds of a request, its upload included
HELD_BYTES = 512 * 2**20  # bodies and pictures of all requests together, whatever the queue allows
LARGEST_HELD = 4  # ... or this many bodies of the largest size, if that is more
SHORTEST_KEY = 16  # characters; what is shorter can be guessed
KEY_VARIABLE = "CARCLF_API_KEY"
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")


@dataclass(frozen=True)
class Limits:
    """What one request may hold.

    Attributes:
        most_bytes: of its body.
        most_pixels: of a photo; a third of it where pixels are transparent or have 16 bits, as they cost that much.
        most_photos: in it.
    """

    most_bytes: int = MOST_BYTES
    most_pixels: int = MOST_PHOTO_PIXELS
    most_photos: int = MOST_PHOTOS


@dataclass(frozen=True)
class Settings:
    """How the service runs.

    Attributes:
        host: address it listens at.
        port: the same; 0 = any free one.
        limits: of one request.
        queue: photos held at once, of all requests.
        time_limit: seconds of a request.
        api_key: what clients must send; None = nothing.
        host_names: names that clients may call it by, without a port; None = any. What a browser is told to call
            127.0.0.1 by a foreign page is not among them.
    """

    host: str = HOST
    port: int = PORT
    limits: Limits = Limits()
    queue: int = QUEUE
    time_limit: float = TIME_LIMIT
    api_key: str | None = None
    host_names: frozenset[str] | None = None

    @property
    def held_bytes(self) -> int:
        """Bodies and pictures of all requests together."""
        return max(HELD_BYTES, LARGEST_HELD * self.limits.most_bytes)


def check_settings(settings: Settings) -> None:
    """Tells what does not fit together.

    Raises:
        ConfigError: names the option.
    """
    limits = settings.limits
    if limits.most_photos > settings.queue:
        raise ConfigError(
            f"--queue {settings.queue}: is less than --max-photos {limits.most_photos}, so that a full request would "
            "never be taken. Raise one or lower the other."
        )
    from carclf.images import MOST_PIXELS  # not above: it takes numpy, and options are read without

    if limits.most_pixels > MOST_PIXELS:
        raise ConfigError(f"--max-pixels {limits.most_pixels}: photos have at most {MOST_PIXELS} pixels here.")


def is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine alone."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def allowed_host_names(host: str, further: tuple[str, ...]) -> frozenset[str] | None:
    """The names that clients may call the service by; None = any, where others than this machine reach it."""
    if not is_loopback(host) and not further:
        return None
    own = f"[{host}]" if ":" in host else host
    return frozenset(name.lower() for name in (*LOOPBACK_NAMES, own, *further))


def read_api_key(file: Path | None, environment: Mapping[str, str] = os.environ) -> str | None:
    """The key that clients must send: that of the file, else of the environment; None = there is none.

    Raises:
        ConfigError: if the file cannot be read, or if it is no key that can be sent and is not guessed.
    """
    if file is None and KEY_VARIABLE not in environment:
        return None
    where = KEY_VARIABLE if file is None else f"--api-key-file {file}"
    try:
        key = environment[KEY_VARIABLE] if file is None else file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{where}: cannot be read ({getattr(error, 'strerror', None) or error}).") from error
    if len(key) < SHORTEST_KEY or not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigError(
            f"{where}: a key of at least {SHORTEST_KEY} letters, digits and signs without spaces was expected, it has "
            f'{len(key)}. Make one: python -c "import secrets; print(secrets.token_urlsafe(32))"'
        )
    return key
