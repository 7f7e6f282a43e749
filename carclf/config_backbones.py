"""The part of the config about backbones: where each comes from, and what several joined into one demand."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from carclf.config_types import ConfigPath, Range, Section, Sha256, Text, Whole
from carclf.errors import did_you_mean

Engine = Literal["auto", "openvino", "tensorflow"]
OF_ONE_ALONE = ("local", "handle", "input_range", "engine", "sha256")
"""What every part of a joined backbone has of its own."""


class BackboneConfig(Section):
    """A SavedModel that turns photos into feature vectors and maps, or several of them joined into one."""

    local: ConfigPath | None = Field(default=None, description="folder of a SavedModel; looked at first")
    handle: Text | None = Field(default=None, description="TF-Hub address, downloaded once if local is not there")
    joined: tuple[Text, ...] | None = Field(
        default=None,
        description="names of other backbones whose vectors and maps are joined, in place of local and handle; "
        "image_size and grid are then those of this one",
    )
    image_size: Whole = Field(
        default=224,
        ge=32,
        le=2048,
        description="height and width in pixels that photos are resized to; 224 is TF-Hub's",
    )
    input_range: Range = Field(
        default=(0.0, 1.0), description="values of black and white that the model wants; [0, 1] is TF-Hub's"
    )
    grid: tuple[Annotated[Whole, Field(ge=1, le=16)], Annotated[Whole, Field(ge=1, le=16)]] | None = Field(
        default=(2, 3),
        description="rows and columns of cells over the deepest map whose means join the vector: where in the photo "
        "something is; null = the vector alone",
    )
    engine: Engine = Field(
        default="auto",
        description="auto: OpenVINO on a CPU, where it is faster, if it agrees with TensorFlow",
    )
    sha256: Sha256 | None = Field(
        default=None,
        description="expected hash of the model; default: recorded on the first run and checked then",
    )


def backbone_problems(backbones: Mapping[str, Any], embedded_fallback: bool) -> Iterator[str]:
    """Yields what is wrong with the backbones among each other, one line each, without the file's name.

    Args:
        backbones: name -> JSON value; wrong types in it are the schema's business and passed over.
        embedded_fallback: whether a backbone without a place is replaced by the embedded one.
    """
    for name, backbone in backbones.items():
        if not isinstance(backbone, dict):
            continue
        if backbone.get("joined") is not None:
            yield from _joined_problems(backbones, name, backbone)
        elif not embedded_fallback and backbone.get("local") is None and backbone.get("handle") is None:
            yield f"backbones.{name}: neither local nor handle is given. Write where its SavedModel is."


def _joined_problems(backbones: Mapping[str, Any], name: str, backbone: dict[str, Any]) -> Iterator[str]:
    for key in OF_ONE_ALONE:
        if key in backbone and _plain(backbone[key]) != _plain(BackboneConfig.model_fields[key].default):
            yield f"backbones.{name}.{key}: stands beside joined, but every part has its own. Delete it."
    parts = backbone["joined"]
    if not isinstance(parts, list | tuple):
        return
    if len(parts) < 2:
        yield f"backbones.{name}.joined: at least two names were expected, not {len(parts)}. Add the missing ones."
    single = [other for other, given in backbones.items() if not _is_joined(given)]
    for index, part in enumerate(parts):
        place = f"backbones.{name}.joined[{index}]"
        known = f"Such backbones: {', '.join(single) or 'none'}."
        if not isinstance(part, str):
            continue
        if part == name:
            yield f'{place}: "{part}" cannot be a part of itself. Name others. {known}'
        elif part in backbones and part not in single:
            yield f'{place}: "{part}" is joined itself. Name its parts instead. {known}'
        elif part not in backbones:
            yield f'{place}: "{part}" is not among backbones.{did_you_mean(part, single)} {known}'
        if part in parts[:index]:
            yield f'{place}: "{part}" stands twice. Name every part once.'


def _is_joined(backbone: Any) -> bool:
    return isinstance(backbone, dict) and backbone.get("joined") is not None


def _plain(value: Any) -> Any:
    """A value as JSON has it: a default that the effective config spells out is as good as none."""
    return list(value) if isinstance(value, tuple) else value
