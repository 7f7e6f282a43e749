"""The parts of the config about masks: architectures, how they are fitted, how regions are told apart."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, model_validator

from carclf.config_types import Flag, Number, Section, Whole
from carclf.mask_architectures import FROM_PIXELS, size_problem

Loss = Literal["crossentropy_dice", "categorical_crossentropy", "dice", "focal", "jaccard"]
PUBLISHED_TRAINING: dict[str, dict[str, Any]] = {
    "flexunet": {
        "loss": "categorical_crossentropy",
        "optimizer": "adam",
        "learning_rate": 7e-5,
        "clipvalue": 0.5,
        "epochs": 100,
        "batch_size": 4,
        "patience": 10,
        "learning_rate_reducer": True,
    },
    "unet_xception": {
        "loss": "dice",
        "optimizer": "adam",
        "learning_rate": 1e-3,
        "epochs": 100,
        "batch_size": 8,
        "patience": 5,
    },
}
"""How the published projects fit them: what a config does not say."""
_FROM_SCRATCH: dict[str, Any] = {
    "least_steps": 0,
    "learning_rate_decay": "none",
    "average_decay": 0.0,
    "refit": False,
    "augment": True,
    "views": 1,
}

Side = Annotated[Whole, Field(ge=1, le=31)]


class DecoderArchitecture(Section):
    """A network on the frozen maps of the backbone."""

    name: Literal["fpn", "unet", "deeplabv3plus", "panoptic"] = Field(
        description="fpn (feature pyramid), unet, deeplabv3plus: on the frozen backbone; panoptic: the same, and tells "
        "touching regions apart; flexunet, unet_xception: from the photo's pixels, without backbone"
    )


class FlexUNetArchitecture(Section):
    """The flexible U-Net, trained from scratch."""

    name: Literal["flexunet"] = Field(description="the flexible U-Net, trained from scratch")
    image_size: Whole = Field(
        default=512, ge=16, le=4096, description="height and width in pixels that photos are resized to; the published"
    )
    num_classes: Whole | None = Field(
        default=None, ge=2, description="may be stated as the published project does: classes and the background"
    )
    base_filters: Whole = Field(default=16, ge=1, le=512, description="filters of the first block; doubled in each")
    base_kernels: tuple[Side, Side] = Field(
        default=(11, 11), description="kernel of the first block; shrinks by 2 in each to 3"
    )
    num_layers: Whole = Field(default=8, ge=2, le=12, description="blocks down to the bridge, which is one of them")
    dilation: tuple[Side, Side] = Field(default=(1, 1), description="dilation of the encoder's convolutions")
    dropout_rate: Number = Field(default=0.05, ge=0, lt=1, description="share of values left out while training")
    normalization: Flag = Field(default=False, description="batch normalisation behind the convolutions")
    activation: Literal["relu", "elu", "selu", "gelu", "swish", "mish", "leaky_relu"] = Field(
        default="relu", description="between the convolutions"
    )

    @model_validator(mode="after")
    def _check_size(self) -> "FlexUNetArchitecture":
        _check_size(self.name, self.num_layers, self.image_size)
        return self


class UNetXceptionArchitecture(Section):
    """U-Net of Xception blocks, trained from scratch."""

    name: Literal["unet_xception"] = Field(description="U-Net of Xception blocks (Chollet, 2020)")
    image_size: Whole = Field(
        default=128, ge=32, le=4096, description="height and width in pixels that photos are resized to; the published"
    )
    momentum: Number = Field(
        default=0.99,
        gt=0,
        lt=1,
        description="of the running statistics of batch normalisation; on small batches a lower one follows faster",
    )

    @model_validator(mode="after")
    def _check_size(self) -> "UNetXceptionArchitecture":
        _check_size(self.name, 0, self.image_size)
        return self


def _check_size(architecture: str, num_layers: int, image_size: int) -> None:
    if problem := size_problem(architecture, {"num_layers": num_layers}, image_size):
        raise ValueError(f"image_size: {problem}".rstrip("."))


def _named(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


Architecture = Annotated[
    DecoderArchitecture | FlexUNetArchitecture | UNetXceptionArchitecture,
    Discriminator("name"),
    BeforeValidator(_named),
]


class RegionConfig(Section):
    """How the pixels of a mask become regions, each one damage."""

    split: Flag = Field(default=True, description="tell touching regions apart by their shape (watershed)")
    split_depth: Number = Field(
        default=0.6,
        gt=0,
        lt=1,
        description="by which share a joint must be narrower than the thinner of the parts that it joins; of 200 pairs "
        "of real damages pushed together 80 % are found, and hardly a single one is cut",
    )
    min_area: Number = Field(
        default=0.0005,
        ge=0,
        lt=1,
        description="share of the photo below which a region is a speck and left out; the smallest of 466 damages "
        "that people drew has 0.0013",
    )
    min_probability: Number = Field(
        default=0.9,
        ge=0,
        le=1,
        description="least probability of a region that is answered; the published Mask R-CNN project's",
    )


class MaskTrainingConfig(Section):
    """How the networks of the segmentation heads are fitted; `heads.*.mask_training` says it for one head."""

    loss: Loss = Field(
        default="crossentropy_dice",
        description="crossentropy_dice: the sum of both, which finds small damage and keeps probabilities honest; "
        "jaccard: soft; focal: easy pixels count less (gamma 2)",
    )
    class_weights: dict[str, Annotated[Number, Field(gt=0)]] | None = Field(
        default=None, description="class -> its weight in the loss; a class without one, and the background, weigh 1"
    )
    epochs: Whole = Field(default=12, ge=1, description="passes over the training part; at most, with a patience")
    least_steps: Whole = Field(
        default=300,
        ge=0,
        description="a small training part is passed over more often, until there are so many steps: 36 photos learn "
        "nothing from the 24 steps that 12 epochs make",
    )
    batch_size: Whole = Field(default=16, ge=1, description="photos per step")
    optimizer: Literal["adamw", "adam"] = Field(default="adamw", description="adam knows no weight decay")
    learning_rate: Number = Field(default=0.001, gt=0, le=10, description="step size at the start")
    learning_rate_decay: Literal["cosine", "none"] = Field(
        default="cosine", description="cosine: falls to 0 over the epochs, with a short warm-up; none: stays"
    )
    learning_rate_reducer: Flag = Field(
        default=False,
        description="multiply the step size by reducer_factor after reducer_patience epochs without a better loss of "
        "the inner validation part; in place of the cosine",
    )
    reducer_factor: Number = Field(default=0.5, gt=0, lt=1, description="the published project's")
    reducer_patience: Whole = Field(default=4, ge=1, description="epochs; the published project's")
    weight_decay: Number = Field(default=0.01, ge=0, description="AdamW's decay of the weights, times the step size")
    clipvalue: Annotated[Number, Field(gt=0)] | None = Field(
        default=None, description="every component of a gradient is cut to it; default: the gradient's length to 1"
    )
    patience: Annotated[Whole, Field(ge=1)] | None = Field(
        default=None,
        description="epochs without a better loss of the inner validation part before a fit ends; the best epoch's "
        "weights are kept. default: all epochs",
    )
    precision: Literal["float32", "bfloat16"] = Field(
        default="float32",
        description="of the activations while fitting; answers are always in float32. bfloat16 is several times faster "
        "on processors that have it (AMX, AVX512_BF16), slower on others",
    )
    refit: Flag = Field(
        default=True,
        description="fit again on the whole training part, as long as the inner validation part said; false keeps the "
        "network that was fitted without that part: half the work",
    )
    augment: Flag = Field(
        default=False, description="architectures from pixels: warp photo and mask anew in every epoch, and the light"
    )
    epoch_previews: Whole = Field(
        default=0,
        ge=0,
        le=32,
        description="photos of the inner validation part whose predicted masks are written after every epoch; the "
        "published project shows 6",
    )
    channels: Whole = Field(default=32, ge=4, le=1024, description="width of a decoder on the frozen maps")
    dropout: Number = Field(default=0.2, ge=0, lt=1, description="share of a decoder's channels left out in training")
    empty_share: Number = Field(
        default=0.25,
        ge=0,
        description="photos without a region in an epoch, as a share of those with one; other ones each time",
    )
    average_decay: Number = Field(
        default=0.98, ge=0, lt=1, description="running average of the weights over steps; 0 = the last weights"
    )
    validation_share: Number = Field(
        default=0.2, gt=0, lt=1, description="share of the training part's groups on which thresholds are chosen"
    )
    levels: tuple[Literal["P2", "P3", "P4", "P5"], ...] = Field(
        default=("P3", "P4", "P5"),
        min_length=1,
        description="maps that a decoder reads; without P2, which is half of all pixels on the disk",
    )
    views: Literal[1, 2] = Field(
        default=2, description="2 = the mirror image, too, in training and prediction; doubles the maps on the disk"
    )


def effective_training(
    architecture: str, general: MaskTrainingConfig, own: MaskTrainingConfig | None
) -> MaskTrainingConfig:
    """What holds for one head: its own keys, else those of mask_training, else the architecture's published ones."""
    published = {**_FROM_SCRATCH, **PUBLISHED_TRAINING[architecture]} if architecture in FROM_PIXELS else {}
    said = [each.model_dump(include=each.model_fields_set) for each in (general, own) if each is not None]
    merged: dict[str, Any] = dict(published)
    for keys in said:
        merged |= keys
    return MaskTrainingConfig.model_validate(merged)
