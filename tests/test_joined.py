"""Several backbones joined into one: nothing of a part's is lost or changed, and all else works as with any."""

import json
import logging
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from carclf.app import read_dataset, run_config
from carclf.backbone import Backbone, LoadOptions
from carclf.checking.survey import survey_data
from carclf.config import read_config
from carclf.config_backbones import BackboneConfig
from carclf.config_data import AnnotationConfig
from carclf.dataset import make_dataset
from carclf.engines import Array, Outputs
from carclf.errors import BackboneError, CarclfError, RunDirError
from carclf.features import features_key
from carclf.hub import EMBEDDED_DIR, Source
from carclf.joined import JOINED, join_backbones, join_sources
from carclf.kin import find_kin
from carclf.predict import Predictor
from carclf.probes import probe_images
from carclf.saying import Answer
from carclf.sight import SightRequest, describe, find_source, look_at, open_backbone
from carclf.using import evaluate_config, open_predictor
from tests.drawn_set import EMBEDDED, MODEL, draw_set, write_config
from tests.tiny_backbone import TINY_CHANNELS, TINY_FEATURES, make_tiny_network, write_tiny_backbone

SIZE, GRID = 64, (2, 3)
JOINED_NAME = "both"
HEADS = ("severity", "damage_mask")

# Keras 3.15 and NumPy 2.4
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_backbone(tmp_path_factory.mktemp("models") / "tiny")


def backbone_configs(tiny: Path, grid: tuple[int, int] | None = GRID) -> dict[str, BackboneConfig]:
    """Two backbones, of which the config says another size and grid than of the joined one."""
    return {
        "tiny": BackboneConfig(local=tiny, image_size=96, grid=(4, 4)),
        MODEL: BackboneConfig(local=EMBEDDED, image_size=224),
        JOINED_NAME: BackboneConfig(joined=("tiny", MODEL), image_size=SIZE, grid=grid),
    }


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Converted networks."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module", params=[None, GRID], ids=["no grid", "grid"])
def backbone(request: pytest.FixtureRequest, tiny: Path, cache: Path) -> Backbone:
    configs = backbone_configs(tiny, request.param)
    source = find_source(configs, JOINED_NAME, embedded_fallback=False)
    return open_backbone(configs, source, LoadOptions(request.param, 2, cache))


# -- what comes out


def test_vectors_and_maps_are_those_of_the_parts_bit_for_bit(backbone: Backbone, tiny: Path, cache: Path) -> None:
    images, alone = probe_images(SIZE), []
    for name, config in backbone_configs(tiny).items():
        if name != JOINED_NAME:
            single = {name: config.model_copy(update={"image_size": SIZE, "grid": backbone.grid})}
            source = find_source(single, name, embedded_fallback=False)
            alone.append(open_backbone(single, source, LoadOptions(backbone.grid, 1, cache)))
    vectors, maps = backbone.extract(images, maps=True)
    (first, first_maps), (second, second_maps) = (part.extract(images, maps=True) for part in alone)
    one, other = (part.num_plain for part in alone)
    expected = np.hstack([first[:, :one], second[:, :other], first[:, one:], second[:, other:]])
    np.testing.assert_array_equal(vectors, expected)
    assert vectors.shape == (len(images), backbone.num_features)
    assert list(maps) == list(TINY_CHANNELS)
    for level, values in maps.items():
        np.testing.assert_array_equal(values, np.concatenate([first_maps[level], second_maps[level]], axis=3))
        assert values.shape[1:] == backbone.map_shapes[level]


def test_the_cells_are_at_the_end_and_are_means_of_the_deepest_map(backbone: Backbone) -> None:
    plain = TINY_FEATURES + backbone.parts[1].num_plain
    assert backbone.num_plain == plain
    vectors, maps = backbone.extract(probe_images(SIZE), maps=True)
    if backbone.grid is None:
        assert backbone.num_features == plain
        return
    corner = maps["P5"][:, :1, :1].mean(axis=(1, 2)) / 6**0.5  # the first cell of both: 2 × 2 pixels, 2 × 3 cells
    channels = TINY_CHANNELS["P5"]
    cells = vectors[:, plain:]
    np.testing.assert_allclose(cells[:, :channels], corner[:, :channels], rtol=1e-4, atol=1e-6)
    second = cells[:, 6 * channels :][:, : corner.shape[1] - channels]
    np.testing.assert_allclose(second, corner[:, channels:], rtol=1e-4, atol=1e-6)


