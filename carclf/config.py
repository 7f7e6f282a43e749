"""application_config.json -> a frozen, typed Config: every key, its default, its unit and its reason.

Nothing here imports TensorFlow: a wrong config is told at once.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    model_validator,
)

from carclf.config_backbones import BackboneConfig
from carclf.config_checks import STANDALONE, cross_problems, path_problems, with_head_names
from carclf.config_data import DEMO, AnnotationConfig, CheckConfig, DatasetConfig, DemoConfig, dataset_tag
from carclf.config_errors import Sections, schema_problems
from carclf.config_heads import Derived, EmptyWhere, HeadConfig
from carclf.config_masks import (
    DecoderArchitecture,
    FlexUNetArchitecture,
    MaskTrainingConfig,
    RegionConfig,
    UNetXceptionArchitecture,
)
from carclf.config_types import ConfigPath, Flag, Name, Number, OneOrMore, Section, Whole
from carclf.errors import ConfigError, raise_all
from carclf.strict_json import read_json

LARGEST_SEED = 2**32 - 1  # what scikit-learn and numpy's older generators take


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


class Config(Section):
    """The whole of application_config.json. Only modules that do a command's whole work see it."""

    dataset: Annotated[
        Annotated[DatasetConfig, Tag("(photos)")] | Annotated[DemoConfig, Tag(DEMO)],
        Discriminator(dataset_tag),
    ] = Field(description='"demo" (drawn cars) or {"photos": …, "labels": …}')
    backbones: dict[Name, BackboneConfig] = Field(default={}, description="name -> backbone")
    models: tuple[str, ...] = Field(
        default=(), description="names of the backbones to run; none where all heads are masks from pixels"
    )
    embedded_fallback: Flag = Field(
        default=False,
        description="use the small shipped backbone where none is found; off, as it knows drawn cars only",
    )
    heads: dict[Name, HeadConfig] = Field(description="name -> question", min_length=1)
    cross_validation: CrossValidationConfig = Field(default=CrossValidationConfig(), description="how to judge")
    training: TrainingConfig = Field(default=TrainingConfig(), description="how to fit classification heads")
    mask_training: MaskTrainingConfig = Field(
        default=MaskTrainingConfig(), description="how to fit the networks of all segmentation heads"
    )
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

    @model_validator(mode="after")
    def _fill_training(self) -> "Config":
        """Tells every segmentation head all that holds for it, so that the effective config says it."""
        for name, head in self.heads.items():
            self.heads[name] = head.filled(self.mask_training)
        return self

    @property
    def first_run(self) -> str:
        """The run that makes groups and folds."""
        return self.models[0] if self.models else STANDALONE

    @property
    def runs(self) -> tuple[str, ...]:
        """All runs: of the models, and of the heads without a backbone."""
        return (*self.models, *((STANDALONE,) if self.standalone else ()))

    @property
    def standalone(self) -> dict[str, HeadConfig]:
        """The heads without a backbone, which are fitted once."""
        return {name: head for name, head in self.heads.items() if head.from_pixels}

    @property
    def on_backbones(self) -> dict[str, HeadConfig]:
        """The heads that every model has."""
        return {name: head for name, head in self.heads.items() if not head.from_pixels}


SECTIONS: Sections = {
    (): Config,
    ("dataset",): DatasetConfig,
    ("dataset", DEMO): DemoConfig,
    ("dataset", "annotations", "*"): AnnotationConfig,
    ("backbones", "*"): BackboneConfig,
    ("heads", "*"): HeadConfig,
    ("heads", "*", "empty_where"): EmptyWhere,
    ("heads", "*", "derived"): Derived,
    ("heads", "*", "architecture", "fpn"): DecoderArchitecture,
    ("heads", "*", "architecture", "unet"): DecoderArchitecture,
    ("heads", "*", "architecture", "deeplabv3plus"): DecoderArchitecture,
    ("heads", "*", "architecture", "panoptic"): DecoderArchitecture,
    ("heads", "*", "architecture", "flexunet"): FlexUNetArchitecture,
    ("heads", "*", "architecture", "unet_xception"): UNetXceptionArchitecture,
    ("heads", "*", "regions"): RegionConfig,
    ("heads", "*", "mask_training"): MaskTrainingConfig,
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
    told: set[str] = set()
    for place, model in SECTIONS.items():
        if place[-1:] == ("mask_training",) and len(place) > 1:
            continue  # the keys of the general mask_training
        option_of = place[3] if place[2:3] == ("architecture",) else ""
        dotted = ".".join(place[:3] if option_of else place)
        for name, field in model.model_fields.items():
            default = "" if field.is_required() else _shown_default(field.get_default(call_default_factory=True))
            key, description = ".".join([*([dotted] if dotted else []), name]), field.description or ""
            if key not in told:
                yield key, default, f"{option_of}: {description}" if option_of and name != "name" else description
            told.add(key)


def _shown_default(value: Any) -> str:
    if isinstance(value, BaseModel) or value is None or value in ("", ()):
        return ""
    return json.dumps(list(value) if isinstance(value, tuple) else value, default=str)
