"""The answers as OpenAPI describes them. They are made elsewhere; a test holds them against these."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Probability = Annotated[float, Field(ge=0, le=1)]
Percent = Annotated[float, Field(ge=0, le=100.01)]  # a sum of rounded ones
Color = Annotated[list[int], Field(min_length=3, max_length=3, description="red, green, blue")]


class _Exact(BaseModel):
    """Every field is listed."""

    model_config = ConfigDict(extra="forbid")


class _Head(_Exact):
    """What all heads say."""

    confidence: Probability = Field(description="how sure the head is of its answer")
    reason: str | None = Field(default=None, description="why it cannot say; missing where it can")


class CategoricalHead(_Head):
    """One label."""

    kind: Literal["categorical"]
    label: str | None = Field(description="null: it cannot say")
    probabilities: dict[str, Probability]


class MultiLabelHead(_Head):
    """Any number of labels."""

    kind: Literal["multi_label"]
    labels: list[str] | None = Field(description="null: it cannot say")
    probabilities: dict[str, Probability]


class Region(_Exact):
    """One damage."""

    class_name: str = Field(alias="class")
    probability: Probability
    box: list[int] = Field(min_length=4, max_length=4, description="left, top, width, height in pixels, upright")
    polygon: list[list[float]] = Field(description="rings of x, y, x, y, …, as COCO has them")
    area: int = Field(description="pixels")
    percent: Percent = Field(description="of the photo")


class CaseRegion(Region):
    """One damage in a case."""

    photo: str = Field(description="the photo it is in")
    photo_index: int = Field(ge=0, description="its place among the photos")


class SegmentationHead(_Head):
    """Which pixels are damaged."""

    kind: Literal["segmentation"]
    damaged_percent: Percent | None = Field(description="of the photo; null: it cannot say")
    percent: dict[str, Percent] = Field(description="class -> percent of the photo")
    regions: list[Region] = Field(description="the single damages, the most probable first")
    regions_left_out: int = Field(ge=0, description="how many more are less probable than is told")


class CaseSegmentationHead(SegmentationHead):
    """Which pixels are damaged, in the photos of a case."""

    regions: list[CaseRegion]  # type: ignore[assignment]  # lists cannot be narrowed, but nobody changes these


Head = Annotated[CategoricalHead | MultiLabelHead | SegmentationHead, Field(discriminator="kind")]
CaseHead = Annotated[CategoricalHead | MultiLabelHead | CaseSegmentationHead, Field(discriminator="kind")]


class RunLengths(_Exact):
    """A mask as COCO has it."""

    size: list[int] = Field(min_length=2, max_length=2, description="height, width")
    counts: str = Field(description="compressed run lengths, column by column")


class ClassRunLengths(RunLengths):
    """All damage, and that of each class."""

    classes: dict[str, RunLengths] = Field(description="class -> its own mask")


class PhotoAnswer(_Exact):
    """The answer to one photo."""

    photo: str = Field(description="as it was called")
    photo_sha256: str
    model: str
    model_sha256: str
    heads: dict[str, Head]
    size: list[int] = Field(min_length=2, max_length=2, description="width, height, upright")
    masks: dict[str, str | ClassRunLengths] | None = Field(
        default=None, description="head -> indexed PNG in base64, or run lengths; only if asked for"
    )
    overlays: dict[str, str] | None = Field(default=None, description="head -> PNG in base64; only if asked for")


class PhotoError(_Exact):
    """A photo among several that cannot be answered."""

    photo: str = Field(description="as it was called")
    error: str = Field(description="what is wrong with it")


class Case(_Exact):
    """One answer of all photos together, which show one car."""

    heads: dict[str, CaseHead]


class PredictReply(_Exact):
    """The answers to the photos of a request, in their order."""

    model: str
    photos: list[PhotoAnswer | PhotoError]
    case: Case | None = Field(default=None, description="only if asked for")


class ErrorReply(_Exact):
    """Why there is no answer."""

    error: str = Field(description="a sentence: what is wrong and how to mend it")
    request_id: str = Field(description="as the log has it")


class HeadFacts(_Exact):
    """One question that the model answers."""

    kind: Literal["categorical", "multi_label", "segmentation"]
    classes: list[str]
    min_probability: Probability = Field(description="below this confidence the head says that it cannot say")
    mirror: dict[str, str] | None = Field(default=None, description="what labels become when a photo is mirrored")
    none_label: str | None = Field(default=None, description="the label that means none")
    colors: dict[str, Color] | None = Field(default=None, description="of masks: class -> its colour")
    region_min_probability: Probability | None = Field(default=None, description="regions below it are counted only")


class ModelFacts(_Exact):
    """A model."""

    name: str
    sha256: str = Field(description="of everything that decides an answer")
    heads: dict[str, HeadFacts]


class LimitFacts(_Exact):
    """What a request may hold."""

    bytes: int = Field(description="of its body")
    pixels: int = Field(description="of a photo; a third of it where pixels are transparent or have 16 bits")
    photos: int


class ModelsReply(_Exact):
    """The models, and what a request may hold."""

    models: list[ModelFacts]
    limits: LimitFacts


class ReportReply(_Exact):
    """How well the model answered photos that it had never seen."""

    results: dict[str, Any] = Field(description="the tree of results.json")
    text: str = Field(description="results.txt")
    pictures: list[str] = Field(description="names for /v1/report/pictures/{name}")


class StateReply(_Exact):
    """How the service is."""

    status: Literal["ok"]
