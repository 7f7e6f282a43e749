"""The page of `serve` in a real browser: answers, masks, errors, keyboard, narrow and dark screens."""

import base64
import io
import json
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.watched_page import Watched, expect, open_browser, watch

if TYPE_CHECKING:
    from tests.served import Served

Serve = Callable[..., AbstractContextManager["Served"]]
COLORS = {"left": (226, 60, 50), "right": (40, 90, 230)}
SCALE = 14  # canvas pixels per pixel of a drawn photo of 96: 1,280 or more
KEY = "a-key-of-the-tests-0123"


@pytest.fixture(scope="module")
def serve(drawn_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Serve:
    """Starts a service; takes what its settings shall be. Its masks have two classes: what is left, what is right."""
    from carclf.config import read_config
    from carclf.labels import read_label_file
    from carclf.serve.settings import Limits, Settings
    from carclf.using import open_predictor
    from tests.served import serve_page, with_fixed_masks

    sides = tmp_path_factory.mktemp("sides") / "sides.txt"
    sides.write_text("\n".join(f"{name}; color={','.join(map(str, color))}" for name, color in COLORS.items()))
    config = read_config(drawn_run / "config.json")
    with pytest.MonkeyPatch.context() as patch:  # merging networks takes seconds, and would keep the trained masks
        patch.setattr("carclf.using.with_runs", lambda predictor, cache: predictor)
        predictor = with_fixed_masks(open_predictor(config), read_label_file(sides))

    def start(**settings: Any) -> AbstractContextManager["Served"]:
        limits = Limits(most_bytes=1_000_000, most_photos=16)
        return serve_page(predictor, config, Settings(port=0, limits=limits, **settings))

    return start


@pytest.fixture(scope="module")
def served(serve: Serve) -> Iterator["Served"]:
    with serve() as served:
        yield served


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with open_browser() as browser:
        yield browser


@pytest.fixture
def watched(browser: Any, served: "Served", request: pytest.FixtureRequest) -> Iterator[Watched]:
    """A fresh tab; parametrize indirectly with options of `watch`."""
    with watch(browser, served, **getattr(request, "param", {})) as watched:
        yield watched


@pytest.fixture(scope="module")
def rich_photo(drawn_set: Path) -> Path:
    """A photo with single damages of both classes, as all have here."""
    return min((drawn_set / "photos").iterdir())


@pytest.fixture(scope="module")
def broken_photo(rich_photo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("broken") / "broken.jpg"
    path.write_bytes(rich_photo.read_bytes()[:1500])
    return path


def enlarged_mask(answer: dict[str, Any]) -> NDArray[np.uint8]:
    """The ids of the answer's mask as Pillow reads them, at the canvas' size."""
    with Image.open(io.BytesIO(base64.b64decode(answer["masks"]["damage_mask"]))) as image:
        return np.array(image).repeat(SCALE, axis=0).repeat(SCALE, axis=1)


def test_photos_are_answered_as_the_server_says(watched: Watched, drawn_set: Path) -> None:
    page = watched.open()
    photos = sorted((drawn_set / "photos").iterdir())[:2]
    answers = watched.ask(*photos)
    for photo, answer in zip(photos, answers, strict=True):
        page.get_by_role("tab", name=photo.name).click()
        severity = answer["heads"]["severity"]
        card = page.locator("#detail [data-head=severity]")
        expect(card.locator("strong")).to_have_text(severity["label"])
        shown = [float(text.strip("<> %\n")) for text in card.locator(".figure").all_text_contents()]
        assert shown == pytest.approx([100 * each for each in severity["probabilities"].values()], abs=1.0)
        damaged = answer["heads"]["damage_mask"]["damaged_percent"]
        text = page.locator("#detail [data-head=damage_mask] strong").text_content()
        assert float(text.split()[0]) == pytest.approx(damaged, abs=0.5)
    assert photos[0].name in page.locator("#log").text_content()  # screen readers are told
    expect(page.locator("#overall-text")).to_have_text("2 of 2 answered")


def test_mask_switch_opacity_and_classes(watched: Watched, rich_photo: Path) -> None:
    page = watched.open()
    (answer,) = watched.ask(rich_photo)
    mask, on = enlarged_mask(answer), watched.picture()
    page.get_by_role("switch", name="Mask").click()
    off = watched.picture()
    changed = (on != off).any(axis=-1)
    assert changed[mask > 0].mean() > 0.99
    assert changed[mask == 0].mean() < 0.05  # the numbers of regions alone
    page.get_by_role("switch", name="Mask").click()
    page.get_by_role("slider", name="Opacity").press("End")  # the areas hide the photo
    full = watched.picture()
    for class_id, color in enumerate(COLORS.values(), 1):
        assert (full[mask == class_id] == color).all(axis=-1).mean() > 0.7  # but for the numbers
    page.get_by_role("checkbox", name="left").uncheck()
    right_alone = watched.picture()
    assert not (right_alone == COLORS["left"]).all(axis=-1).any()
    assert (right_alone[mask == 2] == COLORS["right"]).all(axis=-1).mean() > 0.7


def test_regions_one_by_one(watched: Watched, rich_photo: Path) -> None:
    page = watched.open()
    (answer,) = watched.ask(rich_photo)
    regions = answer["heads"]["damage_mask"]["regions"]
    buttons = page.locator(".region")
    expect(buttons).to_have_count(len(regions))
    for button, region in zip(buttons.all(), regions, strict=True):
        assert region["class"] in button.text_content()
    plain = watched.fingerprint()
    buttons.first.focus()
    first = watched.fingerprint()
    assert first != plain
    buttons.nth(1).focus()
    assert watched.fingerprint() not in (plain, first)
    buttons.nth(1).click()
    assert buttons.nth(1).get_attribute("aria-pressed") == "true"
    page.get_by_role("switch", name="Mask").focus()  # the chosen one stays
    assert watched.fingerprint() != plain
    buttons.nth(1).click()
    page.get_by_role("switch", name="Mask").focus()
    page.mouse.move(0, 0)
    assert watched.fingerprint() == plain
    left, top, width, height = regions[0]["box"]
    place = page.locator(".stage canvas").bounding_box()
    ratio = place["width"] / answer["size"][0]
    page.mouse.move(place["x"] + (left + width / 2) * ratio, place["y"] + (top + height / 2) * ratio)
    expect(page.locator(".region.is-looked")).to_have_count(1)


@pytest.mark.parametrize("watched", [{"allowed": (400,)}], indirect=True)
def test_a_broken_and_a_large_photo_do_not_stop_the_others(
    watched: Watched, broken_photo: Path, rich_photo: Path, tmp_path: Path
) -> None:
    page = watched.open()
    large = tmp_path / "large.jpg"
    large.write_bytes(rich_photo.read_bytes() + bytes(watched.served.settings.limits.most_bytes))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    watched.ask(broken_photo, large, rich_photo, failed=2)
    assert sum("/v1/predict" in url for url in asked) == 2  # the large one was not sent
    page.get_by_role("tab", name="broken.jpg").click()
    expect(page.locator("#detail .note.bad")).to_contain_text(watched.served.complaint(broken_photo))
    page.get_by_role("tab", name="large.jpg").click()
    expect(page.locator("#detail .note.bad")).to_contain_text("this server takes up to")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("[data-state=failed]")).to_have_count(2)
    expect(page.locator("#overall-text")).to_have_text("1 of 3 answered · 2 problems")


def test_photos_that_a_browser_cannot_show_and_such_that_lie_on_their_side(
    watched: Watched, rich_photo: Path, tmp_path: Path
) -> None:
    scan, turned = tmp_path / "scan.tif", tmp_path / "turned.jpg"
    with Image.open(rich_photo) as image:
        image.save(scan)
        exif = Image.Exif()
        exif[0x0112] = 6
        upright = image.crop((0, 0, 96, 64))
        upright.rotate(90, expand=True).save(turned, exif=exif, quality=95)
    page = watched.open()
    answers = {each["photo"]: each for each in watched.ask(scan, turned)}
    expect(page.get_by_role("img", name="scan.tif drawn by the server")).to_be_visible()
    expect(page.get_by_text("which cannot be taken off here")).to_be_visible()
    assert page.get_by_role("switch", name="Mask").count() == 0
    page.get_by_role("tab", name="turned.jpg").click()
    assert "overlays" not in answers["turned.jpg"]
    assert answers["turned.jpg"]["size"] == [96, 64]
    expect(page.get_by_role("img", name="turned.jpg with the mask")).to_be_visible()
    assert watched.picture().shape[:2] == (64 * SCALE, 96 * SCALE)
    page.get_by_role("switch", name="Mask").click()
    small = np.array(Image.fromarray(watched.picture()).resize((96, 64), Image.Resampling.BOX), float)
    assert np.abs(small - upright).mean() < 8  # the same way up
    mask = enlarged_mask(answers["turned.jpg"])
    assert mask.shape == (64 * SCALE, 96 * SCALE)


def test_several_photos_as_one_case(watched: Watched, drawn_set: Path) -> None:
    page = watched.open()
    photos = sorted((drawn_set / "photos").iterdir())[:3]
    watched.ask(*photos)
    with page.expect_response(re.compile("case=true")) as asked:
        page.get_by_role("switch", name="These photos show one car").click()
    heads = asked.value.json()["case"]["heads"]
    card = page.locator(".case-answers [data-head=severity] strong")
    expect(card).to_have_text(heads["severity"]["label"])
    expect(page.locator(".by-photo tbody tr")).to_have_count(3)
    page.get_by_role("button", name=photos[1].name).first.click()
    expect(page.get_by_role("tab", selected=True)).to_contain_text(photos[1].name)
    page.keyboard.press("Delete")
    expect(page.get_by_role("tab", name="This car (2 photos)")).to_be_visible()


@pytest.mark.parametrize("watched", [{"allowed": (500,)}], indirect=True)
def test_a_case_that_failed_is_asked_again(watched: Watched, drawn_set: Path) -> None:
    page = watched.open()
    watched.ask(*sorted((drawn_set / "photos").iterdir())[:2])
    page.route(re.compile("case=true"), lambda route: route.fulfill(status=500, json={"error": "Broken."}), times=1)
    page.get_by_role("switch", name="These photos show one car").click()
    expect(page.locator("#detail .note.bad")).to_contain_text("Broken.")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(".case-answers")).to_be_visible()


