"""The parts of the config about the data: where photos, labels and annotations are, and what `check` takes for bad."""

from typing import Any, Literal, get_args

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from carclf.config_types import ConfigPath, Name, Number, Section, Text, Whole

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


class CheckConfig(Section):
    """From where on something is worth a line. Nothing here changes what a run does."""

    least_side: Whole = Field(
        default=96,
        ge=1,
        description="pixels of a photo's shorter side below which it is tiny; a network of 224 sees less than half of "
        "its own size then",
    )
    least_sharpness: Number = Field(
        default=80,
        ge=0,
        description="variance of the Laplacian of the grey photo, 256 pixels on its longer side, below which it is "
        "blurred; of 1,829 sharp photos the least is 133, blurred by 2.5 pixels all are below 20",
    )
    least_brightness: Number = Field(
        default=90,
        ge=0,
        le=255,
        description="grey value, 0 to 255, that the brightest twentieth of a photo reaches if it is not too dark; "
        "cars at night and on black have more, of 1,829 photos only two darkened ones have less",
    )
    rare_photos: Whole = Field(
        default=20, ge=0, description="photos below which a class is rare: 4 to judge by in each of 5 folds"
    )
    outside_share: Number = Field(
        default=0.02,
        ge=0,
        le=1,
        description="how far a region may stick out of its photo, as a share of the photo's side; hands slip that far",
    )
    thumbnails: Whole = Field(default=24, ge=0, description="photos shown with a finding; check.json names all")


def dataset_tag(value: Any) -> str:
    """Tells the two kinds of dataset apart, for pydantic."""
    demo = value == DEMO or isinstance(value, DemoConfig) or (isinstance(value, dict) and DEMO in value)
    return DEMO if demo else "(photos)"
