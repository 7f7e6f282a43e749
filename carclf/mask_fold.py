"""One fold of a segmentation head: fitted, judged on its held-out photos, kept in one file."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from carclf.config_heads import MaskHeadConfig
from carclf.dataset import Photo
from carclf.head_data import HeadData
from carclf.images import photo_frame, photo_size
from carclf.mask_architectures import FROM_PIXELS
from carclf.mask_images import pack_mask, unpack_mask
from carclf.mask_looking import Looking
from carclf.mask_metrics import MaskScores
from carclf.mask_previews import Previews
from carclf.masks.answers import Decider, make_grids
from carclf.masks.map_reader import MapReader
from carclf.masks.photo_scores import JudgedPhotos, judge_photos
from carclf.masks.scoring import MeanMask
from carclf.masks.spec import PIXELS, NetworkSpec
from carclf.masks.targets import Truth, TruthLoader, make_mask_targets
from carclf.photo_source import PhotoSource
from carclf.region_scores import JudgedRegions
from carclf.regions.splitting import RegionSettings
from carclf.rundir import RunDir
from carclf.scores import Array
from carclf.selective import InnerAnswers
from carclf.sight import Sight
from carclf.splits import Split

if TYPE_CHECKING:
    from carclf.masks.decoder import MaskDecoder
    from carclf.masks.sampling import MaskData

DECODER = "decoder:"
"""What the names of the network's arrays begin with in a fold's file."""
INNER_ANSWERS = "inner:"
"""What the names of the answers to inner validation photos begin with; earlier versions kept none."""
_TOGETHER = 16  # photos answered at once; never changes an answer
_OF_INNER = ("rows", "confidence", "right")
_OF_SCORES = ("counts", "boundaries", "soft")
_OF_REGIONS = ("photos", "class_ids", "probabilities", "matched", "true_counts")


@dataclass(frozen=True)
class FoldWork:
    """One segmentation head and the photos that are labelled for it.

    Attributes:
        name: of the head.
        data: its masks, of all photos of the run.
        config: how it answers.
        photos: those that are labelled.
        rows: int64 (m,): their places among the photos of the run.
        split: groups and folds of all photos of the run.
    """

    name: str
    data: HeadData
    config: MaskHeadConfig
    photos: tuple[Photo, ...]
    rows: Array
    split: Split

    @property
    def num_folds(self) -> int:
        """How many of the folds are fitted and judged."""
        return min(self.config.folds or len(self.split.folds), len(self.split.folds))

    def parts(self, fold: int) -> tuple[Array, Array]:
        """(training, held-out) photos of a fold, int64, places among `photos`."""
        fold_of = self.split.fold[self.rows]
        return np.flatnonzero(fold_of != fold), np.flatnonzero(fold_of == fold)

    def truths(self, places: Array) -> list[TruthLoader]:
        """Reads what is true of some of the photos, at their own sizes."""
        return [partial(load_truth, self.data, self.photos[place], int(self.rows[place])) for place in places]


@dataclass(frozen=True)
class FoldData:
    """What all folds of a head are fitted on.

    Attributes:
        learnt: inputs and targets.
        looking: how photos are looked at.
    """

    learnt: "MaskData"
    looking: Looking


def fold_file(head: str, fold: int) -> str:
    """Name of the file that holds a fold's network, thresholds and curves."""
    return f"{head}/fold{fold}.npz"


def scores_file(head: str, fold: int) -> str:
    """Name of the file that holds a fold's out-of-fold masks and what was counted in them."""
    return f"{head}/fold{fold}_scores.npz"


def load_truth(head: HeadData, photo: Photo, row: int) -> Truth:
    """Reads the true mask and regions of a labelled photo at its own size."""
    source = head.masks[row]
    if source is None:
        raise ValueError(f"{photo.name} is not labelled")
    frame = photo_frame(photo.path)
    return Truth(source.load(frame), source.load_instances(frame))


def region_settings(config: MaskHeadConfig) -> RegionSettings:
    """How regions are told apart, as the config says."""
    return RegionSettings(config.regions.split, config.regions.split_depth, config.regions.min_area)


def network_options(config: MaskHeadConfig) -> dict[str, Any]:
    """The options of a head's architecture."""
    if config.architecture.name in FROM_PIXELS:
        return config.architecture.model_dump(mode="json", exclude={"name", "image_size", "num_classes"})
    return {"channels": config.training.channels}


def head_levels(config: MaskHeadConfig) -> tuple[str, ...]:
    """The maps that a head reads."""
    return (PIXELS,) if config.architecture.name in FROM_PIXELS else config.training.levels


def make_looking(config: MaskHeadConfig, sight_network: Any) -> Looking:
    """How a head looks at photos with a backbone."""
    return Looking(sight_network, head_levels(config), config.training.views, config.tile, config.overlap)


def make_data(work: FoldWork, sight: Sight) -> FoldData:
    """Joins what is seen in a head's photos with what is true of them."""
    from carclf.masks.sampling import MaskData

    looking = make_looking(work.config, sight.network)
    views = slice(0, looking.views)
    reader = MapReader(
        {level: sight.maps[level] for level in looking.levels},
        {level: sight.map_rows[level][views][:, work.rows] for level in looking.levels},
    )
    label_set = work.data.label_set
    options, classes = network_options(work.config), len(label_set.names)
    spec = NetworkSpec(work.config.architecture.name, reader.shapes, classes, label_set.mirror, options)
    loaders = work.truths(np.arange(len(work.rows)))
    targets = make_mask_targets(loaders, spec)
    return FoldData(MaskData(reader, targets, work.split.group[work.rows], spec, label_set.names), looking)


