"""Every file of the photo folder, read once: is it a photo, whole, large, sharp and bright enough, named rightly?"""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carclf.annotations.sources import files_below
from carclf.checking.findings import Finding, Severity
from carclf.config_data import CheckConfig
from carclf.errors import PhotoError, counted
from carclf.images import SUFFIXES_OF, Frame, decode_photo, has_photo_suffix, open_image, read_bytes, read_head

SIZE = 256  # pixels of the longer side at which sharpness is measured: about what a network sees
_BRIGHTEST = 95  # percentile of the grey values that says how bright a photo is; black backgrounds do not change it
_PLAIN = ("L", "RGB", "CMYK", "YCbCr")


@dataclass(frozen=True)
class PhotoFile:
    """What a file of the photo folder turned out to be.

    Attributes:
        name: below the photo folder, "/" between folders.
        path: the file.
        sha256: of its bytes, hex; "" if they cannot be read.
        format: Pillow's name of its format; "" if it is no photo.
        frame: its size; None if it is no photo.
        problem: why it cannot be used; "" if it can.
        sharpness: variance of the Laplacian, grey values 0 to 255, SIZE pixels on the longer side.
        brightness: the grey value, 0 to 255, that its brightest twentieth reaches.
    """

    name: str
    path: Path
    sha256: str = ""
    format: str = ""
    frame: Frame | None = None
    problem: str = ""
    sharpness: float = 0.0
    brightness: float = 0.0


def look_at_files(folder: Path, named: Sequence[str], workers: int | None) -> tuple[list[PhotoFile], list[str]]:
    """Reads every photo of a folder.

    Args:
        folder: the photo folder.
        named: the names of the label table, which count as photos whatever they are called.
        workers: threads; None = one per core.

    Returns:
        (the photos in the order of their names, names of files that are none by their suffix).
    """
    known = set(named)
    names = [path.relative_to(folder).as_posix() for path in files_below(folder)]
    hidden = [name for name in known.difference(names) if os.path.isfile(folder / name)]  # the table may name such, too
    photos = sorted({*hidden, *(name for name in names if name in known or has_photo_suffix(PurePosixPath(name)))})
    with ThreadPoolExecutor(workers) as threads:
        files = list(threads.map(lambda name: look_at_file(folder / name, _legible(name)), photos))
    return files, [_legible(name) for name in sorted(set(names).difference(photos))]


def look_at_file(path: Path, name: str) -> PhotoFile:
    """Reads one photo; whatever is wrong with it is in the answer."""
    try:
        data = read_bytes(path)
    except PhotoError as problem:
        return PhotoFile(name, path, problem=_legible(str(problem)))
    sha256 = hashlib.sha256(data).hexdigest()
    try:
        kind, frame = read_head(data, name)
    except PhotoError as problem:
        return PhotoFile(name, path, sha256, problem=str(problem))
    try:
        grey = _grey(data, name)
    except PhotoError as problem:
        return PhotoFile(name, path, sha256, kind, frame, problem=str(problem))
    return PhotoFile(
        name, path, sha256, kind, frame, sharpness=_sharpness(grey), brightness=float(np.percentile(grey, _BRIGHTEST))
    )


def judge_files(
    files: Sequence[PhotoFile], others: Sequence[str], settings: CheckConfig, on_bad_photo: str
) -> Iterator[Finding]:
    """Says what is wrong with the files of the photo folder.

    Args:
        files: the photos.
        others: names of files that are no photos.
        settings: from where on a photo is bad.
        on_bad_photo: what a run does with photos that it cannot read: "skip" or "stop".
    """
    stops = on_bad_photo == "stop"
    then = (
        "A run stops at it: replace the file" if stops else "A run leaves it out: replace the file, or delete its line"
    )
    bad: Severity = "unsound" if stops else "warning"
    unreadable = [file for file in files if file.problem and not file.format]
    broken = [file for file in files if file.problem and file.format]
    whole = [file for file in files if not file.problem]
    yield from _one("unreadable photo", bad, unreadable, f"{{}}: cannot be read. {then}.", lambda file: file.problem)
    text = f"{{}}: cannot be decoded, as a rule because the file is cut off. {then}."
    yield from _one("truncated photo", bad, broken, text, lambda file: file.problem)
    tiny = [file for file in whole if _short_side(file) < settings.least_side]
    text = f"{{}}: the shorter side has less than {settings.least_side} pixels. Look for larger copies."
    yield from _one("tiny photo", "warning", tiny, text, _shown_size)
    dark = [file for file in whole if file.brightness < settings.least_brightness]
    text = "{}: too dark to show much. Look whether one can see what the labels say; if not, delete its line."
    yield from _one("dark photo", "warning", dark, text, lambda file: f"brightness {file.brightness:.0f} of 255")
    told = {file.name for file in [*tiny, *dark]}  # there, no edges say little
    blurred = [file for file in whole if file.sharpness < settings.least_sharpness and file.name not in told]
    text = "{}: blurred, or without any detail. Look whether one can see what the labels say; if not, delete its line."
    yield from _one("blurred photo", "warning", blurred, text, lambda file: f"sharpness {file.sharpness:.0f}")
    misnamed = [file for file in files if _is_misnamed(file)]
    text = "{}: the content is of another format than the suffix says. Rename the file, in the label table, too."
    yield from _one("wrong extension", "warning", misnamed, text, lambda file: f"is {file.format}")
    if others:
        text = f"{counted(len(others), 'file')} in the photo folder: no photo by the suffix; nobody reads it."
        yield Finding("no photo", "note", text, photos=tuple(others))


def _legible(name: str) -> str:
    """A name with those of its bytes that are no UTF-8 written out, so that it can be shown and written."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def _one(
    kind: str, severity: Severity, files: Sequence[PhotoFile], text: str, note: Callable[[PhotoFile], str]
) -> Iterator[Finding]:
    if files:
        names = tuple(file.name for file in files)
        notes = {file.name: note(file) for file in files}
        yield Finding(kind, severity, text.format(counted(len(files), "photo")), photos=names, notes=notes)


def _grey(data: bytes, name: str) -> NDArray[np.uint8]:
    """Decodes a photo to grey values, uint8 (height, width), SIZE pixels on the longer side where it has as many."""
    import cv2

    image = open_image(data, name, draft_size=SIZE)
    if image.mode not in _PLAIN or image.has_transparency_data:
        pixels = decode_photo(data, SIZE, name) @ np.array([0.299, 0.587, 0.114], np.float32)
        return np.round(pixels * 255.0).astype(np.uint8)
    grey = np.asarray(image.convert("L"))
    shrink = SIZE / max(grey.shape)
    if shrink >= 1:
        return grey
    width, height = (max(1, round(side * shrink)) for side in (grey.shape[1], grey.shape[0]))
    resized: Any = cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(resized, np.uint8)


def _sharpness(grey: NDArray[np.uint8]) -> float:
    """Variance of the Laplacian (Pech-Pacheco et al., 2000)."""
    import cv2

    return float(cv2.Laplacian(grey, cv2.CV_32F).var())


def _short_side(file: PhotoFile) -> int:
    return min(file.frame.width, file.frame.height) if file.frame else 0


def _shown_size(file: PhotoFile) -> str:
    return f"{file.frame.width} × {file.frame.height} pixels" if file.frame else ""


def _is_misnamed(file: PhotoFile) -> bool:
    suffix = PurePosixPath(file.name).suffix.lower()
    return bool(file.format) and suffix not in SUFFIXES_OF.get(file.format, (f".{file.format.lower()}",))
