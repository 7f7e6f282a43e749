"""An answer for people's eyes: what each head says, as words and bars; small pictures of the photo and its masks."""

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from carclf.errors import counted
from carclf.images import open_image
from carclf.label_file import Color
from carclf.mask_plots import label_colors
from carclf.saying import ANSWER_KEYS

if TYPE_CHECKING:
    from jinja2 import Environment

    from carclf.label_file import LabelSet

CANNOT_SAY, NONE = "cannot say", "none"
SMALL = 480  # pixels of a small picture's longer side: sharp on a card of 240, also on dense screens
_SHORTEST = 3 / 4  # of the longer side: photos are rarely wider, and a JPEG decoded at this scale is sharp enough
_QUALITY = 72  # of JPEG; at 480 pixels about 25 kB
_VEIL, _OUTLINE = 110, 255  # how opaque a class' colour is inside and at its edge, of 255
_EDGE = 3  # pixels around which a class must reach to be inside


@dataclass(frozen=True)
class Bar:
    """One bar.

    Attributes:
        name: of the class.
        percent: its length, 0 to 100.
        chosen: whether the class is part of the answer.
    """

    name: str
    percent: float
    chosen: bool


@dataclass(frozen=True)
class Told:
    """What one head says.

    Attributes:
        head: its name.
        kind: of the head.
        words: the answer in a few words; CANNOT_SAY where it is left to people.
        note: what stands behind it: how sure it is, or why there is no answer; the regions that were found.
        bars: a bar for each class; in per cent of the photo where the head draws masks.
    """

    head: str
    kind: str
    words: str
    note: str
    bars: tuple[Bar, ...]

    @property
    def is_open(self) -> bool:
        """Whether the answer is left to people."""
        return self.words == CANNOT_SAY


def tell(heads: Mapping[str, Mapping[str, Any]]) -> list[Told]:
    """What every head of an answer says; `heads`: fields["heads"] of an answer."""
    return [
        _tell_mask(name, head) if head["kind"] == "segmentation" else _tell_labels(name, head)
        for name, head in heads.items()
    ]


def is_open(head: Mapping[str, Any]) -> bool:
    """Whether a head leaves its answer to people."""
    return head[ANSWER_KEYS[head["kind"]]] is None


def _tell_labels(name: str, head: Mapping[str, Any]) -> Told:
    answer = head[ANSWER_KEYS[head["kind"]]]
    chosen = [answer] if isinstance(answer, str) else list(answer or ())
    words = CANNOT_SAY if answer is None else ", ".join(chosen) or NONE
    bars = tuple(Bar(label, 100 * share, label in chosen) for label, share in head["probabilities"].items())
    sure = "" if head["kind"] == "categorical" else f"confidence {100 * head['confidence']:.0f} %"  # else the bar's
    return Told(name, head["kind"], words, head.get("reason", sure), bars)


def _tell_mask(name: str, head: Mapping[str, Any]) -> Told:
    share = head["damaged_percent"]
    words = CANNOT_SAY if share is None else f"{share:.1f} % of the photo"
    bars = tuple(Bar(label, percent, percent > 0 and share is not None) for label, percent in head["percent"].items())
    return Told(name, head["kind"], words, "; ".join(_mask_notes(head)), bars)


def _mask_notes(head: Mapping[str, Any]) -> Iterator[str]:
    yield head.get("reason", f"confidence {100 * head['confidence']:.0f} %")
    if head["regions"]:
        yield "regions: " + ", ".join(f"{each['class']} {100 * each['probability']:.0f} %" for each in head["regions"])
    if head["regions_left_out"]:
        yield f"{counted(head['regions_left_out'], 'region')} less sure"


def damaged_percent(heads: Mapping[str, Mapping[str, Any]]) -> float:
    """How much of a photo is damaged by the first head that draws masks and says it; −1 if none does."""
    shares = [head["damaged_percent"] for head in heads.values() if head["kind"] == "segmentation"]
    return next((float(share) for share in shares if share is not None), -1.0)


# -- pictures


def small_photo(data: bytes, name: str) -> Image.Image:
    """A photo, upright, SMALL pixels on its longer side or as large as it is.

    Raises:
        PhotoError: if it cannot be read.
    """
    image = open_image(data, name, draft_size=round(SMALL * _SHORTEST))
    if image.has_transparency_data:
        layered = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layered.size, "white"), layered)
    elif image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    small = image.convert("RGB")
    small.thumbnail((SMALL, SMALL))
    return small


def small_mask(mask: NDArray[np.uint8], size: tuple[int, int], label_set: "LabelSet") -> Image.Image:
    """A mask to lay over a small photo: RGBA, transparent where there is nothing.

    Args:
        mask: uint8 (height, width), class ids.
        size: (width, height) of the small photo.
        label_set: the classes, whose colours are those of overlays.
    """
    ids = np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))
    return Image.fromarray(_paint(ids, label_colors(label_set)))


def _paint(ids: NDArray[np.uint8], colors: Sequence[Color]) -> NDArray[np.uint8]:
    painted = np.array([(*color, _VEIL) for color in colors], np.uint8)[ids]
    framed = Image.fromarray(np.pad(ids, _EDGE // 2))  # what reaches the photo's edge has an edge there
    least, most = (np.asarray(framed.filter(kind(_EDGE))) for kind in (ImageFilter.MinFilter, ImageFilter.MaxFilter))
    inner = slice(_EDGE // 2, -(_EDGE // 2))
    painted[(least != most)[inner, inner], 3] = _OUTLINE
    painted[ids == 0] = 0
    return painted


def jpeg_bytes(image: Image.Image) -> bytes:
    """A picture as a JPEG file."""
    written = io.BytesIO()
    image.save(written, "JPEG", quality=_QUALITY, optimize=True)
    return written.getvalue()


def png_bytes(image: Image.Image) -> bytes:
    """A picture as a PNG file."""
    written = io.BytesIO()
    image.save(written, "PNG", optimize=True)
    return written.getvalue()


def address(data: bytes, kind: str) -> str:
    """A file inside a page: data:image/png;base64,…; kind: "jpeg" or "png"."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"


def template_environment() -> "Environment":
    """Where the templates of pages with answers are found; everything that they show is escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("carclf", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