def fit_fold(run: RunDir, work: FoldWork, data: FoldData, fold: int, seed: int) -> None:
    """Fits one fold and writes its file: the network and what was chosen with it."""
    from carclf.masks.fit import MaskSplit, fit_mask_head

    train, test = work.parts(fold)
    previews = Previews(run, work.name, fold, work.photos, work.truths)
    fit = fit_mask_head(data.learnt, MaskSplit(work.name, fold, train, test), work.config.training, seed, previews.show)
    previews.finish()
    arrays = {f"{DECODER}{name}": array for name, array in fit.decoder.to_arrays().items()}
    arrays |= {
        "class_names": np.array(work.data.label_set.names),
        "thresholds": fit.thresholds,
        **{f"{INNER_ANSWERS}{name}": getattr(fit.inner, name) for name in _OF_INNER},
        "mean_mask": fit.mean_mask.probabilities,
        "mean_mask_thresholds": fit.mean_mask.thresholds,
        "epochs": np.array(fit.course.epochs),
        "history": np.array([(point.epoch, point.loss, point.metric) for point in fit.history]),
        "history_split": np.array([point.split for point in fit.history]),
    }
    run.write_arrays(fold_file(work.name, fold), arrays)


def score_fold(run: RunDir, work: FoldWork, data: FoldData, fold: int) -> None:
    """Judges a fitted fold on its held-out photos and writes what was counted, and the masks."""
    arrays = run.read_arrays(fold_file(work.name, fold))
    decoder, test = read_decoder(arrays), work.parts(fold)[1]
    decider = Decider(arrays["thresholds"], region_settings(work.config))
    kept: list[NDArray[np.uint8]] = []

    def grids() -> Iterator[NDArray[np.float32]]:
        for place, grid in zip(test, answer_photos(decoder, data, work.photos, test), strict=True):
            kept.append(pack_mask(decider.mask(grid, *photo_size(work.photos[place].path))))
            yield grid

    mean_mask = MeanMask(arrays["mean_mask"], arrays["mean_mask_thresholds"])
    judged = judge_photos(grids(), decider, mean_mask, work.truths(test))
    masks = {f"mask:{place}": mask for place, mask in zip(test, kept, strict=True)}
    run.write_arrays(scores_file(work.name, fold), {"test": test} | masks | _pack_judged(judged))


def read_decoder(arrays: Mapping[str, Array]) -> "MaskDecoder":
    """The network of a fold's file."""
    from carclf.masks.decoder import MaskDecoder

    parts = {key.removeprefix(DECODER): array for key, array in arrays.items() if key.startswith(DECODER)}
    return MaskDecoder.from_arrays(parts)


def read_inner_answers(arrays: Mapping[str, Array]) -> InnerAnswers | None:
    """What a fold's file says of inner validation photos, rows: places among those of the head; None of an old one."""
    if f"{INNER_ANSWERS}{_OF_INNER[0]}" not in arrays:
        return None
    return InnerAnswers(*(arrays[f"{INNER_ANSWERS}{name}"] for name in _OF_INNER))


def answer_photos(
    decoder: "MaskDecoder", data: FoldData, photos: Sequence[Photo], places: Array
) -> Iterator[NDArray[np.float32]]:
    """Yields the grids of photos, float32 (h, w, K), in order; of large ones, where there are tiles, of the tiles."""
    classes = data.learnt.spec.num_classes

    def answer(maps: Mapping[str, Array]) -> NDArray[np.float32]:
        return make_grids(decoder.predict_logits(maps), classes)

    for start in range(0, len(places), _TOGETHER):
        batch = places[start : start + _TOGETHER]
        whole = make_grids(decoder.predict_photos(data.learnt.reader, batch), classes)
        for place, grid in zip(batch, whole, strict=True):
            yield data.looking.answer_photo(PhotoSource(photos[place].path), grid, answer)


def read_scores(run: RunDir, head: str, fold: int) -> tuple[Array, JudgedPhotos]:
    """Reads which photos a fold was judged on, int64 (k,), places among those of the head, and what was counted."""
    arrays = run.read_arrays(scores_file(head, fold))
    answers = sorted({name.split(":")[1] for name in arrays if name.startswith("score:")})
    scores = {answer: _unpack_scores(arrays, answer) for answer in answers}
    return arrays["test"], JudgedPhotos(scores.pop("head"), scores, arrays["pixels"], arrays["confidence"])


def read_fold_mask(run: RunDir, head: str, fold: int, place: int) -> NDArray[np.uint8]:
    """The out-of-fold mask of one photo of a head: uint8 (height, width), class ids."""
    return unpack_mask(run.read_arrays(scores_file(head, fold))[f"mask:{place}"])


def _pack_judged(judged: JudgedPhotos) -> dict[str, Array]:
    arrays: dict[str, Array] = {"pixels": judged.pixels, "confidence": judged.confidence}
    for answer, scores in {"head": judged.scores, **judged.baselines}.items():
        arrays |= {f"score:{answer}:{name}": getattr(scores, name) for name in _OF_SCORES}
        arrays |= {f"score:{answer}:regions:{name}": getattr(scores.regions, name) for name in _OF_REGIONS}
    return arrays


def _unpack_scores(arrays: Mapping[str, Array], answer: str) -> MaskScores:
    regions = JudgedRegions(*(arrays[f"score:{answer}:regions:{name}"] for name in _OF_REGIONS))
    counts, boundaries, soft = (arrays[f"score:{answer}:{name}"] for name in _OF_SCORES)
    return MaskScores(counts, boundaries, soft, regions)
