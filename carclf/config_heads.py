"""The parts of the config about the heads: one question asked of every photo each."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from carclf.config_masks import (
    Architecture,
    DecoderArchitecture,
    MaskTrainingConfig,
    RegionConfig,
    effective_training,
)
from carclf.config_types import ConfigPath, Name, Number, Section, Text, Whole
from carclf.mask_architectures import FROM_PIXELS

HeadKind = Literal["categorical", "multi_label", "segmentation"]
OVERLAP = 64  # pixels; the published project's


@dataclass(frozen=True)
class MaskHeadConfig:
    """How a segmentation head answers."""

    architecture: Architecture
    training: MaskTrainingConfig
    tile: int | None
    overlap: int
    regions: RegionConfig
    folds: int | None

    @property
    def image_size(self) -> int:
        """Pixels on each side of the photo, of an architecture from pixels."""
        if isinstance(self.architecture, DecoderArchitecture):
            raise ValueError(f"{self.architecture.name} looks through a backbone, which has a size")
        return self.architecture.image_size

    def describe(self) -> str:
        """One line for people: the architecture and what of it is no default."""
        given = self.architecture.model_dump(exclude_defaults=True, exclude={"name"})
        size = {} if isinstance(self.architecture, DecoderArchitecture) else {"image_size": self.image_size}
        tiles = {"tile": self.tile, "overlap": self.overlap} if self.tile else {}
        options = {**size, **given, **tiles}
        return ", ".join([self.architecture.name, *(f"{key} {value}" for key, value in options.items())])


@dataclass(frozen=True)
class Sureness:
    """How sure a head must be of an answer that is told; both None: it always answers.

    Attributes:
        min_probability: the least, in [0, 1].
        target_precision: the share of answers that shall be right (masks: their mean Dice score); each fold then
            chooses the least.
    """

    min_probability: float | None = None
    target_precision: float | None = None


class EmptyWhere(Section):
    """Photos known to have an empty mask: those with this value in this column."""

    column: Text = Field(description="column of the label table")
    value: Text = Field(description="value that means: nothing to segment")


class Derived(Section):
    """Labels that follow from masks; a photo without the mask is not labelled."""

    of: Name = Field(description="the segmentation head whose masks they follow from")
    rule: Literal["classes", "share", "touched"] = Field(
        description="classes: those that the mask shows (multi_label); share: how much of the photo it covers "
        "(categorical); touched: those of its classes that the masks of `by` touch, as parts by damage (multi_label)"
    )
    bounds: tuple[Annotated[Number, Field(ge=0, lt=100)], ...] = Field(
        default=(), description="share: percent of the photo up to which each class goes; the last class has no bound"
    )
    by: Name | None = Field(default=None, description="touched: the segmentation head whose regions touch")


class HeadConfig(Section):
    """One question asked of every photo."""

    kind: HeadKind = Field(description="categorical (one label), multi_label (any number) or segmentation (masks)")
    labels: ConfigPath = Field(description="label file: one class per line")
    column: Text = Field(default="", description="column of the label table; default: the head's name")
    derived: Derived | None = Field(default=None, description="in place of a column: labels that follow from masks")
    none_label: Text | None = Field(
        default=None, description="the label that means none; scores without such photos are told apart"
    )
    min_probability: Annotated[Number, Field(ge=0, le=1)] | None = Field(
        default=None,
        description="below it the head says that it cannot say, and leaves the photo to people; 1: it never answers; "
        "default: it always does. Changes no fit",
    )
    target_precision: Annotated[Number, Field(gt=0, lt=1)] | None = Field(
        default=None,
        description="in place of min_probability: the share of answers that shall be right, of masks their mean Dice "
        "score. Each fold chooses its min_probability for it inside its training part. Changes no fit",
    )
    empty_where: EmptyWhere | None = Field(
        default=None, description="segmentation only: photos whose mask is known to be empty"
    )
    masks_of: Name | None = Field(
        default=None,
        description="segmentation only: another such head, whose masks, labels and empty_where are this one's, too: to "
        "compare architectures",
    )
    architecture: Architecture | None = Field(
        default=None, description="segmentation only: a name, or an object with options; default: fpn"
    )
    mask_training: MaskTrainingConfig | None = Field(
        default=None, description="segmentation only: keys of mask_training that are others for this head"
    )
    tile: Annotated[Whole, Field(ge=32)] | None = Field(
        default=None,
        description="segmentation only: photos with a side of more pixels are looked at in tiles of this size, in "
        "judging and in prediction; default: every photo as a whole",
    )
    overlap: Annotated[Whole, Field(ge=0)] | None = Field(
        default=None, description=f"pixels that neighbouring tiles share, blended; default: {OVERLAP}"
    )
    folds: Annotated[Whole, Field(ge=1)] | None = Field(
        default=None,
        description="segmentation only: how many of the folds are fitted and judged, the first ones; default: all. "
        "Fewer save time where an epoch is slow, and the intervals are wider",
    )
    regions: RegionConfig | None = Field(default=None, description="segmentation only: the single damages of a mask")

    @property
    def mask(self) -> MaskHeadConfig:
        """What is said of a segmentation head, everything that stands elsewhere in the config or nowhere included."""
        if self.mask_training is None or self.architecture is None:
            raise ValueError("not a segmentation head of a whole config")
        overlap = OVERLAP if self.overlap is None else self.overlap
        if self.tile is not None:
            overlap = min(overlap, self.tile // 2)
        regions = self.regions or RegionConfig()
        return MaskHeadConfig(self.architecture, self.mask_training, self.tile, overlap, regions, self.folds)

    @property
    def sureness(self) -> Sureness:
        """How sure an answer must be that is told."""
        return Sureness(self.min_probability, self.target_precision)

    @property
    def from_pixels(self) -> bool:
        """Whether it is a segmentation head without a backbone."""
        return self.architecture is not None and self.architecture.name in FROM_PIXELS

    def filled(self, general: MaskTrainingConfig) -> "HeadConfig":
        """A segmentation head with all that it leaves to defaults; `general`: mask_training of the config."""
        if self.kind != "segmentation":
            return self
        architecture = self.architecture or DecoderArchitecture(name="fpn")
        training = effective_training(architecture.name, general, self.mask_training)
        known = {"architecture": architecture, "mask_training": training}
        return self.model_copy(update=known | {"regions": self.regions or RegionConfig()})
