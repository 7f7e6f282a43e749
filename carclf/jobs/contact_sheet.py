"""contact_sheet.png: the first photos of a job with their masks and answers, so many on a picture and no more."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageDraw, ImageFont

from carclf.files import write_whole
from carclf.jobs.request import SHEET
from carclf.jobs.thumbnails import Thumbnails
from carclf.showing import CANNOT_SAY, tell

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

COLUMNS, ROWS = 6, 8  # of thumbnails on a picture
_CELL, _PHOTO, _GAP = (256, 240), (240, 180), 8  # pixels
_LINE, _FONT_SIZE = 20, 14  # pixels
_PAPER, _BLANK, _INK, _SOFT, _OPEN = "#f6f7f9", "#e9edf2", "#1b2330", "#5b6675", "#9a6200"
_FONT = Path("fonts", "ttf", "DejaVuSans.ttf")  # of matplotlib: Latin, Greek, Cyrillic and more
_MORE = "…"


def write_sheets(answers: Iterator[Mapping[str, Any]], thumbnails: Thumbnails, folder: Path) -> list[Path]:
    """Writes contact_sheet.png, or contact_sheet_01.png, … where one does not hold all; removes those of earlier runs.

    Args:
        answers: fields of the photos that are shown, in order; one sheet after the other is in memory.
        thumbnails: of the photos.
        folder: where the sheets go.
    """
    for old in [folder / SHEET, *folder.glob("contact_sheet_[0-9][0-9]*.png")]:
        old.unlink(missing_ok=True)
    written: list[Path] = []
    font = _load_font()
    while shown := list(islice(answers, COLUMNS * ROWS)):
        path = folder / f"contact_sheet_{len(written) + 1:02}.png"
        write_whole(path, partial(_draw(shown, thumbnails, font).save, format="PNG"))
        written.append(path)
    if len(written) == 1:
        written = [written[0].rename(folder / SHEET)]
    return written


def _draw(shown: Sequence[Mapping[str, Any]], thumbnails: Thumbnails, font: "FreeTypeFont") -> Image.Image:
    columns, rows = min(COLUMNS, len(shown)), -(-len(shown) // COLUMNS)
    sheet = Image.new("RGB", (columns * _CELL[0] + _GAP, rows * _CELL[1] + _GAP), _PAPER)
    pen = ImageDraw.Draw(sheet)
    for place, fields in enumerate(shown):
        row, column = divmod(place, COLUMNS)
        left, top = _GAP + column * _CELL[0], _GAP + row * _CELL[1]
        pen.rectangle((left, top, left + _PHOTO[0] - 1, top + _PHOTO[1] - 1), fill=_BLANK)
        if (small := _picture(fields["photo"], thumbnails)) is not None:
            sheet.paste(small, (left + (_PHOTO[0] - small.width) // 2, top + (_PHOTO[1] - small.height) // 2))
        name, said, is_open = _caption(fields)
        for line, (text, color) in enumerate([(name, _SOFT), (said, _OPEN if is_open else _INK)]):
            place_of_text = (left, top + _PHOTO[1] + 4 + line * _LINE)
            pen.text(place_of_text, _fit(text, font), fill=color, font=font)
    return sheet


def _picture(photo: str, thumbnails: Thumbnails) -> Image.Image | None:
    """A thumbnail with its first mask over it; None if there is none."""
    thumbnail = thumbnails.of(photo)
    if not thumbnail.photo.exists():
        return None
    with Image.open(thumbnail.photo) as image:
        small = image.convert("RGBA")
    for path in list(thumbnail.masks.values())[:1]:
        with Image.open(path) as layer:
            small.alpha_composite(layer.convert("RGBA"))
    small.thumbnail(_PHOTO)
    return small.convert("RGB")


def _caption(fields: Mapping[str, Any]) -> tuple[str, str, bool]:
    """The photo's name, what its first heads say, and whether the first of them is left to people."""
    told = tell(fields["heads"])
    first = [each for each in told if each.kind == "categorical"][:1] or told[:1]
    masks = [each for each in told if each.kind == "segmentation" and each not in first][:1]
    words = [each.words.removesuffix(" of the photo") for each in [*first, *masks]]
    return Path(fields["photo"]).name, ", ".join(words), any(each.words == CANNOT_SAY for each in first)


def _load_font() -> "FreeTypeFont":
    from matplotlib import get_data_path

    return ImageFont.truetype(str(Path(get_data_path()) / _FONT), _FONT_SIZE)


def _fit(text: str, font: "FreeTypeFont") -> str:
    """Shortens a text in its middle until it is as wide as a photo."""
    text = "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)
    kept = len(text)
    fitting = text
    while kept > 2 and font.getlength(fitting) > _PHOTO[0]:
        kept -= 1
        fitting = f"{text[: (kept + 1) // 2]}{_MORE}{text[len(text) - kept // 2 :]}"
    return fitting
