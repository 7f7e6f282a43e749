"""Safe names: of photos below a folder, and of classes in label files and tables."""

import re
from pathlib import PurePosixPath

from carclf.annotations.mask_layout import TELLING_FOLDERS, bare_stem
from carclf.errors import AnnotationError
from carclf.images import has_photo_suffix
from carclf.label_table import clean_photo_name
from carclf.labels import split_cell

_LONGEST = 200  # bytes of a part of a name; disks take 255, and "-2" and the names of partial files are added


def safe_photo_name(given: str) -> PurePosixPath:
    """Returns a name that every disk and a label table take: no hidden part, no odd spaces, no control characters.

    The photo's mask is called like it, and is to be found again as a mask (mask_layout.py): a folder named like one
    of masks and a stem that ends like a mask's (x_label) or like a photo (x.jpg.png) get "_" behind.

    Raises:
        ValueError: if it is empty, absolute, climbs by ".." or is too long.
    """
    parts = [_safe_part(part) for part in PurePosixPath(clean_photo_name(given)).parts]
    if any(len(part.encode()) > _LONGEST for part in parts):
        raise ValueError(f'"{given[:40]}…": the name is longer than {_LONGEST} bytes. Shorten it.')
    *folders, name = parts
    folders = [f"{folder}_" if folder.lower() in TELLING_FOLDERS else folder for folder in folders]
    path = PurePosixPath(*folders, name)
    told = bare_stem(path.stem) != path.stem or has_photo_suffix(PurePosixPath(path.stem))
    return path.with_stem(f"{path.stem}_") if told else path


def check_class(name: str) -> None:
    """Refuses what no label file can hold as a class.

    Raises:
        ValueError: if it is no class name; says why.
    """
    if name.startswith("#") or name != name.strip() or split_cell(name) != (name,) or not name.isprintable():
        raise ValueError(
            f'"{name}" is no name of a class: no ";", no line break, no brackets around it, no # before it. '
            f'Give it another one with --map "{name}=other".'
        )


def is_class(name: str) -> bool:
    """Whether a label file can hold a class."""
    try:
        check_class(name)
    except ValueError:
        return False
    return True


def head_name(column: str) -> str:
    """Returns what a column of a table is called as a head: letters, digits, _, - and .

    Raises:
        AnnotationError: if nothing of the column's name can stay.
    """
    name = re.sub(r"[^A-Za-z0-9_.-]+", "_", column.strip())[:64].strip("_.-")
    if not name:
        raise AnnotationError(
            f'"{column}" holds no letter a to z and no digit, so no head can be called so. '
            f'Rename it; of a table, name the head: --column NAME="{column}".'
        )
    return name


def _safe_part(part: str) -> str:
    """No control characters, no bytes that are no text, no spaces at the ends, no dot at the beginning."""
    text = "".join(each if each.isprintable() else "_" for each in part).strip()
    return re.sub(r"^\.+", "_", text) or "_"