def test_a_photo_alone_is_seen_as_in_a_batch(backbone: Backbone) -> None:
    images = probe_images(SIZE)
    vectors, maps = backbone.extract(images, maps=True)
    for place in range(len(images)):
        alone, alone_maps = backbone.extract(images[place : place + 1], maps=True)
        np.testing.assert_array_equal(alone[0], vectors[place])
        for level, values in maps.items():
            np.testing.assert_array_equal(alone_maps[level][0], values[place])
    without, none = backbone.extract(images, maps=False)
    np.testing.assert_array_equal(without, vectors)
    assert none == {}
    empty, empty_maps = backbone.extract(images[:0], maps=True)
    assert empty.shape == (0, backbone.num_features)
    assert {level: values.shape for level, values in empty_maps.items()} == {
        level: (0, *shape) for level, shape in backbone.map_shapes.items()
    }


def test_photos_of_another_size_are_refused_by_name(backbone: Backbone) -> None:
    with pytest.raises(BackboneError, match=r"backbone both: images of shape \(1, 32, 32, 3\) were given"):
        backbone.extract(np.zeros((1, 32, 32, 3), np.float32), maps=False)


# -- joining, on parts without a network


def fake(name: str, shapes: Mapping[str, tuple[int, int, int]], **facts: Any) -> Backbone:
    """A part whose vector is the photos' mean, as it gets them, and one cell of the deepest map of its own."""
    deepest = shapes[max(shapes)][2]

    def run(images: Array, maps: bool) -> Outputs:
        mean = images.mean(axis=(1, 2))[:, :1]
        vector = np.hstack([mean, np.full((len(images), deepest), 7, np.float32)])
        levels = {level: np.ones((len(images), *shape), np.float32) for level, shape in shapes.items()}
        return {"vector": vector, **(levels if maps else {})}

    source = Source(name, "local", f"/{name}", Path(name), name * 8, seen_drawn_cars=False)
    known: dict[str, Any] = {
        "source": source,
        "image_size": 32,
        "input_range": (0.0, 1.0),
        "engine": "openvino",
        "engine_version": "1",
        "precision": "f32",
        "grid": (1, 1),
        "num_features": 1 + deepest,
        "map_shapes": dict(shapes),
        "range_warning": "",
        "run": run,
    }
    return Backbone(**known | facts)


def join(*parts: Backbone) -> Backbone:
    return join_backbones(join_sources("pair", [(part.source, part.input_range) for part in parts]), parts)


FINE = {"P4": (2, 2, 3), "P5": (1, 1, 4)}
COARSE = {"P3": (4, 4, 2), "P4": (2, 2, 5)}


def test_levels_that_a_part_lacks_are_left_out_and_the_cells_stay_right() -> None:
    pair = join(fake("a", FINE), fake("b", COARSE))
    assert pair.map_shapes == {"P4": (2, 2, 8)}
    assert (pair.num_features, pair.num_plain) == (1 + 4 + 1 + 5, 2)
    vectors, maps = pair.extract(np.full((2, 32, 32, 3), 0.5, np.float32), maps=True)
    np.testing.assert_array_equal(vectors, [[0.5, 0.5, *[7] * 9]] * 2)
    assert list(maps) == ["P4"]


def test_each_part_stretches_the_photos_to_its_own_range() -> None:
    pair = join(fake("a", FINE), fake("b", FINE, input_range=(-1.0, 1.0)), fake("c", FINE, input_range=(0.0, 255.0)))
    vectors, _ = pair.extract(np.full((1, 32, 32, 3), 0.25, np.float32), maps=False)
    np.testing.assert_array_equal(vectors[0, : pair.num_plain], [0.25, -0.5, 63.75])
    assert pair.input_range == (0.0, 1.0)


def test_maps_of_different_sizes_are_told_all_at_once() -> None:
    other = {"P3": (4, 4, 2), "P4": (3, 2, 3), "P5": (2, 1, 4)}
    with pytest.raises(BackboneError) as caught:
        join(fake("a", FINE), fake("b", other))
    assert str(caught.value).splitlines() == [
        f"backbone pair: its parts have maps {level} of different sizes: {sizes}. "
        "Set another backbones.pair.image_size, or join others."
        for level, sizes in (("P4", "2 × 2 in a, 3 × 2 in b"), ("P5", "1 × 1 in a, 2 × 1 in b"))
    ]