def test_of_many_photos_screen_readers_are_told_in_one_line(watched: Watched, drawn_set: Path) -> None:
    page = watched.open()
    watched.ask(*sorted((drawn_set / "photos").iterdir())[:11])
    expect(page.locator("#log")).to_have_text("11 photos added.11 of 11 answered")


def test_downloads(watched: Watched, rich_photo: Path) -> None:
    page = watched.open()
    (answer,) = watched.ask(rich_photo)
    with page.expect_download() as download:
        page.get_by_role("button", name="Download JSON").click()
    del answer["masks"]
    assert json.loads(download.value.path().read_text()) == answer
    with page.expect_download() as download:
        page.get_by_role("button", name="Download Picture").click()
    assert download.value.suggested_filename == f"{rich_photo.stem}_mask.jpg"
    with Image.open(download.value.path()) as image:
        assert list(image.size) == answer["size"]
    with page.expect_download() as download:
        page.get_by_role("button", name="All answers as JSON").click()
    assert json.loads(download.value.path().read_text()) == {"photos": [answer]}


def test_everything_by_keyboard(watched: Watched, rich_photo: Path, drawn_set: Path) -> None:
    page = watched.open()
    for _ in range(8):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "choose":
            break
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Space")
    other = next(path for path in sorted((drawn_set / "photos").iterdir()) if path != rich_photo)
    chooser.value.set_files([rich_photo, other])
    expect(page.locator("[role=tab][data-state=answered]")).to_have_count(2)
    reached = []
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.role || document.activeElement.classList[0]"))
    assert {"switch", "tab", "region"} <= set(reached)
    page.get_by_role("tab", selected=True).focus()
    on = watched.fingerprint()
    page.keyboard.press("m")
    assert watched.fingerprint() != on
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("tab", selected=True)).to_contain_text(other.name)
    expect(page.get_by_role("tab", selected=True)).to_be_focused()
    page.keyboard.press("Delete")
    expect(page.get_by_role("tab")).to_have_count(1)
    expect(page.get_by_role("tab", selected=True)).to_be_focused()


