"""application_config.json -> a frozen, typed Config: every key, its default, its unit and its reason.

Nothing here imports TensorFlow: a wrong config is told at once.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    model_validator,
)

from carclf.config_checks import cross_problems, path_problems, with_head_names
from carclf.config_data import DEMO, AnnotationConfig, CheckConfig, DatasetConfig, DemoConfig, dataset_tag
from carclf.config_errors import Sections, schema_problems
from carclf.config_types import ConfigPath, Flag, Name, Number, OneOrMore, Range, Section, Sha256, Text, Whole
from carclf.errors import ConfigError, raise_all
from carclf.strict_json import read_json

HeadKind = Literal["categorical", "multi_label", "segmentation"]
Engine = Literal["auto", "openvino", "tensorflow"]
LARGEST_SEED = 2**32 - 1  # what scikit-learn and numpy's older generators take


class BackboneConfig(Section):
    """A SavedModel that turns photos into feature vectors and maps."""

    local: ConfigPath | None = Field(default=None, description="folder of a SavedModel; looked at first")
    handle: Text | None = Field(default=None, description="TF-Hub address, downloaded once if local is not there")
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
    empty_where: EmptyWhere | None = Field(
        default=None, description="segmentation only: photos whose mask is known to be empty"
    )


class CrossValidationConfig(Section):
    """How photos are split for judging."""

    folds: Whole = Field(default=5, ge=2, le=50, description="parts; 5 keeps 80 % for training and is the custom")
    seed: Whole = Field(
        default=42, ge=0, le=LARGEST_SEED, description="seed of the split and of every fit; the predecessor's"
    )
    group_similarity: Number = Field(
        default=0.84,
        gt=0,
        le=1,
        description="centred cosine of two photos' vectors from which they count as one scene; "
        "on real photos all pairs above 0.84 were true, below mixed",
    )
    folds_file: ConfigPath | None = Field(default=None, description="csv photo,fold to use instead of making folds")


class TrainingConfig(Section):
    """How the classification heads are fitted."""

    views: Annotated[Whole, Field(ge=1, le=6)] = Field(
        default=2,
        description="how a photo is looked at, in training and prediction: 1 as it is; 2 and mirrored, as cars have "
        "two sides; 4 and its middle enlarged; 6 and in brighter light",
    )
    hidden_units: Whole = Field(
        default=0, ge=0, le=8192, description="width of a hidden layer; 0 = a linear head: solved exactly, faster"
    )
    l2: Annotated[tuple[Annotated[Number, Field(ge=0)], ...], OneOrMore] = Field(
        min_length=1,
        default=(5e-5, 1.5e-4, 5e-4, 2.5e-3),
        description="every head: weight of the squared weights in the loss, in units of their inputs' total variance; "
        "several: each fold chooses inside its training part",
    )
    max_steps: Whole = Field(
        default=2000,
        ge=1,
        description="every head: steps at most; linear ends at the optimum, a hidden layer where the inner folds say",
    )
    batch_size: Whole = Field(default=256, ge=1, description="hidden layer: photos per step; linear takes all at once")
    learning_rate: Number = Field(
        default=0.001, gt=0, le=10, description="hidden layer: Adam's step size; linear needs none and cannot diverge"
    )
    patience: Whole = Field(
        default=10, ge=1, description="hidden layer: passes without a better inner log loss before a fold's fit ends"
    )
    inner_folds: Whole = Field(
        default=4, ge=2, le=20, description="grouped parts of a training part in which everything is chosen"
    )


class MaskTrainingConfig(Section):
    """How the mask decoders of the segmentation heads are fitted."""

    epochs: Whole = Field(default=12, ge=1, description="passes over the training part")
    least_steps: Whole = Field(
        default=300,
        ge=0,
        description="a small training part is passed over more often, until there are so many steps: 36 photos learn "
        "nothing from the 24 steps that 12 epochs make",
    )
    batch_size: Whole = Field(default=16, ge=1, description="photos per step")
    learning_rate: Number = Field(default=0.001, gt=0, le=10, description="step size at the start; decays to 0")
    weight_decay: Number = Field(default=0.01, ge=0, description="AdamW's decay of the weights, times the step size")
    channels: Whole = Field(default=32, ge=4, le=1024, description="width of the decoder")
    dropout: Number = Field(default=0.2, ge=0, lt=1, description="share of channels left out while training")
    empty_share: Number = Field(
        default=0.25,
        ge=0,
        description="photos without a region in an epoch, as a share of those with one; other ones each time",
    )
    average_decay: Number = Field(default=0.98, ge=0, lt=1, description="running average of the weights over steps")
    validation_share: Number = Field(
        default=0.2, gt=0, lt=1, description="share of the training part's groups on which thresholds are chosen"
    )
    levels: tuple[Literal["P2", "P3", "P4", "P5"], ...] = Field(
        default=("P3", "P4", "P5"),
        min_length=1,
        description="maps that the decoder reads; without P2, which is half of all pixels on the disk",
    )
    views: Literal[1, 2] = Field(
        default=2, description="2 = the mirror image, too, in training and prediction; doubles the maps on the disk"
    )


class Config(Section):
    """The whole of application_config.json. Only modules that do a command's whole work see it."""

    dataset: Annotated[
        Annotated[DatasetConfig, Tag("(photos)")] | Annotated[DemoConfig, Tag(DEMO)],
        Discriminator(dataset_tag),
    ] = Field(description='"demo" (drawn cars) or {"photos": …, "labels": …}')
    backbones: dict[Name, BackboneConfig] = Field(description="name -> backbone", min_length=1)
    models: tuple[str, ...] = Field(description="names of the backbones to run", min_length=1)
    embedded_fallback: Flag = Field(
        default=False,
        description="use the small shipped backbone where none is found; off, as it knows drawn cars only",
    )
    heads: dict[Name, HeadConfig] = Field(description="name -> question", min_length=1)
    cross_validation: CrossValidationConfig = Field(default=CrossValidationConfig(), description="how to judge")
    training: TrainingConfig = Field(default=TrainingConfig(), description="how to fit classification heads")
    mask_training: MaskTrainingConfig = Field(default=MaskTrainingConfig(), description="how to fit mask decoders")
    check: CheckConfig = Field(default=CheckConfig(), description="from where on `check` says something")
    results: ConfigPath = Field(
        default=Path("results"), validate_default=True, description="folder of the run directories"
    )
    images: ConfigPath = Field(default=Path("images"), validate_default=True, description="folder of the pictures")
    workers: Annotated[Whole, Field(ge=1)] | None = Field(
        default=None, description="threads; default: every core. Never changes a result"
    )

    @model_validator(mode="before")
    @classmethod
    def _fill_names(cls, data: Any) -> Any:
        return with_head_names(data)