def test_engines_and_warnings_of_all_parts_are_told() -> None:
    first, second = fake("a", FINE), fake("b", FINE, engine="tensorflow", engine_version="2")
    same, mixed = join(first, fake("b", FINE)), join(first, replace(second, range_warning="looks wrong."))
    assert (same.engine, same.engine_version, same.range_warning) == ("openvino", "1", "")
    assert (mixed.engine, mixed.engine_version) == ("openvino + tensorflow", "1 + 2")
    assert mixed.range_warning == "b: looks wrong."
    facts = describe(mixed)
    assert [part["name"] for part in facts["parts"]] == ["a", "b"]
    assert [part["engine"] for part in facts["parts"]] == ["openvino", "tensorflow"]
    assert "parts" not in describe(first)


def test_the_features_key_follows_everything_of_every_part() -> None:
    first, second = fake("a", FINE), fake("b", FINE)
    pairs = [
        join(first, second),
        join(second, first),
        join(first, fake("c", FINE)),
        join(first, second, fake("c", FINE)),
        join(first, replace(second, engine_version="2")),
        join(replace(first, engine_version="2"), second),
        join(first, replace(second, engine="tensorflow")),
        join(replace(first, engine="tensorflow"), second),
        join(first, replace(second, input_range=(-1.0, 1.0))),
        join(replace(first, grid=None), replace(second, grid=None)),
        replace(join(first, second), image_size=64),
    ]
    keys = [features_key(pair) for pair in pairs]
    assert len(set(keys)) == len(keys)
    assert features_key(join(fake("a", FINE), fake("b", FINE))) == keys[0]


def test_the_hash_of_a_joined_source_follows_its_parts_and_their_ranges_alone() -> None:
    one, other = (fake(name, FINE).source for name in "ab")
    plain, stretched = (0.0, 1.0), (-1.0, 1.0)
    joined = [
        join_sources("pair", parts)
        for parts in (
            [(one, plain), (other, plain)],
            [(other, plain), (one, plain)],
            [(one, plain), (other, stretched)],
            [(one, plain), (replace(other, sha256="0"), plain)],
        )
    ]
    assert len({source.sha256 for source in joined}) == len(joined)
    moved = replace(one, name="c", where="/elsewhere", folder=Path("elsewhere"))
    again = join_sources("other name", [(moved, plain), (other, plain)])
    assert again.sha256 == joined[0].sha256
    assert (joined[0].source, joined[0].where) == (JOINED, "a (local: /a) + b (local: /b)")
    assert not joined[0].seen_drawn_cars
    assert join_sources("pair", [(one, plain), (replace(other, seen_drawn_cars=True), plain)]).seen_drawn_cars


# -- finding and loading


def test_all_missing_parts_are_told_at_once(tmp_path: Path) -> None:
    configs = {name: BackboneConfig(local=tmp_path / name) for name in "ab"}
    configs[JOINED_NAME] = BackboneConfig(joined=("a", "b"))
    with pytest.raises(BackboneError) as caught:
        find_source(configs, JOINED_NAME, embedded_fallback=False)
    assert [line.split(": ")[:2] for line in str(caught.value).splitlines()] == [
        ["backbone a", "not found"],
        ["backbone b", "not found"],
    ]


def test_where_the_embedded_one_stands_in_for_a_part_its_own_range_counts_and_groups_are_made_without_vectors(
    tiny: Path, drawn_set: Path, cache: Path, tmp_path: Path
) -> None:
    configs = backbone_configs(tiny)
    configs[MODEL] = BackboneConfig(local=tmp_path / "nowhere", input_range=(-1.0, 1.0))
    source = find_source(configs, JOINED_NAME, embedded_fallback=True)
    there = find_source(backbone_configs(tiny), JOINED_NAME, embedded_fallback=False)
    assert (source.source, source.is_embedded, there.is_embedded) == (JOINED, True, False)
    assert source.sha256 == there.sha256
    assert str(EMBEDDED_DIR) in source.where
    assert "embedded: " in source.where
    backbone = open_backbone(configs, source, LoadOptions(GRID, 2, cache))
    assert [part.input_range for part in backbone.parts] == [(0.0, 1.0), (0.0, 1.0)]
    config = read_config(write_config(tmp_path, drawn_set))
    dataset = make_dataset(drawn_set / "photos", drawn_set / "labels.csv", {"severity": config.heads["severity"]})
    request = SightRequest(1, (), (), 1, 2, "stop")
    for found, width in ((source, 0), (there, backbone.num_plain)):
        sight = look_at(replace(backbone, source=found), dataset, request, tmp_path / "cache")
        assert sight.vectors.shape == (1, 48, backbone.num_features)
        assert sight.group_vectors.shape == (1, 48, width)


