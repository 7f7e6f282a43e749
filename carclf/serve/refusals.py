"""Requests that are not answered, and why: a status of HTTP and a sentence."""

from carclf.errors import counted

NOT_A_PHOTO, NO_KEY, UNKNOWN, TOO_LARGE, WRONG_KIND, WRONG_PARAMETER = 400, 401, 404, 413, 415, 422
OVERLOADED, TOO_SLOW = 503, 504
CLIENT_GONE = 499  # nobody gets it: what the log says of a client that hung up, as nginx does


class Refusal(Exception):
    """A request, or a photo of it, that is not answered.

    Attributes:
        status: of HTTP.
        sentence: what is wrong and how to mend it.
        headers: of the answer.
    """

    def __init__(self, status: int, sentence: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(sentence)
        self.status, self.sentence, self.headers = status, sentence, headers or {}


def too_many_bytes(most: int) -> Refusal:
    """A body that is larger than the limit."""
    return Refusal(TOO_LARGE, f"The body is larger than {most:,} bytes. Send fewer or smaller photos.")


def too_many_photos(most: int) -> Refusal:
    """A body with more photos than the limit."""
    return Refusal(TOO_LARGE, f"There are more than {counted(most, 'photo')} in the body. Send fewer at once.")


def overloaded(seconds: int) -> Refusal:
    """A request that comes when the queue is full."""
    sentence = f"The server is busy. Try again in {counted(seconds, 'second')}."
    return Refusal(OVERLOADED, sentence, {"Retry-After": str(seconds)})


def stopping() -> Refusal:
    """A request that comes when the server stops, or is not answered by then."""
    return Refusal(OVERLOADED, "The server is stopping.", {"Retry-After": "5"})


def too_slow(time_limit: float) -> Refusal:
    """A request whose time is over."""
    return Refusal(TOO_SLOW, f"The request took longer than {time_limit:g} seconds. Send fewer or smaller photos.")


def wrong_key() -> Refusal:
    """A request without the key, or with another one."""
    sentence = "This server asks for a key: send it in the header X-API-Key."
    return Refusal(NO_KEY, sentence, {"WWW-Authenticate": "X-API-Key"})


def wrong_host(name: str) -> Refusal:
    """A request for another host than this one."""
    sentence = f'This server is not called "{name[:80]}". Whoever runs it can allow that: serve --allow-host.'
    return Refusal(NOT_A_PHOTO, sentence)
