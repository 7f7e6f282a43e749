from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from carclf.annotations.classes import Renames
from carclf.annotations.mask_files import find_masks, rename_mask
from carclf.annotations.mask_pictures import load_class_mask
from carclf.annotations.records import ClassMask, Record
from carclf.errors import AnnotationError, PhotoError
from carclf.labels import LabelSet
from tests.drawn_masks import BLUE, COLORS, HITL, ONE, RED, TWO, load, load_file, paint, read, save, save_indexed

# ids


def test_masks_alone_are_called_like_their_files(tmp_path: Path) -> None:
    save(tmp_path / "b.png", [[0]])
    save(tmp_path / "sub" / "a.1.PNG", [[0]])
    save(tmp_path / ".hidden.png", [[0]])
    found = read(tmp_path, class_names=TWO.names)
    assert list(found) == ["b", "sub/a.1"]
    assert found["b"].path is None


@pytest.mark.parametrize("mode", ["L", "P", "I;16", "RGB"])
def test_masks_keep_their_ids_in_every_mode_without_colours(tmp_path: Path, mode: str) -> None:
    ids = [[0, 1, 2], [255, 2, 1]]
    if mode == "P":
        path = save_indexed(tmp_path / "a.png", ids, dict.fromkeys(range(256), (9, 9, 9)))
    elif mode == "I;16":
        path = tmp_path / "a.png"
        Image.fromarray(np.array(ids, np.uint16)).save(path)
    else:
        path = save(tmp_path / "a.png", ids, mode)
    assert load_file(path) == ids


