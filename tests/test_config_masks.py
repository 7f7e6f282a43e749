"""The keys of segmentation heads: what holds where nothing is said, and every slip of the pen told in one line."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from carclf.app import check_inputs
from carclf.checking.survey import survey_data
from carclf.config import Config, list_keys, read_config
from carclf.config_heads import HeadConfig
from carclf.config_masks import FlexUNetArchitecture, MaskTrainingConfig, UNetXceptionArchitecture
from carclf.errors import CarclfError, ConfigError
from carclf.head_data import class_problems
from carclf.label_file import LabelSet
from carclf.mask_architectures import ARCHITECTURES

README = Path(__file__).resolve().parents[1] / "README.md"
FLEXUNET_PUBLISHED = {
    "loss": "categorical_crossentropy",
    "optimizer": "adam",
    "learning_rate": 7e-5,
    "clipvalue": 0.5,
    "epochs": 100,
    "batch_size": 4,
    "patience": 10,
    "learning_rate_reducer": True,
    "reducer_factor": 0.5,
    "reducer_patience": 4,
}
XCEPTION_PUBLISHED = {"loss": "dice", "optimizer": "adam", "learning_rate": 1e-3, "batch_size": 8, "clipvalue": None}
FROM_SCRATCH = {"augment": True, "refit": False, "average_decay": 0.0, "least_steps": 0, "views": 1}
OWN_MASKS: dict[str, Any] = {"kind": "segmentation", "labels": "m.txt"}


def with_heads(heads: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A config with a backbone, a head with masks of its own called `mask`, and other heads."""
    data: dict[str, Any] = {
        "dataset": {"photos": "photos", "labels": "labels.csv"},
        "backbones": {"mobilenet": {"local": "model"}},
        "models": ["mobilenet"],
        "heads": {"mask": OWN_MASKS, **heads},
    }
    return data | changes


def rival(architecture: Any = "flexunet", **keys: Any) -> dict[str, Any]:
    """A head that answers the masks of `mask`, too."""
    return {"kind": "segmentation", "masks_of": "mask", "architecture": architecture, **keys}


def read(folder: Path, data: Any) -> Config:
    path = folder / "c.json"
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return read_config(path)


def shown(training: MaskTrainingConfig, keys: dict[str, Any]) -> dict[str, Any]:
    return training.model_dump(include=set(keys))


def test_a_segmentation_head_that_says_nothing_is_an_fpn_with_the_defaults(tmp_path: Path) -> None:
    config = read(tmp_path, with_heads({"severity": {"kind": "categorical", "labels": "s.txt"}}))
    mask = config.heads["mask"].mask
    assert (mask.architecture.name, mask.training) == ("fpn", MaskTrainingConfig())
    assert (mask.tile, mask.overlap, mask.folds) == (None, 64, None)
    regions = {"split": True, "split_depth": 0.6, "min_area": 0.0005, "min_probability": 0.9}
    assert mask.regions.model_dump() == regions
    assert mask.describe() == "fpn"
    severity = config.heads["severity"]
    untouched = ("architecture", "mask_training", "masks_of", "tile", "overlap", "folds", "regions")
    assert [getattr(severity, key) for key in untouched] == [None] * len(untouched)
    assert (config.runs, config.first_run, config.standalone) == (("mobilenet",), "mobilenet", {})


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_an_architecture_is_a_name_or_an_object(tmp_path: Path, architecture: str) -> None:
    named = read(tmp_path, with_heads({"other": rival(architecture)}))
    spelled = read(tmp_path, with_heads({"other": rival({"name": architecture})}))
    assert named == spelled
    from_pixels = architecture in ("flexunet", "unet_xception")
    assert named.runs == (("mobilenet", "standalone") if from_pixels else ("mobilenet",))
    assert set(named.standalone) == ({"other"} if from_pixels else set())
    assert set(named.on_backbones) | set(named.standalone) == {"mask", "other"}


def test_the_options_of_the_networks_from_pixels_are_the_published_ones(tmp_path: Path) -> None:
    heads = read(tmp_path, with_heads({"flex": rival(), "xception": rival("unet_xception")})).heads
    flex, xception = heads["flex"].architecture, heads["xception"].architecture
    assert isinstance(flex, FlexUNetArchitecture)
    assert isinstance(xception, UNetXceptionArchitecture)
    assert (flex.image_size, flex.base_filters, flex.base_kernels, flex.num_layers) == (512, 16, (11, 11), 8)
    assert (flex.num_classes, flex.dilation, flex.dropout_rate) == (None, (1, 1), 0.05)
    assert (flex.normalization, flex.activation) == (False, "relu")
    assert (xception.image_size, xception.momentum) == (128, 0.99)
    with pytest.raises(ValueError, match="fpn looks through a backbone, which has a size"):
        _ = heads["mask"].mask.image_size


