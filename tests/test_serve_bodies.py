"""Bodies are read in memory, whatever pieces they come in; the gate counts what is held; settings fit together."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from carclf.errors import ConfigError
from carclf.serve.bodies import read_uploads
from carclf.serve.gate import Gate
from carclf.serve.heaps import HEAPS, LARGE_BUFFER, bound_heaps
from carclf.serve.refusals import NOT_A_PHOTO, OVERLOADED, TOO_LARGE, WRONG_KIND, Refusal
from carclf.serve.settings import (
    KEY_VARIABLE,
    Limits,
    Settings,
    allowed_host_names,
    check_settings,
    is_loopback,
    read_api_key,
)
from carclf.serve.uploads import Upload

FORM = "multipart/form-data; boundary=xyz"


def form(*parts: tuple[str, bytes]) -> bytes:
    return (
        b"".join(b"--xyz\r\n" + head.encode() + b"\r\n\r\n" + data + b"\r\n" for head, data in parts) + b"--xyz--\r\n"
    )


def part(name: str = "photos", file: str = "a.jpg", data: bytes = b"data") -> tuple[str, bytes]:
    return f'Content-Disposition: form-data; name="{name}"; filename="{file}"\r\nContent-Type: image/jpeg', data


def read(content_type: str, body: bytes, most_photos: int = 3, piece: int = 7) -> list[Upload]:
    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), piece):
            yield body[start : start + piece]

    return asyncio.run(read_uploads(content_type, pieces(), most_photos))


@pytest.mark.parametrize("piece", [1, 7, 10_000])
def test_photos_come_in_order_with_their_names(piece: int) -> None:
    data = b"\r\n--xy\r\n--xy\0" * 50
    body = form(part(data=data), part(file="Kotflügel.png", data=b""), part(file="../x/c.webp", data=b"3"))
    uploads = read(FORM, body, piece=piece)
    assert uploads == [Upload("a.jpg", data), Upload("Kotflügel.png", b""), Upload("c.webp", b"3")]


@pytest.mark.parametrize("content_type", ["image/jpeg", "image/anything", "application/octet-stream", "IMAGE/PNG; q=1"])
def test_a_photo_may_be_the_whole_body(content_type: str) -> None:
    assert read(content_type, b"bytes of a photo") == [Upload("photo-1", b"bytes of a photo")]


@pytest.mark.parametrize(
    ("content_type", "body", "status", "sentence"),
    [
        ("", b"x", WRONG_KIND, 'Content-Type "": send photos as multipart/form-data'),
        ("text/plain", b"x", WRONG_KIND, 'Content-Type "text/plain"'),
        ("multipart/form-data", form(part()), NOT_A_PHOTO, "The body is no multipart/form-data"),
        ("multipart/form-data; boundary=" + "x" * 300, form(part()), NOT_A_PHOTO, "The body is no multipart/form-data"),
        (FORM, b"no form", NOT_A_PHOTO, "The body is no multipart/form-data, or is cut off"),
        (FORM, form(part())[:-20], NOT_A_PHOTO, "or is cut off"),
        (FORM, form(("X-Header: " + "x" * 100_000, b"")), NOT_A_PHOTO, "The body is no multipart/form-data"),
        (FORM, form(), NOT_A_PHOTO, "There is no photo in the form|or is cut off"),
        (FORM, form(part("photo")), NOT_A_PHOTO, 'a part "photo"; call them photos. Did you mean "photos"'),
        (FORM, form(("Content-Type: image/jpeg", b"x")), NOT_A_PHOTO, "a part without a name"),
        (FORM, form(*[part()] * 4), TOO_LARGE, "more than 3 photos"),
    ],
)
def test_other_bodies_are_refused(content_type: str, body: bytes, status: int, sentence: str) -> None:
    with pytest.raises(Refusal, match=sentence) as caught:
        read(content_type, body, piece=1000)
    assert caught.value.status == status


def test_the_gate_lets_in_what_fits() -> None:
    gate = Gate(most_photos=3, most_bytes=100, time_limit=10.0)
    first, second = gate.enter(), gate.enter()
    first.take_photos(2)
    first.take_bytes(60)
    with pytest.raises(Refusal) as caught:
        second.take_photos(2)
    assert (caught.value.status, caught.value.headers) == (OVERLOADED, {"Retry-After": "1"})
    with pytest.raises(Refusal):
        second.take_bytes(41)
    second.take_photos(1)
    with pytest.raises(Refusal):
        gate.enter()
    first.leave()
    second.leave()
    assert (gate.photos, gate.held_bytes) == (0, 0)
    gate.enter().take_photos(3)


def test_what_would_wait_longer_than_it_may_is_refused_at_once() -> None:
    gate = Gate(most_photos=100, most_bytes=100, time_limit=10.0)
    gate.learn(seconds=8.0, photos=4)
    gate.enter().take_photos(4)
    assert gate.wait == 8
    with pytest.raises(Refusal, match="Try again in 8 seconds"):
        gate.enter().take_photos(2)
    for _ in range(50):
        gate.learn(seconds=1.0, photos=10)
    gate.enter().take_photos(2)


def test_one_request_is_let_in_however_slow_the_last_ones_were() -> None:
    gate = Gate(most_photos=10, most_bytes=100, time_limit=10.0)
    gate.learn(seconds=1000.0, photos=1)
    gate.enter().take_photos(5)
    assert gate.photos == 5


def test_settings_that_do_not_fit_are_told() -> None:
    with pytest.raises(ConfigError, match=r"--queue 4: is less than --max-photos 16"):
        check_settings(Settings(queue=4))
    with pytest.raises(ConfigError, match=r"--max-pixels 400000000: photos have at most 300000000"):
        check_settings(Settings(limits=Limits(most_pixels=400_000_000)))
    check_settings(Settings())


def test_the_key_comes_from_a_file_or_the_environment(tmp_path: Path) -> None:
    key = "correct-horse-battery"
    (tmp_path / "key").write_text(f"{key}\n")
    assert read_api_key(tmp_path / "key", {}) == key
    assert read_api_key(None, {KEY_VARIABLE: key}) == key
    assert read_api_key(None, {}) is None
    with pytest.raises(ConfigError, match=r"--api-key-file .*nowhere: cannot be read"):
        read_api_key(tmp_path / "nowhere", {})
    for bad in ("", "short", "with a space in its middle", "ключ от всех дверей"):
        with pytest.raises(ConfigError, match=f"{KEY_VARIABLE}: a key of at least 16"):
            read_api_key(None, {KEY_VARIABLE: bad})


def test_who_may_call_it_by_which_name() -> None:
    assert set(allowed_host_names("127.0.0.1", ()) or ()) == {"localhost", "127.0.0.1", "[::1]"}
    assert "cars.example" in (allowed_host_names("127.0.0.1", ("Cars.example",)) or ())
    assert allowed_host_names("0.0.0.0", ()) is None
    assert [is_loopback(host) for host in ("localhost", "127.8.8.8", "::1", "0.0.0.0", "example.org")] == [
        *[True] * 3,
        False,
        False,
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="heaps of glibc")
def test_heaps_are_bounded_unless_somebody_has_set_their_number(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[int, int]] = []
    library = SimpleNamespace(mallopt=lambda option, number: told.append((option, number)))
    monkeypatch.setattr("ctypes.CDLL", lambda name: library)
    for variable in ("MALLOC_ARENA_MAX", "MALLOC_MMAP_THRESHOLD_"):
        monkeypatch.delenv(variable, raising=False)
    bound_heaps()
    assert told == [(-8, HEAPS), (-3, LARGE_BUFFER)]
    monkeypatch.setenv("MALLOC_ARENA_MAX", "4")
    bound_heaps()
    assert told[2:] == [(-3, LARGE_BUFFER)]
    monkeypatch.delenv("MALLOC_ARENA_MAX")
    monkeypatch.setattr("ctypes.CDLL", lambda name: object())  # another C library
    bound_heaps()
