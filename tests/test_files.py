"""Files are either whole or not there, whatever happens while they are written."""

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from carclf.errors import RunDirError
from carclf.files import PARTIAL, digest, remove_partial_files, write_json, write_text, write_whole


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 kB; where none may be mounted, the tests that simulate a full one must do."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("no disk can be mounted here")
    yield folder
    subprocess.run(["umount", folder], check=True)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_new_file_in_a_new_folder(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "notes.txt"
    write_text(path, "Größe\n")
    assert path.read_bytes() == "Größe\n".encode()
    assert names(path.parent) == ["notes.txt"]


def test_a_file_can_be_read_by_others_as_the_umask_says(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        write_text(tmp_path / "notes.txt", "")
    finally:
        os.umask(old)
    assert (tmp_path / "notes.txt").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("failure", [ValueError("bug"), KeyboardInterrupt(), OSError(errno.EIO, "Input/output error")])
def test_a_writer_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path, failure: BaseException) -> None:
    path = tmp_path / "results.json"
    write_text(path, "old")

    def write(file: Path) -> None:
        file.write_text("half of the n")
        raise failure

    expected = RunDirError if isinstance(failure, OSError) else type(failure)
    with pytest.raises(expected):
        write_whole(path, write)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["results.json"]


@pytest.mark.parametrize("step", ["fsync", "replace", "mkstemp"])
def test_a_disk_that_is_full_at_any_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    path = tmp_path / "results.json"
    write_text(path, "old")

    def fail(*arguments: Any, **options: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    place = {"fsync": "os.fsync", "replace": "pathlib.Path.replace", "mkstemp": "tempfile.mkstemp"}[step]
    monkeypatch.setattr(place, fail)
    with pytest.raises(RunDirError) as caught:
        write_text(path, "new")
    assert str(path) in str(caught.value)
    for words in ("No space left on device", "What was there before is untouched", "run again"):
        assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["results.json"]


def test_a_disk_that_is_really_full(small_disk: Path) -> None:
    path = small_disk / "results.json"
    write_text(path, "old")
    with pytest.raises(RunDirError, match="No space left on device"):
        write_text(path, "x" * 200_000)
    assert path.read_text() == "old"
    assert names(small_disk) == ["results.json"]


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("a file, not a folder")
    with pytest.raises(RunDirError, match=r"cannot be written .*make the folder writable"):
        write_text(tmp_path / "results" / "m" / "results.txt", "")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder(tmp_path: Path) -> None:
    write_text(tmp_path / "results.json", "old")
    tmp_path.chmod(0o555)
    try:
        with pytest.raises(RunDirError, match=r"Permission denied.*make the folder writable"):
            write_text(tmp_path / "results.json", "new")
    finally:
        tmp_path.chmod(0o755)
    assert (tmp_path / "results.json").read_text() == "old"


def test_a_read_only_disk(small_disk: Path) -> None:
    write_text(small_disk / "results.json", "old")
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(RunDirError, match=r"Read-only file system.*make the folder writable"):
        write_text(small_disk / "results.json", "new")
    assert (small_disk / "results.json").read_text() == "old"


def test_json_is_refused_where_it_could_not_be_read_again(tmp_path: Path) -> None:
    write_json(tmp_path / "tree.json", {"score": 0.5})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "tree.json", {"score": float("nan")})
    assert names(tmp_path) == ["tree.json"]


def test_what_a_killed_run_left_half_written_is_removed(tmp_path: Path) -> None:
    write_text(tmp_path / "head" / "heads.npz", "whole")
    (tmp_path / "head" / f"{PARTIAL}heads-1234.npz").write_text("ha")
    (tmp_path / ".lock").touch()
    remove_partial_files(tmp_path)
    assert names(tmp_path) == [".lock", "head"]
    assert names(tmp_path / "head") == ["heads.npz"]


def test_a_digest_knows_values_and_not_the_order_of_keys() -> None:
    assert digest({"a": 1, "b": [2, 3]}) == digest({"b": (2, 3), "a": 1})
    assert digest({"a": 1}) != digest({"a": 2})
    assert digest(Path("x")) == digest("x")