@pytest.mark.parametrize(
    ("name", "published"), [("flexunet", FLEXUNET_PUBLISHED), ("unet_xception", XCEPTION_PUBLISHED)]
)
def test_networks_from_pixels_are_fitted_as_published(tmp_path: Path, name: str, published: dict[str, Any]) -> None:
    training = read(tmp_path, with_heads({"other": rival(name)})).heads["other"].mask.training
    assert shown(training, published) == published
    assert shown(training, FROM_SCRATCH) == FROM_SCRATCH
    assert training.learning_rate_decay == "none"


def test_a_heads_own_keys_go_before_mask_training_and_that_before_the_published_ones(tmp_path: Path) -> None:
    general = {"epochs": 12, "learning_rate": 0.01, "views": 2}  # 12: the general default, but said
    own = {"learning_rate": 0.5, "epoch_previews": 6}
    data = with_heads({"flex": rival(mask_training=own), "unet": rival("unet")}, mask_training=general)
    heads = read(tmp_path, data).heads
    flex = heads["flex"].mask.training
    assert (flex.epochs, flex.learning_rate, flex.views, flex.epoch_previews) == (12, 0.5, 2, 6)
    assert (flex.loss, flex.batch_size, flex.patience) == ("categorical_crossentropy", 4, 10)
    assert heads["unet"].mask.training == MaskTrainingConfig.model_validate(general)
    assert heads["mask"].mask.training == heads["unet"].mask.training


def test_what_is_said_of_the_masks_of_another_head_is_filled_in(tmp_path: Path) -> None:
    empty = {"column": "damage", "value": "whole"}
    data = with_heads({"mask": OWN_MASKS | {"empty_where": empty}, "flex": rival()})
    data["dataset"]["annotations"] = [{"format": "masks", "path": "masks"}]  # of one head, though there are two
    config = read(tmp_path, data)
    flex, mask = config.heads["flex"], config.heads["mask"]
    assert (flex.labels, flex.empty_where) == (mask.labels, mask.empty_where)
    assert [note.head for note in config.dataset.annotations] == ["mask"]  # type: ignore[union-attr]


@pytest.mark.parametrize(("tile", "overlap", "expected"), [(256, None, 64), (64, None, 32), (64, 32, 32), (32, 0, 0)])
def test_tiles_share_64_pixels_or_half_of_small_ones(
    tmp_path: Path, tile: int, overlap: int | None, expected: int
) -> None:
    mask = read(tmp_path, with_heads({"mask": OWN_MASKS | {"tile": tile, "overlap": overlap}})).heads["mask"].mask
    assert (mask.tile, mask.overlap) == (tile, expected)


def test_a_head_tells_people_what_of_it_is_no_default(tmp_path: Path) -> None:
    architecture = {"name": "flexunet", "image_size": 64, "num_layers": 3}
    heads = read(tmp_path, with_heads({"flex": rival(architecture, tile=128, overlap=16), "x": rival("unet_xception")}))
    described = {name: head.mask.describe() for name, head in heads.heads.items()}
    assert described["flex"] == "flexunet, image_size 64, num_layers 3, tile 128, overlap 16"
    assert described["x"] == "unet_xception, image_size 128"


def test_no_backbone_is_needed_where_all_heads_are_masks_from_pixels(tmp_path: Path) -> None:
    data = with_heads({"mask": OWN_MASKS | {"architecture": "unet_xception"}}, models=[])
    del data["backbones"]
    config = read(tmp_path, data)
    assert (config.models, config.runs, config.first_run) == ((), ("standalone",), "standalone")
    assert config.on_backbones == {}
    del data["models"]
    assert read(tmp_path, data) == config


def test_the_effective_config_reads_as_itself(tmp_path: Path) -> None:
    heads = {
        "mask": OWN_MASKS | {"empty_where": {"column": "damage", "value": "whole"}, "tile": 512},
        "flex": rival({"name": "flexunet", "image_size": 64, "num_layers": 3}, mask_training={"patience": None}),
        "xception": rival("unet_xception", folds=2, regions={"split": False, "min_probability": 0.5}),
        "panoptic": rival("panoptic", mask_training={"class_weights": {"dent": 3}}, tile=256, overlap=0),
    }
    config = read(tmp_path, with_heads(heads, mask_training={"epochs": 3, "levels": ["P3", "P4"]}))
    assert config.heads["flex"].mask.training.patience is None
    again = read(tmp_path, config.model_dump_json())
    assert again == config
    assert again.model_dump_json() == config.model_dump_json()