def test_each_part_has_its_own_engine_and_a_begun_run_keeps_what_it_had(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, int, str]] = []

    def load(source: Source, image_size: int, _: object, engine: str, __: object) -> Backbone:
        asked.append((source.name, image_size, engine))
        return replace(fake("x", FINE), source=source, engine="tensorflow" if engine == "auto" else engine)

    monkeypatch.setattr("carclf.sight.load_backbone", load)
    configs = backbone_configs(tiny)
    source = find_source(configs, JOINED_NAME, embedded_fallback=False)
    open_backbone(configs, source, LoadOptions())
    mine = configs | {MODEL: BackboneConfig(local=EMBEDDED, engine="openvino")}
    known = json.loads(json.dumps(describe(open_backbone(mine, source, LoadOptions()))))
    open_backbone(configs, source, LoadOptions(), known)
    known["parts"][0]["sha256"] = "another"
    open_backbone(configs, source, LoadOptions(), known)
    single = {key: value for key, value in known.items() if key != "parts"}  # the name was that of a single one
    open_backbone(configs, source, LoadOptions(), single)
    assert {name: size for name, size, _ in asked} == {"tiny": SIZE, MODEL: SIZE}
    assert [engine for _, _, engine in asked] == [
        *("auto", "auto"),
        *("auto", "openvino"),
        *("tensorflow", "openvino"),
        *("auto", "openvino"),
        *("auto", "auto"),
    ]


# -- the whole program


def write_joined(folder: Path, drawn_set: Path, tiny: Path, **changes: Any) -> Path:
    """The config of the drawn set with the joined backbone as its model."""
    path = write_config(folder, drawn_set, workers=2)
    data = json.loads(path.read_text())
    data["backbones"] = {
        "tiny": {"local": str(tiny), "engine": "tensorflow"},
        MODEL: {"local": str(EMBEDDED)},
        JOINED_NAME: {"joined": ["tiny", MODEL], "image_size": SIZE},
    }
    data["models"] = [JOINED_NAME]
    data["heads"] = {name: data["heads"][name] for name in HEADS}
    path.write_text(json.dumps(data | changes))
    return path


