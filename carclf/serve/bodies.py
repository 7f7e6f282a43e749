"""The body of a request -> uploads. All stays in memory: nothing that is sent is ever written to a disk."""

from collections.abc import AsyncIterator
from email.message import Message
from typing import TYPE_CHECKING

from carclf.errors import did_you_mean
from carclf.serve.refusals import NOT_A_PHOTO, WRONG_KIND, Refusal, too_many_photos
from carclf.serve.uploads import Upload, clean_name

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartParser

PART = "photos"  # what the parts of a form are called
FORM, BYTES = "multipart/form-data", "application/octet-stream"


async def read_uploads(content_type: str, chunks: AsyncIterator[bytes], most_photos: int) -> list[Upload]:
    """Reads a body: a form with photos, or the bytes of one photo.

    Args:
        content_type: the header, "" = there is none.
        chunks: of the body, as they come.
        most_photos: that may be in it.

    Returns:
        at least one.

    Raises:
        Refusal: if the body is neither, holds no photo or too many.
    """
    kind, boundary = _read_content_type(content_type)
    if kind == FORM:
        return await _read_form(boundary, chunks, most_photos)
    if kind == BYTES or kind.startswith("image/"):
        data = bytearray()
        async for chunk in chunks:
            data += chunk
        return [Upload(clean_name("", 1), bytes(data))]
    raise Refusal(
        WRONG_KIND,
        f'Content-Type "{content_type[:80]}": send photos as {FORM}, in parts called {PART}, or the bytes of one photo '
        f"as image/jpeg or {BYTES}.",
    )


def _read_content_type(content_type: str) -> tuple[str, str]:
    """(type, boundary) of a header."""
    message = Message()
    message["Content-Type"] = content_type.encode("ascii", "replace").decode().replace("\r", "").replace("\n", "")
    return (message.get_content_type() if content_type else ""), message.get_boundary() or ""


async def _read_form(boundary: str, chunks: AsyncIterator[bytes], most_photos: int) -> list[Upload]:
    from python_multipart.exceptions import FormParserError

    parts = _Parts(most_photos)
    try:
        parser = _make_parser(boundary, parts)
        async for chunk in chunks:
            parser.write(chunk)
        parser.finalize()
    except FormParserError as error:
        raise _broken_form() from error
    if not parts.ended:
        raise _broken_form()
    if not parts.uploads:
        raise Refusal(NOT_A_PHOTO, f"There is no photo in the form. Send photos in parts called {PART}.")
    return parts.uploads


def _broken_form() -> Refusal:
    return Refusal(NOT_A_PHOTO, f"The body is no {FORM}, or is cut off. Send photos in parts called {PART}.")


def _make_parser(boundary: str, parts: "_Parts") -> "MultipartParser":
    from python_multipart.multipart import MultipartParser

    if not boundary:
        raise _broken_form()
    return MultipartParser(
        boundary,
        {
            "on_part_begin": parts.begin,
            "on_header_field": parts.take_header_name,
            "on_header_value": parts.take_header_value,
            "on_header_end": parts.end_header,
            "on_headers_finished": parts.check,
            "on_part_data": parts.take_data,
            "on_part_end": parts.finish,
            "on_end": parts.end,
        },
    )


class _Parts:
    """Collects the parts of a form, as its parser tells of them."""

    def __init__(self, most: int) -> None:
        self.uploads: list[Upload] = []
        self.ended = False
        self._most = most
        self.begin()

    def begin(self) -> None:
        if len(self.uploads) == self._most:
            raise too_many_photos(self._most)
        self._disposition, self._name, self._value = b"", b"", b""
        self._file_name, self._data = "", bytearray()

    def take_header_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def take_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def end_header(self) -> None:
        if self._name.lower() == b"content-disposition":
            self._disposition = self._value
        self._name, self._value = b"", b""

    def check(self) -> None:
        from python_multipart.multipart import parse_options_header

        options = parse_options_header(self._disposition)[1]
        name = options.get(b"name", b"").decode(errors="replace")
        if name != PART:
            shown = f'"{name[:80]}"' if name else "without a name"
            raise Refusal(
                NOT_A_PHOTO, f"The form has a part {shown}; call them {PART}.{did_you_mean(name[:80], [PART])}"
            )
        self._file_name = options.get(b"filename", b"").decode(errors="replace")

    def take_data(self, data: bytes, start: int, end: int) -> None:
        self._data += data[start:end]

    def finish(self) -> None:
        self.uploads.append(Upload(clean_name(self._file_name, len(self.uploads) + 1), bytes(self._data)))
        self._data = bytearray()

    def end(self) -> None:
        self.ended = True