ERRORS = [
    ({"flex": rival("flexnet")}, r'heads\.flex\.architecture: "flexnet" is not known\. Did you mean "flexunet"\?'),
    ({"flex": rival({"name": "mask_rcnn"})}, r"Known: fpn, unet, deeplabv3plus, panoptic, flexunet, unet_xception\."),
    ({"flex": rival(7)}, r"heads\.flex\.architecture: must be an object {…}, not 7\. Expected: .*a name, or an object"),
    ({"flex": rival({"filters": 3})}, r'architecture: must be a name, or an object with the key "name", not {'),
    (
        {"flex": rival({"name": "flexunet", "base_filter": 8})},
        r'heads\.flex\.architecture\.base_filter: unknown key\. Did you mean "base_filters"\? Known keys: activation, '
        r"base_filters, base_kernels, dilation, dropout_rate, image_size, name, normalization, num_classes, num_layers",
    ),
    (
        {"x": rival({"name": "unet_xception", "num_layers": 3})},
        r"heads\.x\.architecture\.num_layers: unknown key\. Known keys: image_size, momentum, name\.",
    ),
    (
        {"mask": OWN_MASKS | {"architecture": {"name": "fpn", "image_size": 64}}},
        r"heads\.mask\.architecture\.image_size: unknown key\. Known keys: name\.",
    ),
    (
        {"flex": rival({"name": "flexunet", "image_size": 500})},
        r"heads\.flex\.architecture: image_size: flexunet needs a multiple of 128 pixels, not 500\. Set 512 or a "
        r"smaller num_layers",
    ),
    (
        {"x": rival({"name": "unet_xception", "image_size": 100})},
        r"heads\.x\.architecture: image_size: unet_xception needs a multiple of 16 pixels, not 100\. Set 96",
    ),
    (
        {"flex": rival({"name": "flexunet", "activation": "rely"})},
        r'heads\.flex\.architecture\.activation: must be .*, not "rely"\. Did you mean "relu"\?',
    ),
    (
        {"flex": rival({"name": "flexunet", "base_kernels": [3]})},
        r"heads\.flex\.architecture\.base_kernels\[1\]: this key is missing\.",
    ),
    (
        {"mask": OWN_MASKS | {"mask_training": {"loss": "dise"}}},
        r'heads\.mask\.mask_training\.loss: must be .*, not "dise"\. Did you mean "dice"\?',
    ),
    (
        {"mask": OWN_MASKS | {"mask_training": {"epoch": 3}}},
        r'heads\.mask\.mask_training\.epoch: unknown key\. Did you mean "epochs"\? Known keys: augment, ',
    ),
    (
        {"mask": OWN_MASKS | {"mask_training": {"class_weights": {"dent": 0}}}},
        r"heads\.mask\.mask_training\.class_weights\.dent: must be greater than 0, not 0\.",
    ),
    (
        {"mask": OWN_MASKS | {"regions": {"min_probabilty": 0.5}}},
        r'heads\.mask\.regions\.min_probabilty: unknown key\. Did you mean "min_probability"\?',
    ),
    (
        {"mask": OWN_MASKS | {"regions": {"min_probability": 90}}},
        r"heads\.mask\.regions\.min_probability: must be less than or equal to 1, not 90\.",
    ),
    ({"mask": OWN_MASKS | {"folds": 0}}, r"heads\.mask\.folds: must be greater than or equal to 1, not 0\."),
    ({"mask": OWN_MASKS | {"tile": 16}}, r"heads\.mask\.tile: must be greater than or equal to 32, not 16\."),
    (
        {"mask": OWN_MASKS | {"tile": 128, "overlap": 65}},
        r"heads\.mask\.overlap: 65 pixels, but a tile has 128\. At most half of it: 64\.",
    ),
    (
        {"mask": OWN_MASKS | {"architecture": {"name": "flexunet", "image_size": 256}, "tile": 128}},
        r"heads\.mask\.tile: 128 pixels, fewer than the image_size: tiles would be enlarged\. Set 256\.",
    ),
    (
        {"mask": OWN_MASKS | {"overlap": 8}},
        r"heads\.mask\.overlap: is of tiles, but tile is missing\. Add it, or delete this key\.",
    ),
    (
        {"flex": rival() | {"masks_of": "maks"}},
        r'heads\.flex\.masks_of: "maks" is no segmentation head with masks of its own\. Did you mean "mask"\? '
        r"Such heads: mask\.",
    ),
    ({"flex": rival() | {"masks_of": "flex"}}, r'masks_of: "flex" is no segmentation head with masks of its own'),
    (
        {"flex": rival(), "x": rival("unet_xception") | {"masks_of": "flex"}},
        r'heads\.x\.masks_of: "flex" is no segmentation head with masks of its own\.',
    ),
    (
        {"severity": {"kind": "categorical", "labels": "s.txt"}, "flex": rival() | {"masks_of": "severity"}},
        r'heads\.flex\.masks_of: "severity" is no segmentation head',
    ),
    (
        {"flex": rival(labels="other.txt")},
        r'heads\.flex\.labels: is that of "mask", whose masks it answers, too\. Delete it\.',
    ),
    (
        {"flex": rival(empty_where={"column": "a", "value": "b"})},
        r'heads\.flex\.empty_where: is that of "mask", whose masks it answers, too\. Delete it\.',
    ),
    (
        {
            "flex": rival(),
            "kinds": {"kind": "multi_label", "labels": "k.txt", "derived": {"of": "flex", "rule": "classes"}},
        },
        r'heads\.kinds\.derived\.of: "flex" is no segmentation head with masks of its own\. Segmentation heads: mask\.',
    ),
]


