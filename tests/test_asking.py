"""Which photos are asked about: folders as ever, patterns as a shell has them, names on the standard input."""

import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from carclf.asking import UnusablePhoto, list_photos, names_something, read_names, walk_photos
from carclf.errors import PhotoError
from carclf.images import find_photos
from carclf.photo_source import PhotoSource

FILES = ("b.jpg", "a/c.PNG", "a/b/d.jpg", "a.jpg", "a-b/e.webp", "a/.hidden/f.jpg", ".g.jpg", "notes.txt", "é/ü.jpg")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in FILES:
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return tmp_path / "photos"


def listed(*given: Path, passed_over: tuple[Path, ...] = ()) -> list[str]:
    """Paths of the photos, and the names of what is none with a ! before them."""
    found = list_photos(given, passed_over)
    return [f"!{each.name}" if isinstance(each, UnusablePhoto) else str(each.path) for each in found]


def test_a_folder_is_walked_in_the_order_in_which_photos_were_always_found(folder: Path) -> None:
    (folder / "z").symlink_to(folder / "a")  # a link to a folder may lead round in a circle
    (folder / "link.jpg").symlink_to(folder / "b.jpg")
    assert list(walk_photos(folder)) == [PhotoSource(path) for path in find_photos(folder)]
    (folder / "empty").mkdir()
    (problem,) = list_photos([folder / "empty"])
    with pytest.raises(PhotoError) as known:
        find_photos(folder / "empty")
    assert str(problem) == str(known.value)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.jpg", ["a.jpg", "b.jpg"]),
        ("[a]/*", ["a/b/d.jpg", "a/c.PNG"]),
        ("**/*.jpg", ["a.jpg", "b.jpg", "a/b/d.jpg", "é/ü.jpg"]),
        ("a/**", ["a/b/d.jpg", "a/c.PNG"]),
        ("a/**/d.*", ["a/b/d.jpg"]),
        ("?.txt", ["!?.txt"]),
        ("note?.txt", ["notes.txt"]),
        (".*.jpg", [".g.jpg"]),
        ("*", ["a/b/d.jpg", "a/c.PNG", "a-b/e.webp", "a.jpg", "b.jpg", "é/ü.jpg"]),
    ],
)
def test_patterns_are_expanded(pattern: str, expected: list[str], folder: Path) -> None:
    given = folder / pattern
    found = [str(Path(path.removeprefix("!")).relative_to(folder)) for path in listed(given)]
    assert found == [path.removeprefix("!") for path in expected]
    assert [path[0] == "!" for path in listed(given)] == [path[0] == "!" for path in expected]
    assert names_something(given) is (expected[0][0] != "!")


def test_relative_patterns_and_names_with_brackets(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert listed(Path("*/*.jpg"), Path("**/d.jpg")) == ["é/ü.jpg", "a/b/d.jpg"]
    Path("b[1].jpg").write_bytes(b"x")
    Path("b1.jpg").write_bytes(b"x")
    assert listed(Path("b[1].jpg")) == ["b[1].jpg"]  # what is there is no pattern


def test_own_output_is_not_found_and_not_taken_where_it_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = folder / "out"
    (out / "deep").mkdir(parents=True)
    (out / "deep" / "x.jpg").write_bytes(b"x")
    monkeypatch.chdir(folder)
    assert not any(Path(path).is_relative_to(out) for path in listed(folder, passed_over=(Path("out"),)))
    assert not any(Path(path).is_relative_to(out) for path in listed(folder / "**" / "*.jpg", passed_over=(out,)))
    named = out / "deep" / "x.jpg"
    assert listed(named, out / "deep", passed_over=(out,)) == [f"!{named}", f"!{out / 'deep'}"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (b"a.jpg\nb c.jpg\r\n\n\xff.jpg", ["a.jpg", "b c.jpg", "\udcff.jpg"]),
        (b"a\nb.jpg\0c.jpg\r\0", ["a\nb.jpg", "c.jpg\r"]),
        (b"a.jpg\n" * 30_000, ["a.jpg"] * 30_000),
        (b"one", ["one"]),
        (b"", []),
    ],
)
def test_names_are_lines_or_ended_by_nuls(given: bytes, expected: list[str]) -> None:
    assert list(read_names(io.BytesIO(given))) == expected


def test_names_come_out_as_they_come_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading) as stream:
        monkeypatch.setattr(sys, "stdin", stream)
        photos: Iterator[PhotoSource | UnusablePhoto] = list_photos([Path("-")])
        for name in ("b.jpg", "*.jpg", "a"):
            os.write(writing, f"{folder / name}\n".encode())
            first = next(photos)
            assert str(first.path if isinstance(first, PhotoSource) else first.name).startswith(str(folder))
        os.close(writing)
        assert [str(each.path) for each in photos if isinstance(each, PhotoSource)] == [str(folder / "a/c.PNG")]


def test_what_is_no_photo_is_told(tmp_path: Path) -> None:
    problems = list(list_photos([tmp_path / "nowhere.jpg", Path("/dev/null"), Path("a\0b")]))
    assert [str(each).rpartition(": ")[2] for each in problems] == [
        "no such file or folder.",
        "is no file that can be read again. Save the photo as a file.",
        "cannot be read (embedded null byte).",
    ]
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "README").touch()
    told = "is no file, or a link that leads nowhere."
    assert [str(each) for each in list_photos([tmp_path])] == [
        f"{tmp_path / n}: {told}" for n in ("gone.jpg", "pipe.jpg")
    ]
    assert [str(each) for each in list_photos([tmp_path / "R*"])] == [f"{tmp_path / 'R*'}: names no photo."]
