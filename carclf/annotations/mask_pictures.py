"""Mask pictures of any mode -> class ids of a label file."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from carclf.annotations.classes import IGNORED, LEFT_OUT
from carclf.annotations.mask_colors import WHITE, describe_unknown, match_colors, nearest_colors
from carclf.annotations.records import ClassMask
from carclf.errors import AnnotationError, PhotoError, did_you_mean, listed
from carclf.images import convert, open_image, read_bytes
from carclf.labels import IGNORED_PIXEL, LabelSet
from carclf.mask_images import count_ids, ids_in

LOSSY_SUFFIXES = (".jpg", ".jpeg", ".webp")  # such pictures cannot hold ids

Array = NDArray[np.uint8]


def load_class_mask(mask: ClassMask, label_set: LabelSet) -> Array:
    """Loads a mask in its own size; classes are found by name, whatever ids they have in the mask.

    Args:
        mask: the mask file, and what its ids or colours mean.
        label_set: the classes that it may hold.

    Returns:
        uint8 (height, width): class ids of the label set, 0 = background, 255 = ignored.

    Raises:
        AnnotationError: if it holds other ids, colours or classes.
        PhotoError: if it cannot be read.
    """
    image = open_image(read_bytes(mask.path), str(mask.path), draft_size=None)
    values, palette = _read_values(image, mask.path)
    if image.mode == "1" and values is not None and WHITE in mask.colors:
        values = values * np.uint8(255)
    try:
        if values is None and not mask.colors:
            raise PhotoError(
                f"{mask.path}: a mask of class ids was expected (indexed or grey, 8 bits), but it holds colours. "
                "Say which colour is which class (color=red,green,blue in the label file)."
            )
        if values is None:
            return _from_colors(_read_colors(image, str(mask.path)), mask, label_set)
        if palette is not None and mask.colors:
            return _from_palette(values, palette, mask, label_set)
        if _grey_is_colors(values, mask, label_set):
            return _from_colors(np.repeat(values[:, :, None], 3, axis=-1), mask, label_set)
        return _from_ids(values, mask, label_set)
    except ValueError as problem:
        raise AnnotationError(f"{mask.path}: {problem}") from None


def mask_values(path: Path) -> tuple[Array | None, Array | None]:
    """Reads the single channel of a mask.

    Returns:
        (uint8 (height, width), or None where the picture has colours; the palette, uint8 (256, 3), where it is indexed
        and the palette is more than a ramp of grey, else None).

    Raises:
        PhotoError: if it cannot be read.
    """
    return _read_values(open_image(read_bytes(path), str(path), draft_size=None), path)


def _read_values(image: Image.Image, path: Path) -> tuple[Array | None, Array | None]:
    """As mask_values; black and white of 1 bit are 0 and 1."""
    if image.mode == "P":
        values = np.array(image, np.uint8)
        return values, _read_palette(image)
    if image.mode in ("1", "L"):
        return np.array(image).astype(np.uint8), None
    if image.mode.startswith("I"):
        wide = np.asarray(image)
        if wide.min() < 0 or wide.max() > 255:
            raise PhotoError(f"{path}: class ids are 0 to 255, but {wide.max()} came. Save the mask with 8 bits.")
        return wide.astype(np.uint8), None
    colors = _read_colors(image, str(path))
    grey = bool((colors == colors[:, :, :1]).all())
    return (np.ascontiguousarray(colors[:, :, 0]), None) if grey else (None, None)


def _read_palette(image: Image.Image) -> Array | None:
    """The palette, uint8 (256, 3); entries that are missing or shine through are black. None if it is a grey ramp."""
    palette = np.zeros((256, 3), np.uint8)
    given = np.array(image.getpalette("RGB") or [], np.uint8).reshape(-1, 3)[:256]
    if (given == np.arange(len(given))[:, None]).all():
        return None
    palette[: len(given)] = given
    clear = image.info.get("transparency")
    if isinstance(clear, int):
        palette[clear] = 0
    elif isinstance(clear, bytes):
        palette[np.flatnonzero(np.frombuffer(clear, np.uint8)[:256] < 128)] = 0
    return palette


def _read_colors(image: Image.Image, name: str) -> Array:
    """uint8 (height, width, 3); what shines through is black."""
    if not image.has_transparency_data:
        return np.asarray(convert(image, "RGB", name))
    pixels = np.array(convert(image, "RGBA", name))
    pixels[pixels[:, :, 3] < 128] = 0
    return pixels[:, :, :3]


def _from_ids(values: Array, mask: ClassMask, label_set: LabelSet) -> Array:
    names = _id_names(mask, label_set)
    used = sorted(ids_in(values))
    unknown = [str(each) for each in used if each not in (0, IGNORED_PIXEL, *names)]
    if unknown:
        known = ", ".join(("0 = background", *(f"{each} = {name}" for each, name in names.items()), "255 = ignored"))
        raise ValueError(f"class ids {listed(unknown)} are not in {label_set.path.name} ({known}).")
    table = np.zeros(256, np.uint8)
    table[IGNORED_PIXEL] = IGNORED_PIXEL
    for each in used:
        if each in names:
            table[each] = _class_id(names[each], label_set, f"class id {each} is")
    made: Array = table[values]
    return made


def _from_colors(pixels: Array, mask: ClassMask, label_set: LabelSet) -> Array:
    return _renumber(match_colors(pixels, mask.colors, _number(mask), mask.tolerance), mask, label_set)


def _from_palette(values: Array, palette: Array, mask: ClassMask, label_set: LabelSet) -> Array:
    """An indexed picture by its palette, or by its ids where those fit and the palette does not."""
    counts = count_ids(values)
    used = np.flatnonzero(counts)
    numbers, off = nearest_colors(palette, mask.colors, _number(mask))
    if mask.names or tuple(int(value) for value in palette[IGNORED_PIXEL]) not in mask.colors:
        numbers[IGNORED_PIXEL], off[IGNORED_PIXEL] = IGNORED_PIXEL, 0
    unknown = used[off[used] > mask.tolerance]
    if unknown.size:
        if mask.names and set(used.tolist()) <= {0, IGNORED_PIXEL, *mask.names}:
            return _from_ids(values, mask, label_set)
        which = describe_unknown(palette[unknown], counts[unknown], mask.colors)
        raise ValueError(f"its palette has colours that are no class's: {which}. Say which classes they are.")
    return _renumber(numbers[values], mask, label_set)


def _grey_is_colors(values: Array, mask: ClassMask, label_set: LabelSet) -> bool:
    """Tells whether a grey picture holds colours: all its values are named, or they cannot be ids.

    Raises:
        ValueError: if 255 could be a class as well as ignored.
    """
    greys = {color[0] for color in mask.colors if len(set(color)) == 1}
    if not greys:
        return False
    used = ids_in(values)
    if used <= {0, *greys}:
        return True
    lossy = mask.path.suffix.lower() in LOSSY_SUFFIXES
    if lossy or not used <= {0, IGNORED_PIXEL, *_id_names(mask, label_set)}:
        return True
    if IGNORED_PIXEL in used and WHITE in mask.colors:
        raise ValueError(
            f'holds class ids and 255, which is ignored among ids, but white is "{mask.colors[WHITE]}" here. '
            "Save it with ids alone or with colours alone."
        )
    return False


def _id_names(mask: ClassMask, label_set: LabelSet) -> Mapping[int, str]:
    """Class id in the mask -> class."""
    if mask.names:
        return mask.names
    return dict(enumerate(label_set.names, 1))


def _number(mask: ClassMask) -> dict[str, int]:
    """Class of a colour -> number while colours are matched: 1, 2, …; background is 0, ignored 255."""
    fixed = {LEFT_OUT: 0, IGNORED: IGNORED_PIXEL}
    classes = [name for name in dict.fromkeys(mask.colors.values()) if name not in fixed]
    return {name: number for number, name in enumerate(classes, 1)} | fixed


def _renumber(numbers: Array, mask: ClassMask, label_set: LabelSet) -> Array:
    """Numbers of classes of colours -> class ids of the label set."""
    counts = count_ids(numbers)
    table = np.zeros(256, np.uint8)
    for name, number in _number(mask).items():
        if counts[number]:
            table[number] = _class_id(name, label_set, "the picture shows")
    made: Array = table[numbers]
    return made


def _class_id(name: str, label_set: LabelSet, where: str) -> int:
    if name in (LEFT_OUT, IGNORED):
        return 0 if name == LEFT_OUT else IGNORED_PIXEL
    if name in label_set.names:
        return label_set.names.index(name) + 1
    known = f"{label_set.path.name} ({listed(label_set.names, most=20)})"
    raise ValueError(f'{where} "{name}", which is no class of {known}.{did_you_mean(name, label_set.names)}')
