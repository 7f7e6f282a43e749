"""The part of the config that says what `check` takes for a bad photo, a rare class, a region outside its photo."""

from pydantic import Field

from carclf.config_types import Number, Section, Whole


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