NARROW = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}


@pytest.mark.parametrize("watched", [NARROW, NARROW | {"viewport": {"width": 320, "height": 600}}], indirect=True)
def test_a_narrow_screen_scrolls_in_one_direction(watched: Watched, rich_photo: Path) -> None:
    page = watched.open()
    expect(page.get_by_label("Take a photo")).to_have_attribute("capture", "environment")

    def overflow() -> int:
        return int(page.evaluate("document.documentElement.scrollWidth")) - int(page.viewport_size["width"])

    assert overflow() <= 0
    watched.ask(rich_photo)
    assert overflow() <= 0
    page.get_by_role("switch", name="Mask").tap()
    page.locator(".region").first.tap()
    expect(page.locator(".region[aria-pressed=true]")).to_have_count(1)
    page.get_by_role("button", name="Zoom in").tap()
    assert overflow() <= 0
    page.get_by_role("link", name="Model").tap()
    assert overflow() <= 0


def test_the_model_page_shows_the_figures(watched: Watched, drawn_run: Path) -> None:
    page = watched.open("#model")
    results = drawn_run / "results" / "small"
    tree = json.loads((results / "results.json").read_text())
    for name, head in tree["heads"].items():
        card = page.locator(f".head-report[data-head={name}]")
        values = card.locator(".metrics").first.locator("td").all_text_contents()
        metric = {"categorical": "accuracy", "multi_label": "macro_f1", "segmentation": "dice_damaged"}[head["kind"]]
        estimate = head["metrics"][metric]
        low, high = estimate["interval"]
        expected = [f"{estimate['mean']:.3f}", f"{low:.3f} to {high:.3f}", f"{estimate['baseline']:.3f}"]
        assert values[:3] == expected
        assert card.locator("svg.interval").count() > 0
    expect(page.get_by_role("img", name="Severity: stated probability")).to_be_visible()
    page.get_by_text("Pictures of training").first.click()
    picture = page.locator(".picture img").first
    expect(picture).to_be_visible()
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 100
    page.get_by_text("The whole of results.txt").click()
    expect(page.locator("pre.results")).to_have_text((results / "results.txt").read_text())