@pytest.fixture(scope="module")
def joined_run(drawn_set: Path, tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run, without its pictures. Nobody may change it."""
    folder = tmp_path_factory.mktemp("joined")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("carclf.app._draw", lambda *_: None)
        run_config(read_config(write_joined(folder, drawn_set, tiny)))
    return folder


@pytest.fixture(scope="module")
def predictor(joined_run: Path) -> Predictor:
    return open_predictor(read_config(joined_run / "config.json"))


def test_a_run_says_what_it_looked_through(joined_run: Path) -> None:
    run = joined_run / "results" / JOINED_NAME
    facts = json.loads((run / "backbone.json").read_text())
    tree = json.loads((run / "results.json").read_text())
    assert tree["backbone"] == facts
    assert (facts["source"], facts["grid"], facts["engine"]) == (JOINED, list(GRID), "tensorflow + openvino")
    assert [part["name"] for part in facts["parts"]] == ["tiny", MODEL]
    assert {tuple(part["grid"]) for part in facts["parts"]} == {GRID}
    assert facts["seen_drawn_cars"]
    text = (run / "results.txt").read_text()
    assert "backbone   joined: tiny (local: " in text
    versions = [part["engine_version"] for part in facts["parts"]]
    assert f"64 × 64 px, input range 0 to 1, engine tensorflow {versions[0]} + openvino {versions[1]}\n" in text
    assert list(tree["heads"]) == list(HEADS)


def test_the_mask_head_reads_the_channels_of_both(predictor: Predictor) -> None:
    channels = sum(part.map_shapes["P4"][2] for part in (predictor.backbone.parts if predictor.backbone else ()))
    for decoder in predictor.mask_heads["damage_mask"].decoders:
        assert decoder.spec.map_shapes == {"P4": (4, 4, channels)}
    assert channels > TINY_CHANNELS["P4"]


def test_a_second_run_does_nothing_again(
    joined_run: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("carclf.app._draw", lambda *_: None)

    def snapshot() -> dict[str, tuple[int, bytes]]:
        files = [path for path in joined_run.rglob("*") if path.is_file() and path.name != ".lock"]
        return {str(path.relative_to(joined_run)): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}

    before = snapshot()
    with caplog.at_level(logging.WARNING):
        run_config(read_config(joined_run / "config.json"))
    after = snapshot()
    assert {name: data for name, (_, data) in before.items()} == {name: data for name, (_, data) in after.items()}
    written = {name for name in after if before[name][0] != after[name][0]}
    made = {name for name in before if name.endswith((".npz", "stages.json")) or "/cache/" in name}
    assert len(made) > 10
    assert not made & written  # neither seen nor fitted again
    assert "changed since" not in caplog.text


def test_a_photo_from_disk_gets_what_evaluation_saw(
    predictor: Predictor, joined_run: Path, drawn_set: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = read_config(joined_run / "config.json")
    dataset = make_dataset(drawn_set / "photos", drawn_set / "labels.csv", {"severity": config.heads["severity"]})
    backbone = predictor.backbone
    assert backbone is not None
    monkeypatch.setattr(Backbone, "extract", None)  # all of it is in the cache of the run
    sight = look_at(backbone, dataset, SightRequest(2, (), (), 1, 1, "stop"), joined_run / "results" / "cache")
    monkeypatch.undo()
    expected = predictor.heads["severity"].probabilities(sight.vectors)
    answers = list(predictor.predict([photo.path for photo in dataset.photos[:9]]))
    for row, answer in enumerate(answers):
        assert isinstance(answer, Answer)
        given = list(answer.fields["heads"]["severity"]["probabilities"].values())
        np.testing.assert_allclose(given, expected[row], rtol=0, atol=1e-6)
        assert answer.masks["damage_mask"].ndim == 2


def test_a_separate_set_is_evaluated(joined_run: Path, tmp_path: Path) -> None:
    separate = draw_set(tmp_path / "set", count=12, seed=99)
    shutil.copytree(joined_run, tmp_path / "run")
    config = read_config(tmp_path / "run" / "config.json")
    masks = [AnnotationConfig(format="masks", path=separate / "masks", head="damage_mask")]
    tree = evaluate_config(config, None, separate / "photos", separate / "labels.csv", masks)
    assert tree["backbone"]["source"] == JOINED
    assert list(tree["heads"]) == list(HEADS)


def test_a_changed_part_computes_everything_again_and_is_no_trained_model(
    joined_run: Path,
    drawn_set: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    from carclf.architectures import write_savedmodel

    monkeypatch.setattr("carclf.app._draw", lambda *_: None)
    network = make_tiny_network()
    network.set_weights([weights * 1.5 for weights in network.get_weights()])
    write_savedmodel(network, tmp_path / "changed", {"seen_drawn_cars": True})
    shutil.copytree(joined_run / "results", tmp_path / "results")
    config = read_config(write_joined(tmp_path, drawn_set, tmp_path / "changed"))
    with pytest.raises(RunDirError, match=r"both: was trained with sha256 \w+, the config now gives"):
        open_predictor(config)
    run = tmp_path / "results" / JOINED_NAME
    old = {path: (run / path).read_bytes() for path in ("severity/heads.npz", "damage_mask/fold0.npz")}
    with caplog.at_level(logging.WARNING):
        run_config(config)
    assert "both: the backbone changed since the last run; everything is computed again." in caplog.text
    assert all((run / path).read_bytes() != data for path, data in old.items())


def test_what_is_missing_is_told_once_by_a_run_and_by_check(drawn_set: Path, tmp_path: Path) -> None:
    path = write_joined(tmp_path, drawn_set, tmp_path / "nowhere")
    data = json.loads(path.read_text())
    data["backbones"][MODEL] = {"local": str(tmp_path / "lost")}
    data["models"] = [JOINED_NAME, "tiny"]
    path.write_text(json.dumps(data))
    config = read_config(path)
    with pytest.raises(CarclfError) as caught:
        run_config(config)
    assert [line.split(": ")[0] for line in str(caught.value).splitlines()] == ["backbone tiny", f"backbone {MODEL}"]
    found = [finding for finding in survey_data(config).findings if finding.kind == "missing backbone"]
    assert [finding.text.split(": ")[0] for finding in found] == ["backbone tiny", f"backbone {MODEL}"]
    assert {finding.severity for finding in found} == {"warning"}


def test_check_compares_photos_by_the_joined_vectors_but_not_where_the_embedded_one_stands_in(
    drawn_set: Path, tiny: Path, tmp_path: Path
) -> None:
    config = read_config(write_joined(tmp_path, drawn_set, tiny))
    assert find_kin(config, read_dataset(config)).by.endswith("by the vectors of both, as a run does.")
    fallback = read_config(write_joined(tmp_path, drawn_set, tmp_path / "nowhere", embedded_fallback=True))
    by = find_kin(fallback, read_dataset(fallback)).by
    assert by.endswith("as a run on the embedded backbone does; both is not at hand.")