@pytest.mark.parametrize(("heads", "message"), ERRORS, ids=lambda value: value[:40] if isinstance(value, str) else "")
def test_what_is_wrong_is_told_with_its_place(tmp_path: Path, heads: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read(tmp_path, with_heads(heads))


@pytest.mark.parametrize("kind", ["categorical", "multi_label"])
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("architecture", "flexunet"),
        ("mask_training", {"epochs": 3}),
        ("masks_of", "mask"),
        ("tile", 64),
        ("overlap", 8),
        ("folds", 1),
        ("regions", {"split": False}),
        ("empty_where", {"column": "a", "value": "b"}),
    ],
)
def test_a_classification_head_has_no_keys_of_masks(tmp_path: Path, kind: str, key: str, value: Any) -> None:
    head = {"kind": kind, "labels": "s.txt", key: value}
    message = rf'heads\.severity\.{key}: is for segmentation heads, not for kind "{kind}"\. Delete it\.'
    with pytest.raises(ConfigError, match=message):
        read(tmp_path, with_heads({"severity": head}))


def test_models_may_not_be_empty_where_a_head_needs_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"models: names no backbone, but mask needs one\. Add a name of backbones\."):
        read(tmp_path, with_heads({"flex": rival()}, models=[]))
    severity = {"kind": "categorical", "labels": "s.txt"}
    mask = OWN_MASKS | {"architecture": {"name": "flexunet"}}
    with pytest.raises(ConfigError, match=r"models: names no backbone, but severity needs one\."):
        read(tmp_path, with_heads({"mask": mask, "severity": severity}, models=[]))
    with pytest.raises(ConfigError, match=r"models: names no backbone, but mask, severity need one\."):
        read(tmp_path, with_heads({"severity": severity}, models=[]))


def test_annotations_go_to_the_head_whose_masks_they_are(tmp_path: Path) -> None:
    data = with_heads({"flex": rival()})
    data["dataset"]["annotations"] = [{"format": "masks", "path": "masks", "head": "flex"}]
    message = r'annotations\[0\]\.head: "flex" is without masks of its own: its masks are those of "mask"'
    with pytest.raises(ConfigError, match=message):
        read(tmp_path, data)


def test_standalone_is_no_name_of_a_model(tmp_path: Path) -> None:
    changes = {"backbones": {"standalone": {"local": "model"}}, "models": ["standalone"]}
    with pytest.raises(ConfigError, match=r'models\[0\]: the results have a folder "standalone" of their own\.'):
        read(tmp_path, with_heads({}, **changes))


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    heads = {
        "mask": OWN_MASKS | {"tile": 64, "overlap": 60},
        "flex": rival({"name": "flexunet", "image_sice": 64}, regions={"split": 1}),
        "x": rival("unet_xeption"),
    }
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, with_heads(heads))
    told = [line.removeprefix("c.json: ").split(": ")[0] for line in str(caught.value).splitlines()]
    expected = ["heads.flex.architecture.image_sice", "heads.flex.regions.split", "heads.mask.overlap"]
    assert {*expected, "heads.x.architecture"} <= set(told)