NAMELESS = re.compile(r"- (?:button|checkbox|switch|slider|link|tab|textbox|img)(?: \[[^]]*\])*:?$", re.MULTILINE)


def test_whatever_can_be_used_has_a_name(watched: Watched, rich_photo: Path) -> None:
    page = watched.open()
    watched.ask(rich_photo)
    main = page.locator("body").aria_snapshot()
    for told in (
        'link "Photos"',
        'button "Choose photos"',
        'switch "These photos show one car"',
        f'tab "{rich_photo.name}',
        'switch "Mask" [checked]',
        'slider "Opacity"',
        'checkbox "left',
        'button "Zoom in"',
        'button "Remove"',
        f'img "Photo {rich_photo.name} with the mask over it',
    ):
        assert told in main
    page.get_by_role("link", name="Model", exact=True).click()
    for snapshot in (main, page.locator("body").aria_snapshot()):
        assert not NAMELESS.findall(snapshot)


SCHEMES = [{"color_scheme": scheme} for scheme in ("light", "dark")]


@pytest.mark.parametrize("watched", SCHEMES, indirect=True, ids=["light", "dark"])
def test_colours_can_be_read_and_follow_the_system(watched: Watched, rich_photo: Path) -> None:
    page = watched.open()
    watched.ask(rich_photo)
    is_dark = page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    ground = luminance(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert (ground < 0.1) == is_dark
    for selector in (".running", ".tab-told", ".quiet", ".answer strong", ".bars .name", ".chip", ".primary"):
        text, behind = page.locator(selector).first.evaluate(COLORS_OF)
        light, dark = sorted((luminance(text), luminance(behind)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, selector  # WCAG 2.2, AA


COLORS_OF = """element => {
  let behind = element;
  while (getComputedStyle(behind).backgroundColor === "rgba(0, 0, 0, 0)") behind = behind.parentElement;
  return [getComputedStyle(element).color, getComputedStyle(behind).backgroundColor];
}"""


def luminance(color: str) -> float:
    """Relative luminance of "rgb(r, g, b)", as WCAG defines it."""
    values = np.array([int(part) for part in re.findall(r"\d+", color)[:3]]) / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


def test_a_server_with_a_key_asks_for_it(browser: Any, serve: Serve, rich_photo: Path) -> None:
    with serve(api_key=KEY) as served, watch(browser, served, allowed=(401,)) as watched:
        page = watched.page
        page.goto(f"{served.address}/")
        page.get_by_label("Key", exact=True).fill("a-wrong-key-0123456789")
        page.keyboard.press("Enter")
        expect(page.get_by_text("The key was not accepted")).to_be_visible()
        page.get_by_label("Key", exact=True).fill(KEY)
        page.keyboard.press("Enter")
        page.wait_for_selector("html[data-ready]")
        watched.ask(rich_photo)
        assert page.evaluate("Object.values(sessionStorage)") == [KEY]


def test_a_key_that_the_user_has_not_got_is_asked_for_once(browser: Any, serve: Serve, drawn_set: Path) -> None:
    with serve(api_key=KEY) as served, watch(browser, served, allowed=(401,)) as watched:
        page = watched.page
        page.goto(f"{served.address}/")
        page.get_by_role("button", name="Cancel").click()
        page.wait_for_selector("html[data-ready]")
        page.set_input_files("#choose", sorted((drawn_set / "photos").iterdir())[:5])
        page.get_by_role("button", name="Cancel").click()  # three are asked about at once, five in all
        expect(page.locator("[data-state=failed]")).to_have_count(5)
        expect(page.get_by_role("dialog")).to_have_count(0)
        page.get_by_role("button", name="Try again").last.click()
        expect(page.get_by_role("dialog")).to_be_visible()


def test_names_are_text_and_may_be_the_same(watched: Watched, drawn_set: Path, tmp_path: Path) -> None:
    page = watched.open()
    name = "<img src=x onerror=alert(1)>&'.jpg"
    for folder, photo in zip("ab", sorted((drawn_set / "photos").iterdir()), strict=False):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_bytes(photo.read_bytes())
    watched.ask(tmp_path / "a" / name, tmp_path / "b" / name)
    expect(page.get_by_role("heading", name=name)).to_be_visible()
    assert page.locator("#view-photos img").count() == 0
    watched.page.set_input_files("#choose", [tmp_path / "b" / name])  # the very same file is there already
    expect(page.get_by_role("tab", selected=True)).to_have_attribute("id", "tab-photo-2")
    expect(page.get_by_role("tab")).to_have_count(2)


@pytest.mark.parametrize("watched", [{"allowed": (503,)}], indirect=True)
def test_a_busy_server_is_asked_again_when_it_says(watched: Watched, rich_photo: Path) -> None:
    watched.page.clock.install()
    page = watched.open()
    busy = {"status": 503, "headers": {"Retry-After": "20"}, "json": {"error": "Busy."}}
    page.route(re.compile("/v1/predict"), lambda route: route.fulfill(**busy), times=1)
    page.set_input_files("#choose", rich_photo)
    expect(page.locator(".status")).to_have_text(re.compile(r"the server is busy; again in 20\ss"))
    page.clock.fast_forward(21_000)
    expect(page.locator("[role=tab][data-state=answered]")).to_have_count(1)
    assert [each.status for each in watched.responses if "/v1/predict" in each.url] == [503, 200]


def test_masks_are_read_as_pillow_wrote_them(watched: Watched) -> None:
    page = watched.open()
    rows, columns = np.mgrid[:37, :53]
    for bits in (1, 2, 4, 8):
        ids = ((rows * columns // 7 + (rows > 20) * 3) % 2**bits).astype(np.uint8)
        image = Image.fromarray(ids)
        image.putpalette([value for index in range(2**bits) for value in (index, 0, 255 - index)])
        written = io.BytesIO()
        image.save(written, "PNG", bits=bits)
        read = page.evaluate(READ_MASK, base64.b64encode(written.getvalue()).decode())
        assert read == [53, 37, ids.ravel().tolist(), [1, 0, 254]]


READ_MASK = """async data => {
  const read = await (await import("/page/mask_png.js")).readMask(data);
  return [read.width, read.height, [...read.ids], read.palette[1]];
}"""
