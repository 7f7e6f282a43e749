"""Which photos are asked about: named on the command line, in folders, or typed one after the other."""

import stat
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from carclf.errors import PhotoError
from carclf.images import find_photos
from carclf.photo_source import PhotoSource

PROMPT = "Image filepath: "  # the predecessor's words
QUOTES = ("'", '"')


def list_photos(given: Iterable[Path]) -> Iterator[PhotoSource | PhotoError]:
    """Yields photos as they were given, and those of folders, sorted; an error for what is neither."""
    for path in given:
        try:
            mode = path.stat().st_mode
            if stat.S_ISDIR(mode):
                yield from map(PhotoSource, find_photos(path))
            elif stat.S_ISREG(mode):
                yield PhotoSource(path)
            else:
                yield PhotoError(f"{path}: is no file that can be read again. Save the photo as a file.")
        except FileNotFoundError:
            yield PhotoError(f"{path}: no such file or folder.")
        except PhotoError as error:
            yield error
        except (OSError, ValueError) as error:  # ValueError: a path with a NUL
            yield PhotoError(f"{str(path)!r}: cannot be read ({getattr(error, 'strerror', None) or error}).")


def prompt_for_photos() -> Iterator[Path]:
    """Asks for one image path after the other, until an empty line or the end of the input."""
    while True:
        # where the answers go to a pipe, the question must not
        print(PROMPT, end="", flush=True, file=sys.stdout if sys.stdout.isatty() else sys.stderr)
        try:
            line = input().strip()
        except EOFError:
            print(file=sys.stderr)  # the question has had no answer to end its line
            return
        if not line:
            return
        if len(line) > 1 and line[0] == line[-1] and line[0] in QUOTES:
            line = line[1:-1]  # terminals quote what is dragged into them
        try:
            yield Path(line).expanduser()
        except RuntimeError:  # ~somebody who is not known here
            yield Path(line)
