"""The networks of segmentation heads by name, and what they demand of a photo's size. Needs no TensorFlow."""

from collections.abc import Mapping
from typing import Any

ON_MAPS = ("fpn", "unet", "deeplabv3plus", "panoptic")
"""Architectures on the frozen backbone's maps."""
FROM_PIXELS = ("flexunet", "unet_xception")
"""Architectures that look at the photo itself: trained once, whatever backbones there are."""
ARCHITECTURES = (*ON_MAPS, *FROM_PIXELS)
XCEPTION_FILTERS = (32, 64, 128, 256)
"""unet_xception: widths of its entry and its three blocks, each half as large as the one before (Chollet, 2020)."""


def size_multiple(architecture: str, options: Mapping[str, Any]) -> int:
    """What a photo's height and width in pixels must be a multiple of, so that every halving can be undone.

    Args:
        architecture: one of ARCHITECTURES.
        options: its options: `num_layers` of flexunet, `filters` of unet_xception if they are not XCEPTION_FILTERS.

    Returns:
        2^(num_layers - 1) for flexunet, 2^(number of filters) for unet_xception, 1 for the others.
    """
    if architecture == "flexunet":
        return int(2 ** (options["num_layers"] - 1))
    if architecture == "unet_xception":
        return int(2 ** len(options.get("filters", XCEPTION_FILTERS)))
    return 1


def size_problem(architecture: str, options: Mapping[str, Any], size: int) -> str:
    """Returns what is wrong with a photo's height or width in pixels and how to mend it, or '' if nothing is."""
    multiple = size_multiple(architecture, options)
    if size > 0 and size % multiple == 0:
        return ""
    nearest = max(multiple, round(size / multiple) * multiple)
    fewer = " or a smaller num_layers" if architecture == "flexunet" else ""
    return f"{architecture} needs a multiple of {multiple} pixels, not {size}. Set {nearest}{fewer}."
