import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from carclf import mask_plots, plots
from carclf.errors import RunDirError
from carclf.report import Tree, head_results, mask_results
from carclf.risk_coverage import Cutoffs
from carclf.scores import Array
from tests.fake_records import make_mask_counts, make_predictions

BLUE, ORANGE = (31, 119, 180), (255, 127, 14)


def make_history(epochs: int, splits: tuple[str, ...] = ("train", "validation")) -> list[dict[str, Any]]:
    return [
        {"fold": fold, "epoch": epoch, "split": split, "loss": 1 / epoch + 0.1 * fold, "metric": 1 - 1 / epoch}
        for fold in range(3)
        for split in splits
        for epoch in range(1, epochs + fold + 1)
    ]


def make_head(kind: str = "categorical", class_names: tuple[str, ...] = ("minor", "severe", "whole")) -> Tree:
    return head_results(make_predictions(kind, class_names), [], [], None, seed=0)


def read(path: Path) -> Array:
    with Image.open(path) as picture:
        return np.asarray(picture)


def has_color(picture: Array, color: tuple[int, int, int]) -> bool:
    return bool((np.abs(picture.astype(int) - color).sum(axis=-1) < 12).any())


def assert_nothing_is_clipped(picture: Array) -> None:
    for edge in (picture[:2], picture[-2:], picture[:, :2], picture[:, -2:]):
        assert (edge == 255).all()
    assert (picture != 255).any()


def test_curves_are_blue_for_training_and_orange_for_validation(tmp_path: Path) -> None:
    accuracy, loss = tmp_path / "images" / "accuracy.png", tmp_path / "images" / "loss.png"
    plots.plot_history(make_history(6), "severity", "accuracy", accuracy, loss)
    for path in (accuracy, loss):
        picture = read(path)
        assert has_color(picture, BLUE)
        assert has_color(picture, ORANGE)
        assert_nothing_is_clipped(picture)
    plots.plot_history(make_history(6, ("train",)), "severity", "accuracy", accuracy, loss)
    assert has_color(read(loss), BLUE)
    assert not has_color(read(loss), ORANGE)


@pytest.mark.parametrize("history", [[], make_history(1)[:2], make_history(4, ("train", "validation", "held_out"))])
def test_any_history_makes_two_pictures(tmp_path: Path, history: list[dict[str, Any]]) -> None:
    plots.plot_history(history, "severity", "accuracy", tmp_path / "accuracy.png", tmp_path / "loss.png")
    assert_nothing_is_clipped(read(tmp_path / "accuracy.png"))
    assert_nothing_is_clipped(read(tmp_path / "loss.png"))


LONG_NAMES = ("a class with a really long name, longer than its box", "costs $5 or $6", "c")
SEVEN = ("bumper", "fender", "bonnet", "door", "light", "dickey", "windshield")


@pytest.mark.parametrize(
    ("kind", "class_names"),
    [
        ("categorical", ("minor", "severe", "whole")),
        ("categorical", LONG_NAMES),
        ("multi_label", LONG_NAMES),
        ("multi_label", ("front",)),
        ("multi_label", SEVEN),
    ],
)
def test_nothing_of_a_confusion_matrix_is_clipped(tmp_path: Path, kind: str, class_names: tuple[str, ...]) -> None:
    plots.plot_confusion(make_head(kind, class_names), "mobilenet: part", tmp_path / "confusion.png")
    assert_nothing_is_clipped(read(tmp_path / "confusion.png"))


def test_the_confusion_of_masks_is_drawn(tmp_path: Path) -> None:
    head = mask_results(make_mask_counts(("dent", "scratch")), [], [], seed=0)
    plots.plot_confusion(head, "damage_mask", tmp_path / "confusion.png")
    assert_nothing_is_clipped(read(tmp_path / "confusion.png"))


def test_a_class_that_never_occurs_is_drawn_as_zeros(tmp_path: Path) -> None:
    rows = make_predictions()
    head = head_results(rows.rows(rows.targets != 0), [], [], None, seed=0)
    plots.plot_confusion(head, "severity", tmp_path / "confusion.png")
    assert_nothing_is_clipped(read(tmp_path / "confusion.png"))


@pytest.mark.parametrize("kind", ["categorical", "multi_label"])
def test_reliability_shows_before_and_after_temperature(tmp_path: Path, kind: str) -> None:
    plots.plot_reliability(make_head(kind), "severity", tmp_path / "reliability.png")
    picture = read(tmp_path / "reliability.png")
    assert has_color(picture, BLUE)
    assert has_color(picture, ORANGE)
    assert_nothing_is_clipped(picture)


