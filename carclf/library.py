"""A trained model in other programs and notebooks: `model = carclf.load("results/mobilenet")`, `model("car.jpg")`."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from carclf.config import Config, read_config
from carclf.errors import BackboneError, CarclfError, LabelError, PhotoError, RunDirError, did_you_mean, listed
from carclf.label_file import LabelSet
from carclf.mask_plots import label_colors, paint_mask
from carclf.photo_bytes import Photo, make_source
from carclf.photo_source import PhotoSource
from carclf.predict import Predictor
from carclf.saying import Answer
from carclf.showing import address, jpeg_bytes, png_bytes, small_mask, small_photo, tell, template_environment
from carclf.using import open_predictor

if TYPE_CHECKING:
    from carclf.regions.region import Region

_CONFIG = "config.json"  # of a run: the config that it was trained with
_MOVED = 'Where the project was moved since the training, give its config: load("{run}", config="my_config.json").'


def load_model(run: str | Path, config: str | Path | None = None, views: int | None = None) -> "Model":
    """See carclf.load."""
    folder = Path(run).absolute()
    settings = _read_settings(folder, config)
    try:
        predictor = open_predictor(settings, folder.name, views)
    except (BackboneError, LabelError) as error:
        hint = "" if config is not None else f" {_MOVED.format(run=run)}"
        raise type(error)(f"{error}{hint}") from error
    return Model(predictor)


def _read_settings(folder: Path, config: str | Path | None) -> Config:
    """The config of a run, whose results are where the run is."""
    if not (folder / _CONFIG).is_file():
        raise RunDirError(f"{folder}: {_what_is_missing(folder)}")
    settings = read_config(Path(config) if config is not None else folder / _CONFIG)
    if folder.name not in settings.runs:
        where = f"Trained models lie in {settings.results}: {listed(settings.runs)}."
        raise RunDirError(f"{folder}: is the folder of no model of the config. {where}")
    return settings.model_copy(update={"results": folder.parent})


def _what_is_missing(folder: Path) -> str:
    """Why a folder is not the one of a trained model."""
    if not folder.is_dir():
        beside = [each.parent.name for each in folder.parent.glob(f"*/{_CONFIG}")]
        return f"no such folder.{did_you_mean(folder.name, beside)} Trained there: {listed(beside) or 'nothing'}."
    inside = sorted(each.parent.name for each in folder.glob(f"*/{_CONFIG}"))
    if inside:
        return f"is a folder of trained models. Name one of them: {listed([str(folder / name) for name in inside])}."
    return f"holds no trained model: {_CONFIG} is missing. Train first: python main.py --config application_config.json"


@dataclass(frozen=True)
class HeadResult:
    """What one head says.

    Attributes:
        fields: as in the JSON line.
    """

    fields: Mapping[str, Any] = field(repr=False)

    @property
    def kind(self) -> str:
        """categorical, multi_label or segmentation."""
        return str(self.fields["kind"])

    @property
    def label(self) -> str | None:
        """Of a categorical head: the label; None = it cannot say."""
        label: str | None = self._field("label")
        return label

    @property
    def labels(self) -> list[str] | None:
        """Of a multi_label head: the labels that are there; None = it cannot say."""
        labels: list[str] | None = self._field("labels")
        return labels

    @property
    def probabilities(self) -> dict[str, float]:
        """Of a categorical or multi_label head: label -> probability, in [0, 1]."""
        return dict(self._field("probabilities"))

    @property
    def damaged_percent(self) -> float | None:
        """Of a segmentation head: how much of the photo is damaged; None = it cannot say."""
        percent: float | None = self._field("damaged_percent")
        return percent

    @property
    def percent(self) -> dict[str, float]:
        """Of a segmentation head: class -> how much of the photo it covers."""
        return dict(self._field("percent"))

    @property
    def regions(self) -> list[dict[str, Any]]:
        """Of a segmentation head: every damage: class, probability, box, polygon, area, percent."""
        return list(self._field("regions"))

    @property
    def confidence(self) -> float:
        """How sure the head is of its answer, in [0, 1]."""
        return float(self._field("confidence"))

    @property
    def reason(self) -> str | None:
        """Why it cannot say; None where it can."""
        reason: str | None = self.fields.get("reason")
        return reason

    def _field(self, name: str) -> Any:
        if name not in self.fields:
            has = ", ".join(key for key in self.fields if key != "kind")
            raise CarclfError(f"a head of the kind {self.kind} has no {name}. It has {has}.")
        return self.fields[name]

    def __repr__(self) -> str:
        told = tell({"": self.fields})[0]
        return f"<{self.kind}: {told.words}{f' ({told.note})' if told.note else ''}>"


@dataclass(frozen=True, repr=False)
class Result:
    """The answer to one photo: `result["severity"].label`. A notebook shows it with its bars and its mask."""

    _answer: Answer
    _label_sets: Mapping[str, LabelSet]

    @property
    def fields(self) -> dict[str, Any]:
        """The JSON object that `predict` prints."""
        return self._answer.fields

    @property
    def photo(self) -> str:
        """What the photo is called: its path, as it was given."""
        return str(self._answer.path)

    @property
    def heads(self) -> tuple[str, ...]:
        """The names of the heads."""
        return tuple(self.fields["heads"])

    def __getitem__(self, head: str) -> HeadResult:
        return HeadResult(self.fields["heads"][_known(head, self.heads)])

    def mask(self, head: str | None = None) -> NDArray[np.uint8]:
        """The mask of a segmentation head, uint8 (height, width) at the photo's own size: 0 = nothing, i = class i.

        Args:
            head: its name; None = the first one.

        Raises:
            CarclfError: if there is no such head.
        """
        return np.asarray(self._answer.masks[self._mask_head(head)])

    def regions(self, head: str | None = None) -> "tuple[Region, ...]":
        """The regions of a segmentation head with their pixels, the most probable first; see `mask`."""
        return self._answer.regions[self._mask_head(head)]

    def overlay(self, head: str | None = None) -> Image.Image:
        """The photo with a mask drawn over it, as a PIL image of the photo's own size; see `mask`.

        Raises:
            PhotoError: if the file was changed or deleted since it was answered.
        """
        name = self._mask_head(head)
        photo = PhotoSource(self._answer.path, self._photo_bytes()).read_full()
        return Image.fromarray(paint_mask(photo, self._answer.masks[name], label_colors(self._label_sets[name])))

    def _mask_head(self, head: str | None) -> str:
        masks = tuple(self._answer.masks)
        if not masks:
            raise CarclfError("the model has no segmentation head, so there is no mask.")
        return masks[0] if head is None else _known(head, masks)

    def _photo_bytes(self) -> bytes:
        data = self._answer.photo.read_bytes()
        if hashlib.sha256(data).hexdigest() != self.fields["photo_sha256"]:
            raise PhotoError(f"{self.photo}: was changed since it was answered. Ask again.")
        return data

    def __repr__(self) -> str:
        said = ", ".join(f"{told.head}: {told.words}" for told in tell(self.fields["heads"]))
        return f"<Result of {self.photo}: {said}>"

    def _repr_html_(self) -> str:
        """What a notebook shows: the photo, small, with its first mask, and a bar for every probability."""
        picture, layer = "", ""
        try:
            small = small_photo(self._photo_bytes(), self.photo)
            picture = address(jpeg_bytes(small), "jpeg")
            for head, mask in list(self._answer.masks.items())[:1]:
                layer = address(png_bytes(small_mask(mask, small.size, self._label_sets[head])), "png")
        except PhotoError:
            pass  # the answer stays what it is when the file is gone
        template = template_environment().get_template("library.html")
        return template.render(name=self.photo, picture=picture, layer=layer, rows=tell(self.fields["heads"]))


@dataclass(frozen=True, repr=False)
class Model:
    """A trained model, as carclf.load opens it.

    Attributes:
        predictor: what answers.
    """

    predictor: Predictor

    @property
    def name(self) -> str:
        """What the config calls it."""
        return self.predictor.model

    @property
    def sha256(self) -> str:
        """Of everything that decides an answer, in hex."""
        return self.predictor.model_sha256

    @property
    def heads(self) -> dict[str, tuple[str, ...]]:
        """Head -> its classes."""
        heads = {**self.predictor.heads, **self.predictor.mask_heads}
        return {name: head.label_set.names for name, head in heads.items()}

    def __call__(self, photo: Photo, name: str | None = None) -> Result:
        """Answers one photo.

        Args:
            photo: a path, the bytes of a file, an array uint8 (h, w), (h, w, 3) RGB or (h, w, 4) RGBA, or a PIL image.
                Large JPEGs are better given as file or bytes: they are decoded at a smaller scale, as in training,
                which is faster, and which pixels that are decoded already cannot repeat to the last digit.
            name: what the answer calls it; default: its path, or what it is.

        Raises:
            PhotoError: if it cannot be read or is no photo.
        """
        return self._take(next(self.predictor.predict([make_source(photo, name)])))

    def predict(self, photos: Iterable[Photo]) -> Iterator[Result | PhotoError]:
        """Answers photo after photo, in order, as they come: several at once, which is faster than one by one.

        Memory does not grow with their number. A photo that cannot be read yields its error, and the rest goes on.

        Args:
            photos: see __call__.

        Raises:
            PhotoError: if it is a single photo.
        """
        if isinstance(photos, str | Path | bytes | np.ndarray | Image.Image):
            raise PhotoError(f"predict takes several photos, not one {type(photos).__name__}: give a list of them.")
        for answer in self.predictor.predict(map(_source_or_error, photos)):
            yield answer if isinstance(answer, PhotoError) else self._take(answer)

    def _take(self, answer: Answer | PhotoError) -> Result:
        if isinstance(answer, PhotoError):
            raise answer
        return Result(answer, {name: head.label_set for name, head in self.predictor.mask_heads.items()})

    def __repr__(self) -> str:
        return f"<Model {self.name}: {', '.join(f'{head} ({listed(names)})' for head, names in self.heads.items())}>"


def _source_or_error(photo: Photo) -> PhotoSource | PhotoError:
    try:
        return make_source(photo)
    except PhotoError as error:
        return error


def _known(head: str, heads: tuple[str, ...]) -> str:
    if head not in heads:
        raise CarclfError(f'"{head}" is none of {", ".join(heads)}.{did_you_mean(head, heads)}')
    return head
