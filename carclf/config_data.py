"""The part of the config that says where photos, labels and annotations are."""

from typing import Any, Literal, get_args

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from carclf.config_types import ConfigPath, Name, Section, Text, Whole

AnnotationFormat = Literal["via", "coco", "masks", "supervisely", "yolo", "labelme", "cvat", "mvtec"]
ANNOTATION_FORMATS: tuple[AnnotationFormat, ...] = get_args(AnnotationFormat)
DEMO = "demo"
COLOR_TOLERANCE = 12  # of 255; JPEG and resizing shift colours by some steps, classes lie farther apart


class AnnotationConfig(Section):
    """One file or folder of masks for one segmentation head."""

    format: AnnotationFormat = Field(description="what tool or convention they come from")
    path: ConfigPath = Field(description="the annotation file, or the folder of the annotations")
    head: Name = Field(default="", description="the head it is for; default: the only segmentation head")
    map: dict[Text, str] = Field(
        default={},
        description='class in the annotations -> class of the label file, "" (left out) or "ignore" (its pixels '
        "neither train nor judge)",
    )
    attribute: Text | None = Field(default=None, description="VIA: the region attribute that holds the class")
    tolerance: Whole = Field(
        default=COLOR_TOLERANCE,
        ge=0,
        le=255,
        description="colour masks: how far a colour may be off the label file's, in its worst channel, of 255; JPEG "
        "and resizing shift colours by some steps, classes lie farther apart",
    )


class DatasetConfig(Section):
    """Photos, their label table and their annotations."""

    photos: ConfigPath = Field(description="folder of the photos; the names in the label table start there")
    labels: ConfigPath = Field(description="label table: csv with a column name and one column per question")
    on_bad_photo: Literal["skip", "stop"] = Field(
        default="skip",
        description="a photo that cannot be read is named and left out (skip) or ends the run (stop); "
        "one bad file of thousands should not cost a night",
    )
    annotations: tuple[AnnotationConfig, ...] = Field(
        default=(), description="masks for the segmentation heads; none is needed without such heads"
    )


class DemoConfig(Section):
    """The drawn cars: photos, labels and masks without any data of one's own."""

    count: Whole = Field(default=240, ge=20, description="photos to draw; enough for 5 folds, drawn in seconds")
    seed: Whole = Field(default=2026, ge=0, description="seed of the drawings: the same seed, the same photos")
    image_size: Whole = Field(
        default=256, ge=32, le=4096, description="height in pixels of a drawn photo; above any backbone's 224"
    )

    @model_validator(mode="before")
    @classmethod
    def _unwrap(cls, data: Any) -> Any:
        if data == DEMO:
            return {}
        return data[DEMO] if isinstance(data, dict) and DEMO in data else data

    @model_serializer(mode="wrap")
    def _wrap(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {DEMO: handler(self)}


def dataset_tag(value: Any) -> str:
    """Tells the two kinds of dataset apart, for pydantic."""
    demo = value == DEMO or isinstance(value, DemoConfig) or (isinstance(value, dict) and DEMO in value)
    return DEMO if demo else "(photos)"