@pytest.mark.parametrize(
    ("kind", "least"),
    [
        ("categorical", None),
        ("categorical", 1.0),
        *((kind, 0.6) for kind in ("categorical", "multi_label", "segmentation")),
    ],
)
def test_risk_and_coverage_show_the_curve_and_what_is_told(tmp_path: Path, kind: str, least: float | None) -> None:
    cutoffs = None if least is None else Cutoffs(np.full(5, least))
    if kind == "segmentation":
        head = mask_results(make_mask_counts(), [], [], 0, cutoffs)
    else:
        head = head_results(make_predictions(kind, ("minor", "severe", "whole")), [], [], None, 0, cutoffs)
    plots.plot_risk_coverage(head, f"mobilenet: {kind}", tmp_path / "risk.png")
    picture = read(tmp_path / "risk.png")
    assert has_color(picture, BLUE)
    assert has_color(picture, ORANGE) == (least == 0.6)  # nothing is told from 1 on
    assert_nothing_is_clipped(picture)


def test_the_same_input_makes_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        plots.plot_history(make_history(3), "severity", "accuracy", tmp_path / f"{name}a", tmp_path / f"{name}l")
        plots.plot_confusion(make_head(), "severity", tmp_path / f"{name}c")
    for letter in "alc":
        assert (tmp_path / f"one{letter}").read_bytes() == (tmp_path / f"two{letter}").read_bytes()
    with Image.open(tmp_path / "onec") as picture:
        assert picture.format == "PNG"
        assert not picture.info  # neither a date nor a version


def draw_sheet(path: Path, predicted: Array) -> Array:
    photos = [np.full((60, 80, 3), 40, np.uint8), np.full((900, 300, 3), 40, np.uint8)]
    truth = [np.zeros((60, 80), np.uint8), np.zeros((900, 300), np.uint8)]
    truth[0][10:40, 10:40] = 1
    masks = [np.zeros((60, 80), np.uint8), predicted]
    mask_plots.plot_mask_sheet(photos, truth, masks, ("a.jpg", "b.jpg"), ("dent", "scratch"), path)
    return read(path)


def test_a_sheet_shows_masks_in_the_colours_of_their_classes(tmp_path: Path) -> None:
    nothing = np.zeros((900, 300), np.uint8)
    scratched, unknown = nothing.copy(), nothing.copy()
    scratched[100:700, 50:200] = 2
    unknown[100:700, 50:200] = 255
    mixed_dent, mixed_scratch, mixed_unknown = (135, 100, 20), (63, 110, 136), (84, 84, 84)
    for mask, seen in ((nothing, None), (scratched, mixed_scratch), (unknown, mixed_unknown)):
        picture = draw_sheet(tmp_path / "sheet.png", mask)
        assert has_color(picture, mixed_dent)
        for color in (mixed_scratch, mixed_unknown):
            painted = (np.abs(picture.astype(int) - color).max(axis=-1) <= 1).sum() > 1000
            assert painted == (color == seen)
        assert_nothing_is_clipped(picture)


def test_overlay_leaves_background_alone_and_marks_the_edge() -> None:
    photo = np.full((20, 20, 3), 100, np.uint8)
    mask = np.zeros((20, 20), np.uint8)
    mask[4:16, 4:16] = 1
    painted = mask_plots.paint_mask(photo, mask)
    assert (painted[mask == 0] == 100).all()
    assert painted[4, 4].tolist() == [0xE6, 0x9F, 0x00]
    np.testing.assert_allclose(painted[10, 10], (100 + np.array([0xE6, 0x9F, 0x00])) / 2, atol=0.5)


def test_an_empty_sheet_is_a_picture(tmp_path: Path) -> None:
    mask_plots.plot_mask_sheet([], [], [], [], ["damage"], tmp_path / "sheet.png")
    assert read(tmp_path / "sheet.png").shape[2] == 3


def test_a_picture_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "images").write_text("a file where a folder should be")
    with pytest.raises(RunDirError, match=r"confusion\.png: cannot be written"):
        plots.plot_confusion(make_head(), "severity", tmp_path / "images" / "confusion.png")


def test_importing_plots_imports_neither_matplotlib_nor_pyplot() -> None:
    code = "import sys, carclf.plots; sys.exit(any(name.startswith('matplotlib') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[1]).returncode == 0