def test_the_list_of_keys_has_each_once_and_says_whose_option_it_is() -> None:
    keys = list(list_keys())
    names = [key for key, _, _ in keys]
    assert len(set(names)) == len(names)
    told = {key: (default, description) for key, default, description in keys}
    for key in ("architecture", "mask_training", "masks_of", "tile", "overlap", "folds", "regions"):
        assert f"heads.*.{key}" in told
    assert told["heads.*.architecture.base_kernels"][0] == "[11, 11]"
    assert told["heads.*.architecture.base_kernels"][1].startswith("flexunet: ")
    assert told["heads.*.architecture.momentum"][1].startswith("unet_xception: ")
    assert not told["heads.*.architecture.name"][1].startswith("fpn: ")
    assert told["heads.*.regions.min_probability"][0] == "0.9"
    assert not [key for key in names if key.startswith("heads.*.mask_training.")]
    readme = README.read_text(encoding="utf-8")
    assert [key for key in names if f"| `{key}` |" not in readme] == []


def test_every_listed_default_is_the_one_of_the_config(tmp_path: Path) -> None:
    """Of the options that several architectures have, the one that is listed says whose it is."""
    heads = read(tmp_path, with_heads({"flexunet": rival(), "unet_xception": rival("unet_xception")})).heads
    for key, default, description in list_keys():
        if key.startswith("heads.*.architecture.") and default:
            architecture, option = heads[description.split(":")[0]].architecture, key.rpartition(".")[2]
            assert architecture is not None
            assert architecture.model_dump(mode="json")[option] == json.loads(default), key


# -- what the config says of classes, against the label files


def label_set(*names: str) -> LabelSet:
    return LabelSet(names, tuple(range(len(names))), (None,) * len(names), Path("m.txt"))


def problems(heads: dict[str, HeadConfig], config: Config, **names: tuple[str, ...]) -> list[str]:
    return list(class_problems(heads, config.mask_training, {name: label_set(*each) for name, each in names.items()}))


@pytest.mark.parametrize(("stated", "right"), [(None, True), (3, True), (2, False), (4, False)])
def test_num_classes_counts_the_background(tmp_path: Path, stated: int | None, right: bool) -> None:
    config = read(tmp_path, with_heads({"flex": rival({"name": "flexunet", "num_classes": stated})}))
    told = problems(config.heads, config, mask=("dent", "scratch"), flex=("dent", "scratch"))
    expected = (
        f"heads.flex.architecture.num_classes: {stated}, but m.txt has 2 classes: with the background 3. "
        "Write that, or leave the key out."
    )
    assert told == ([] if right else [expected])
    assert problems(config.heads, config, mask=("dent", "scratch")) == []  # whose labels could not be read


def test_weights_of_classes_that_are_not_there_are_told_with_a_guess(tmp_path: Path) -> None:
    own = rival("unet", mask_training={"class_weights": {"scratch": 2.0, "dant": 3.0}})
    parts = OWN_MASKS | {"labels": "parts.txt"}
    data = with_heads({"unet": own, "parts": parts}, mask_training={"class_weights": {"door": 2.0, "dor": 5.0}})
    config = read(tmp_path, data)
    damage, names = ("dent", "scratch"), ("door", "hood")
    told = problems(config.heads, config, mask=damage, unet=damage, parts=names)
    assert told == [
        'heads.unet.mask_training.class_weights: "dant" is no class. Did you mean "dent"? Classes: dent, scratch.',
        'mask_training.class_weights: "dor" is no class. Did you mean "door"? Classes: dent, scratch, door, hood.',
    ]


def test_a_run_and_a_check_tell_what_does_not_fit_the_label_files(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "masks").mkdir()
    for index, name in enumerate(("a.png", "b.png")):
        Image.new("RGB", (100, 96), (90 * index, 10, 10)).save(tmp_path / "photos" / name)
        Image.new("L", (100, 96), 1).save(tmp_path / "masks" / name)
    (tmp_path / "labels.csv").write_text("name\na.png\nb.png\n")
    (tmp_path / "m.txt").write_text("dent\n")
    flex = OWN_MASKS | {
        "architecture": {"name": "flexunet", "image_size": 16, "num_layers": 2, "num_classes": 9},
        "mask_training": {"class_weights": {"dint": 2.0}},
    }
    data = with_heads({"mask": flex}, models=[], backbones={})
    data["dataset"]["annotations"] = [{"format": "masks", "path": "masks"}]
    config = read(tmp_path, data)
    expected = [
        "heads.mask.architecture.num_classes: 9, but m.txt has 1 class: with the background 2. "
        "Write that, or leave the key out.",
        'heads.mask.mask_training.class_weights: "dint" is no class. Did you mean "dent"? Classes: dent.',
    ]
    with pytest.raises(CarclfError, match=re.escape("\n".join(expected))):
        check_inputs(config)
    found = [finding.text for finding in survey_data(config).findings if finding.kind == "classes of the config"]
    assert found == expected