SECTIONS: Sections = {
    (): Config,
    ("dataset",): DatasetConfig,
    ("dataset", DEMO): DemoConfig,
    ("dataset", "annotations", "*"): AnnotationConfig,
    ("backbones", "*"): BackboneConfig,
    ("heads", "*"): HeadConfig,
    ("heads", "*", "empty_where"): EmptyWhere,
    ("heads", "*", "derived"): Derived,
    ("cross_validation",): CrossValidationConfig,
    ("training",): TrainingConfig,
    ("mask_training",): MaskTrainingConfig,
    ("check",): CheckConfig,
}


def read_config(path: Path) -> Config:
    """Reads and checks a config file; relative paths in it start at its folder.

    Whether photos and tables are there is told by check_paths, as an answer about one photo needs neither;
    where something is wrong anyway, what is missing on the disk is told along with it.

    Raises:
        ConfigError: with every problem of the file, one a line.
    """
    data = read_json(path, ConfigError)
    if not isinstance(data, dict):
        raise ConfigError(f"{path.name}: must be one object {{…}}, not {type(data).__name__}.")
    folder = path.absolute().parent
    problems = cross_problems(data)
    config = None
    try:
        config = Config.model_validate(data, context={"folder": folder})
    except ValidationError as found:
        problems = schema_problems(found, data, SECTIONS) + problems
    if config is None or problems:
        raise_all(ConfigError, [f"{path.name}: {line}" for line in [*problems, *path_problems(data, folder)]])
        raise RuntimeError("a config without problems was not made")
    return config


def check_paths(config: Config) -> None:
    """Makes sure that photos, tables, label files and annotations are where the config says.

    Raises:
        ConfigError: with everything that is missing, one a line.
    """
    raise_all(ConfigError, path_problems(config.model_dump(mode="json"), Path()))


def list_keys() -> Iterator[tuple[str, str, str]]:
    """Yields (dotted key, default or "", description) of every key, for the README."""
    for place, model in SECTIONS.items():
        for name, field in model.model_fields.items():
            default = "" if field.is_required() else _shown_default(field.get_default(call_default_factory=True))
            yield ".".join([*place, name]), default, field.description or ""


def _shown_default(value: Any) -> str:
    if isinstance(value, BaseModel) or value is None or value in ("", ()):
        return ""
    return json.dumps(list(value) if isinstance(value, tuple) else value, default=str)
