"""The merged graph and OpenVINO say what the backbone and the heads say one by one."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from carclf import app, merged, merged_runs
from carclf.backbone import Backbone
from carclf.config import read_config
from carclf.images import read_photo
from carclf.merged import MergedGraph
from carclf.predict import Predictor
from carclf.probes import disagreement
from carclf.saying import Answer
from carclf.using import open_predictor
from tests.drawn_set import write_config

CLOSE = 2e-5  # of the largest value: a sum in another order may round a map to another float16
PHOTOS = 3


@pytest.fixture(scope="module")
def opened(drawn_set: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Predictor, list[MergedGraph]]:
    """A predictor and the graphs that were made for it.

    Six views, heads with sides and with a hidden layer, masks with offsets and from pixels of the same size.
    """
    mask = {"kind": "segmentation", "masks_of": "damage_mask", "folds": 1}
    changes: dict[str, Any] = {
        "mask_training": {
            "epochs": 1,
            "least_steps": 0,
            "channels": 4,
            "levels": ["P4", "P5"],
            "views": 2,
            "refit": False,
        },
        "training": {"views": 6, "hidden_units": 4, "max_steps": 3, "inner_folds": 2},
    }
    path = write_config(tmp_path_factory.mktemp("merged"), drawn_set, **changes)
    config = json.loads(path.read_text())
    config["heads"]["damage_mask"]["folds"] = 1
    config["heads"] |= {
        "side": {"kind": "multi_label", "labels": str(drawn_set / "labels" / "location.txt"), "column": "location"},
        "panoptic": mask | {"architecture": "panoptic"},
        "flexunet": mask
        | {"architecture": {"name": "flexunet", "image_size": 64, "num_layers": 2, "base_filters": 2}}
        | {"mask_training": {"epochs": 1, "least_steps": 0}},
    }
    path.write_text(json.dumps(config))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(app, "_draw", lambda *_: None)
        app.run_config(read_config(path))
        graphs: list[MergedGraph] = []
        merge = merged.merge_heads

        def note(predictor: Predictor, backbone: Backbone) -> MergedGraph:
            graphs.append(merge(predictor, backbone))
            return graphs[-1]

        patch.setattr(merged, "merge_heads", note)
        return open_predictor(read_config(path)), graphs


@pytest.fixture(scope="module")
def predictor(opened: tuple[Predictor, list[MergedGraph]]) -> Predictor:
    return opened[0]


@pytest.fixture(scope="module")
def photos(drawn_set: Path) -> list[Path]:
    return sorted((drawn_set / "photos").iterdir())[:PHOTOS]


def test_openvino_answers_all_heads_as_they_answer_one_by_one(predictor: Predictor, photos: list[Path]) -> None:
    assert len(predictor.runs) == len(predictor.backbones) == 2
    for backbone in predictor.backbones:
        images = np.stack([read_photo(photo, backbone.image_size) for photo in photos])
        expected = predictor.answer_one_by_one(backbone, images)
        assert list(expected) == predictor.heads_of(backbone)
        assert disagreement(predictor.answer(backbone, images), expected) < CLOSE


def test_the_graph_itself_answers_so_in_tensorflow(
    opened: tuple[Predictor, list[MergedGraph]], photos: list[Path]
) -> None:
    predictor, graphs = opened
    for graph, backbone in zip(graphs, predictor.backbones, strict=True):
        images = np.stack([read_photo(photo, graph.image_size) for photo in photos])
        rows = [{name: value.numpy()[0] for name, value in graph.function(image[None]).items()} for image in images]
        answers = {name: np.stack([row[name] for row in rows]) for name in graph.heads}
        assert disagreement(answers, predictor.answer_one_by_one(backbone, images)) < CLOSE


def test_a_head_asked_alone_says_the_same(predictor: Predictor, photos: list[Path]) -> None:
    backbone = predictor.backbones[0]
    images = np.stack([read_photo(photo, backbone.image_size) for photo in photos])
    together, alone = predictor.answer(backbone, images), predictor.answer(backbone, images, ["panoptic"])
    assert list(alone) == ["panoptic"]
    np.testing.assert_array_equal(alone["panoptic"], together["panoptic"])


def test_the_neighbours_in_a_batch_change_no_bit(predictor: Predictor, photos: list[Path]) -> None:
    together = [answer for answer in predictor.predict([*photos, *photos]) if isinstance(answer, Answer)]
    alone = [answer for photo in photos for answer in predictor.predict([photo]) if isinstance(answer, Answer)]
    assert [answer.fields for answer in together] == [answer.fields for answer in alone] * 2


def test_a_network_that_disagrees_is_not_used(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(merged_runs, "disagreement", lambda one, other: 0.5)
    only_pixels = replace(predictor, backbone=None, heads={}, mask_heads={"flexunet": predictor.mask_heads["flexunet"]})
    assert merged_runs.with_runs(only_pixels, None).runs == {}
    assert "run one after the other, because OpenVINO and the heads one by one differ by 5.0e-01" in caplog.text