def test_ids_are_mapped_by_the_names_of_their_classes(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", [[0, 1, 2, 7, 9, 255]])
    names = {1: "glass", 2: "dent", 7: "ignore", 9: ""}
    assert load_file(path, names=names) == [[0, 2, 1, 255, 0, 255]]
    renamed = rename_mask(
        ClassMask(path, {1: "window", 2: "dent", 7: "x", 9: "x"}), Renames({"window": "glass", "x": ""})
    )
    assert load(Record("a", "a", mask=renamed)) == [[0, 2, 1, 0, 0, 255]]


def test_unknown_ids_and_classes(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", [[0, 3, 7]])
    expected = r"a.png: class ids 3, 7 are not in two.txt \(0 = background, 1 = dent, 2 = glass, 255 = ignored\)"
    with pytest.raises(AnnotationError, match=expected):
        load_file(path)
    with pytest.raises(AnnotationError, match=r'class id 3 is "dant", which is no class of two.txt .* mean "dent"'):
        load_file(path, names={3: "dant", 7: "glass"})
    assert load_file(save(tmp_path / "b.png", [[7]]), names={3: "dant", 7: "glass"}) == [[2]]


def test_masks_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(PhotoError, match=r"class ids was expected .* but it holds colours"):
        load_file(save(tmp_path / "colours.png", paint([[1]], {1: RED})))
    wide = tmp_path / "wide.png"
    Image.fromarray(np.array([[300]], np.uint16)).save(wide)
    with pytest.raises(PhotoError, match="class ids are 0 to 255, but 300 came"):
        load_file(wide)
    (tmp_path / "cut.png").write_bytes(wide.read_bytes()[:40])
    with pytest.raises(PhotoError, match=r"cut\.png"):
        load_file(tmp_path / "cut.png")


# black and white


@pytest.mark.parametrize("mode", ["L", "RGB", "1", "P"])
def test_black_and_white_is_the_only_class(tmp_path: Path, mode: str) -> None:
    save(tmp_path / "a.png", [[0, 255, 255]], mode)
    save(tmp_path / "b.png", [[0, 0, 0]], mode)
    for options in ({"class_names": ONE.names}, {}):
        found = read(tmp_path, **options)
        assert load(found["a"], ONE) == [[0, 1, 1]]
        assert load(found["b"], ONE) == [[0, 0, 0]]


def test_0_and_1_are_ids_beside_black_and_white(tmp_path: Path) -> None:
    save(tmp_path / "a.png", [[0, 1]])
    assert load(read(tmp_path, class_names=ONE.names)["a"], ONE) == [[0, 1]]
    save(tmp_path / "b.png", [[0, 255]])
    found = read(tmp_path, class_names=ONE.names)
    assert [load(found[name], ONE) for name in "ab"] == [[[0, 1]], [[0, 1]]]


def test_one_mask_with_1_and_255_tells_that_255_is_ignored(tmp_path: Path) -> None:
    save(tmp_path / "a.png", [[0, 255]])
    save(tmp_path / "b.png", [[1, 255]])
    found = read(tmp_path, class_names=ONE.names)
    assert load(found["a"], ONE) == [[0, 255]]
    assert load(found["b"], ONE) == [[1, 255]]


def test_255_of_an_indexed_mask_with_a_palette_is_ignored(tmp_path: Path) -> None:
    palette = {1: RED, 255: (255, 255, 255)}
    save_indexed(tmp_path / "a.png", [[0, 255]], palette)
    save_indexed(tmp_path / "b.png", [[0, 1]], palette)
    save(tmp_path / "c.png", [[0, 255]])  # black and white among them
    found = read(tmp_path, class_names=ONE.names)
    assert [load(found[name], ONE) for name in "abc"] == [[[0, 255]], [[0, 1]], [[0, 1]]]


def test_255_is_ignored_where_there_are_several_classes(tmp_path: Path) -> None:
    save(tmp_path / "a.png", [[0, 255]])
    assert load(read(tmp_path, class_names=TWO.names)["a"]) == [[0, 255]]


def test_white_beside_ids_is_an_error(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", [[0, 1, 255]])
    with pytest.raises(AnnotationError, match=r'holds class ids and 255, .* but white is "glass" here'):
        load_file(path, names={1: "dent", 2: "glass"}, colors={RED: "dent", (255, 255, 255): "glass"})


def test_black_and_white_saved_as_jpeg(tmp_path: Path) -> None:
    canvas = Image.new("L", (160, 120))
    ImageDraw.Draw(canvas).ellipse((30, 20, 110, 100), fill=255)
    canvas.save(tmp_path / "a.jpg", quality=90)
    ids = np.array(load(read(tmp_path)["a"], ONE))
    truth = np.asarray(canvas) > 0
    assert set(np.unique(ids)) <= {0, 1, 255}
    assert ((ids == 1) != truth)[ids != 255].mean() < 0.002
    assert (ids == 255).mean() < 0.05


# colours


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_colours_become_classes_in_every_mode(tmp_path: Path, mode: str) -> None:
    path = save(tmp_path / "a.png", paint([[0, 1, 2], [2, 1, 0]], {1: RED, 2: BLUE}), mode)
    assert load_file(path, colors=COLORS) == [[0, 1, 2], [2, 1, 0]]


def test_colours_are_mapped_by_name_and_may_be_left_out(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", paint([[0, 1, 2, 3, 4]], {1: RED, 2: BLUE, 3: (9, 250, 9), 4: (250, 250, 9)}))
    colors = {BLUE: "dent", RED: "glass", (9, 250, 9): "ignore", (250, 250, 9): ""}
    assert load_file(path, colors=colors) == [[0, 2, 1, 255, 0]]


def test_clear_pixels_are_background(tmp_path: Path) -> None:
    pixels = np.zeros((1, 3, 4), np.uint8)
    pixels[0, :] = (*RED, 255)
    pixels[0, 1] = (90, 90, 90, 0)
    assert load_file(save(tmp_path / "a.png", pixels), colors=COLORS) == [[1, 0, 1]]


def test_the_nearest_colour_within_the_tolerance(tmp_path: Path) -> None:
    off = np.array([[(205, 25, 35), (190, 30, 30), (12, 60, 222), (6, 5, 4)]], np.uint8)
    path = save(tmp_path / "a.png", off)
    assert load_file(path, colors=COLORS) == [[1, 1, 2, 0]]
    with pytest.raises(AnnotationError, match=r"190,30,30: 1 pixel \(nearest: dent, 10 off\).*tolerance \(now 9\)"):
        load_file(path, colors=COLORS, tolerance=9)
    near = {(100, 0, 0): "dent", (110, 0, 0): "glass"}
    assert load_file(save(tmp_path / "b.png", [[(104, 0, 0), (106, 0, 0)]]), colors=near) == [[1, 2]]


def test_unknown_colours_are_listed_with_their_pixels(tmp_path: Path) -> None:
    pixels = paint(np.repeat([[0, 1, 2, 3], [1, 3, 3, 3]], 5, axis=0), {1: RED, 2: (7, 200, 7), 3: (250, 250, 0)})
    expected = (
        r"a.png: colours that are no class's: 250,250,0: 20 pixels \(nearest: dent, 220 off\), "
        r"7,200,7: 5 pixels \(nearest: dent, 193 off\). Say which classes they are"
    )
    with pytest.raises(AnnotationError, match=expected):
        load_file(save(tmp_path / "a.png", pixels), colors={RED: "dent", BLUE: "glass"})


def test_a_photo_in_place_of_a_mask_lists_no_more_than_a_few_colours(tmp_path: Path) -> None:
    photo = np.random.default_rng(1).integers(0, 256, (60, 60, 3))
    with pytest.raises(AnnotationError, match=r"colours that are no class's: .* and [0-9]{4} more\. Say") as caught:
        load_file(save(tmp_path / "a.png", photo), colors=COLORS)
    assert len(str(caught.value)) < 700


def test_a_colour_of_no_class_of_the_label_file(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", paint([[0, 1]], {1: RED, 2: BLUE}))
    assert load_file(path, colors={RED: "dent", BLUE: "glas"}) == [[0, 1]]  # BLUE is not there
    with pytest.raises(AnnotationError, match=r'the picture shows "dant", which is no class .* mean "dent"'):
        load_file(path, colors={RED: "dant", BLUE: "glass"})


def test_blended_edges_are_ignored_but_a_thin_class_that_nobody_named_is_not(tmp_path: Path) -> None:
    large = Image.new("RGB", (900, 600))
    draw = ImageDraw.Draw(large)
    draw.polygon([(100, 100), (500, 160), (430, 480), (90, 300)], fill=RED)
    draw.ellipse((500, 200, 850, 550), fill=BLUE)
    small = large.resize((300, 200), Image.Resampling.BILINEAR)
    small.save(tmp_path / "a.png")
    ids = np.array(load_file(tmp_path / "a.png", colors=COLORS))
    truth = np.array(load_file(save(tmp_path / "b.png", np.asarray(large.resize((300, 200), 0))), colors=COLORS))
    assert 0 < (ids == 255).mean() < 0.03
    assert (ids == truth)[ids != 255].mean() > 0.999
    ImageDraw.Draw(small).line((10, 190, 290, 190), fill=(0, 255, 0), width=2)
    small.save(tmp_path / "c.png")
    with pytest.raises(AnnotationError, match="0,255,0: 562 pixels"):
        load_file(tmp_path / "c.png", colors=COLORS)


def test_jpeg_masks_are_mended(tmp_path: Path) -> None:
    canvas = Image.new("RGB", (300, 200))
    ImageDraw.Draw(canvas).polygon([(40, 20), (200, 50), (170, 170), (20, 130)], fill=RED)
    canvas.save(tmp_path / "a.jpg", quality=80)
    canvas.save(tmp_path / "b.bmp")
    found = read(tmp_path, colors=COLORS)
    ids, truth = np.array(load(found["a"])), np.array(load(found["b"]))
    assert set(np.unique(truth)) == {0, 1}
    assert (ids == truth)[ids != 255].mean() > 0.998
    assert (ids == 255).mean() < 0.05


def test_a_palette_counts_where_colours_are_given(tmp_path: Path) -> None:
    path = save_indexed(tmp_path / "a.png", [[0, 5, 9, 255]], {5: BLUE, 9: RED, 255: (224, 224, 192)})
    assert load_file(path, colors=COLORS) == [[0, 2, 1, 255]]
    assert load_file(path, colors=COLORS, names={1: "dent", 2: "glass"}) == [[0, 2, 1, 255]]
    with pytest.raises(AnnotationError, match=r"its palette has colours that are no class's: 200,30,30: 1 pixel"):
        load_file(path, colors={BLUE: "glass"})


def test_ids_count_where_the_palette_shows_no_class(tmp_path: Path) -> None:
    ids = [[0, 1, 2, 255]]
    names = {1: "dent", 2: "glass"}
    other = save_indexed(tmp_path / "voc.png", ids, {1: (128, 0, 0), 2: (0, 128, 0), 255: (224, 224, 192)})
    ramp = save_indexed(tmp_path / "ramp.png", ids, {index: (index, index, index) for index in range(256)})
    for path in (other, ramp, save(tmp_path / "grey.png", ids)):
        assert load_file(path, colors=COLORS, names=names) == ids


# real masks


def test_the_36_real_colour_masks_load(shared_dir: Path) -> None:
    folder = shared_dir / "data" / "hitl_masks"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    assert find_masks(folder) == [folder]
    label_set = LabelSet(tuple(HITL.values()), tuple(range(8)), tuple(HITL), Path("hitl.txt"))
    found = read(folder, colors=HITL)
    assert len(found) == 36
    total = np.zeros(256, np.int64)
    for record in found.values():
        assert record.mask is not None
        assert record.path is not None
        assert record.path.parent.name == "images"
        ids = load_class_mask(record.mask, label_set)
        counts = np.bincount(ids.ravel(), minlength=256)
        assert counts[255] <= 0.011 * ids.size, record.place  # 31 masks are exact, 5 have blended edges
        total += counts
    assert (total[1:9] > 4000).all()
    assert total[9:255].sum() == 0
    assert total[255] == 11883
