"""The service says what predict says, whatever way a photo comes; everything else is refused in one shape."""

import base64
import io
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco

from carclf.cases import HeadRule, combine_answers
from carclf.config import Config
from carclf.images import photo_size, read_full_photo
from carclf.mask_images import put_colors
from carclf.mask_plots import label_colors, paint_mask
from carclf.predict import Predictor
from carclf.saying import Answer
from carclf.serve.schemas import ErrorReply, ModelsReply, PredictReply, ReportReply
from tests.served import JPEG, SETTINGS, as_form, serve_page, wait_for


@pytest.fixture(scope="module")
def client(predictor: Predictor, config: Config) -> Iterator[httpx.Client]:
    with serve_page(predictor, config, SETTINGS) as served, httpx.Client(base_url=served.address) as client:
        yield client


@pytest.fixture(scope="module")
def photos(drawn_set: Path) -> list[Path]:
    return sorted((drawn_set / "photos").iterdir())[:4]


@pytest.fixture(scope="module")
def expected(predictor: Predictor, photos: list[Path]) -> list[Answer]:
    answers = list(predictor.predict(photos))
    assert all(isinstance(answer, Answer) for answer in answers)
    return [answer for answer in answers if isinstance(answer, Answer)]


def image_of(text: str) -> Image.Image:
    image = Image.open(io.BytesIO(base64.b64decode(text)))
    image.load()
    return image


def test_answers_are_those_of_predict(client: httpx.Client, photos: list[Path], expected: list[Answer]) -> None:
    reply = client.post("/v1/predict", files=as_form(photos)).json()
    PredictReply.model_validate(reply)
    for said, answer, photo in zip(reply["photos"], expected, photos, strict=True):
        size = said.pop("size")
        assert size == list(photo_size(photo))
        assert said == {**answer.fields, "photo": photo.name}  # to the last digit
    alone = client.post("/v1/predict", content=photos[0].read_bytes(), headers=JPEG).json()
    assert alone["photos"][0]["heads"] == expected[0].fields["heads"]
    assert alone["photos"][0]["photo"] == "photo-1"


def test_masks_and_overlays_are_those_of_predict(
    client: httpx.Client, predictor: Predictor, photos: list[Path], expected: list[Answer]
) -> None:
    query = {"masks": "png", "overlays": "true"}
    drawn = client.post("/v1/predict", params=query, files=as_form(photos[:1])).json()
    PredictReply.model_validate(drawn)
    packed = client.post("/v1/predict", params={"masks": "rle"}, files=as_form(photos[:1])).json()
    PredictReply.model_validate(packed)
    mask, label_set = expected[0].masks["damage_mask"], predictor.mask_heads["damage_mask"].label_set
    picture = image_of(drawn["photos"][0]["masks"]["damage_mask"])
    indexed = Image.fromarray(mask)
    put_colors(indexed, label_set)
    assert picture.mode == "P"
    assert picture.tobytes() == indexed.tobytes()
    assert picture.convert("RGB").tobytes() == indexed.convert("RGB").tobytes()
    runs: dict[str, Any] = packed["photos"][0]["masks"]["damage_mask"]
    for each, pixels in ((runs, mask > 0), (runs["classes"]["damage"], mask == 1)):
        decoded = coco.decode({"size": each["size"], "counts": each["counts"].encode()})
        np.testing.assert_array_equal(decoded.astype(bool), pixels)
    overlay = np.asarray(image_of(drawn["photos"][0]["overlays"]["damage_mask"]))
    np.testing.assert_array_equal(overlay, paint_mask(expected[0].photo.read_full(), mask, label_colors(label_set)))
    assert "overlays" not in packed["photos"][0]


def test_photos_of_one_car_get_one_answer(client: httpx.Client, photos: list[Path], expected: list[Answer]) -> None:
    files = [*as_form(photos[:2]), ("photos", ("notes.txt", b"no photo"))]
    reply = client.post("/v1/predict?case=true", files=files).json()
    PredictReply.model_validate(reply)
    told = [{**answer.fields, "photo": photo.name} for answer, photo in zip(expected[:2], photos, strict=False)]
    assert reply["case"] == combine_answers([*told, None], {"severity": HeadRule("whole")})
    assert reply["photos"][2] == {
        "photo": "notes.txt",
        "error": "notes.txt: is not a photo; JPEG, PNG, WebP, BMP and TIFF are taken.",
    }


def test_photos_are_seen_upright_and_their_exif_data_stays_here(
    client: httpx.Client, photos: list[Path], caplog: pytest.LogCaptureFixture
) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "SECRET MAKER"
    exif.get_ifd(0x8825)[1] = "N"
    lying, upright = io.BytesIO(), io.BytesIO()
    picture = Image.fromarray(read_full_photo(photos[0])[:64])
    picture.save(lying, "PNG", exif=exif)
    picture.transpose(Image.Transpose.ROTATE_270).save(upright, "PNG")
    caplog.set_level(logging.DEBUG)
    reply = client.post("/v1/predict?masks=png", content=lying.getvalue(), headers={"Content-Type": "image/png"})
    other = client.post("/v1/predict?masks=png", content=upright.getvalue(), headers={"Content-Type": "image/png"})
    said, same = reply.json()["photos"][0], other.json()["photos"][0]
    assert said["size"] == [64, 96]
    assert image_of(said["masks"]["damage_mask"]).size == (64, 96)
    assert said["heads"] == same["heads"]
    wait_for(lambda: caplog.text.count('"route": "/v1/predict"') == 2)
    assert "SECRET" not in reply.text + caplog.text
    assert "GPS" not in reply.text + caplog.text


@pytest.mark.parametrize(
    ("query", "content", "headers", "status", "sentence"),
    [
        ("", b"no photo", JPEG, 400, "photo-1: is not a photo; JPEG, PNG"),
        ("", b"\xff\xd8\xff\xe0 cut off", JPEG, 400, "begins like a JPEG but is none, or is cut off|cannot be decoded"),
        ("", b"GIF89a.....", JPEG, 415, "is a GIF; JPEG, PNG"),
        ("", b"x", {"Content-Type": "text/plain"}, 415, 'Content-Type "text/plain": send photos as'),
        ("", b"x" * 400_001, JPEG, 413, "larger than 400,000 bytes"),
        ("?mask=png", b"x", JPEG, 422, 'mask: unknown parameter. Did you mean "masks"'),
        ("?masks=gif", b"x", JPEG, 422, 'masks: "gif" cannot be used. Input should be'),
        ("?overlays=perhaps", b"x", JPEG, 422, 'overlays: "perhaps" cannot be used'),
    ],
)
def test_what_cannot_be_answered_is_told_in_one_shape(
    client: httpx.Client, query: str, content: bytes, headers: dict[str, str], status: int, sentence: str
) -> None:
    reply = client.post(f"/v1/predict{query}", content=content, headers=headers)
    assert reply.status_code == status
    told = ErrorReply.model_validate(reply.json())
    assert re.search(sentence, told.error)
    assert told.request_id == reply.headers["X-Request-ID"]


def test_limits_of_photos_and_pixels_hold(client: httpx.Client, photos: list[Path]) -> None:
    many = client.post("/v1/predict", files=as_form(photos[:1] * 5))
    assert (many.status_code, many.json()["error"][:26]) == (413, "There are more than 4 photos"[:26])
    wide = io.BytesIO()
    Image.new("L", (1200, 900)).save(wide, "PNG")
    large = client.post("/v1/predict", files={"photos": ("large.png", wide.getvalue())})
    assert large.status_code == 400
    assert "large.png: has 1200 × 900 pixels; at most 1,000,000 are taken" in large.json()["error"]
    wide = io.BytesIO()
    Image.new("RGB", (900, 900)).save(wide, "PNG")
    two = [("photos", ("a.png", wide.getvalue()))] * 2
    overlays = client.post("/v1/predict?overlays=true", files=two)
    assert overlays.status_code == 413
    assert "Overlays of 1,620,000 pixels were asked for; at most 1,000,000" in overlays.json()["error"]


def test_a_photo_that_is_cut_off_within_its_pixels(client: httpx.Client, photos: list[Path]) -> None:
    half = photos[0].read_bytes()[:2000]
    alone = client.post("/v1/predict", content=half, headers=JPEG)
    assert alone.status_code == 400
    assert "it may be cut off" in alone.json()["error"]
    both = client.post("/v1/predict", files=[("photos", ("half.jpg", half)), *as_form(photos[1:2])])
    assert both.status_code == 200
    assert "it may be cut off" in both.json()["photos"][0]["error"]
    assert "heads" in both.json()["photos"][1]


def test_the_model_and_its_report(client: httpx.Client, predictor: Predictor, drawn_run: Path) -> None:
    told = client.get("/v1/models").json()
    ModelsReply.model_validate(told)
    assert told["limits"] == {"bytes": 400_000, "pixels": 1_000_000, "photos": 4}
    (model,) = told["models"]
    assert (model["name"], model["sha256"]) == (predictor.model, predictor.model_sha256)
    assert model["heads"]["severity"]["none_label"] == "whole"
    assert len(model["heads"]["damage_mask"]["colors"]["damage"]) == 3
    report = client.get("/v1/report").json()
    ReportReply.model_validate(report)
    run = drawn_run / "results" / predictor.model
    assert report["text"] == (run / "results.txt").read_text(encoding="utf-8")
    assert report["results"] == json.loads((run / "results.json").read_text(encoding="utf-8"))
    picture = client.get(f"/v1/report/pictures/{report['pictures'][0]}")
    assert picture.headers["Content-Type"] == "image/png"
    assert picture.content == (drawn_run / "images" / report["pictures"][0]).read_bytes()


def test_the_page_and_the_docs_need_nobody_else(client: httpx.Client) -> None:
    for page in ("/", "/docs"):
        html = client.get(page).text
        assert not re.search(r"(src|href)=.(https?:)?//|<script>|<style|\son[a-z]+=|style=", html)
        for path in re.findall(r'(?:src|href)="([^"#]+)"', html):
            assert client.get(f"/{path}").status_code == 200, path


def test_the_description_tells_every_answer(client: httpx.Client) -> None:
    tree = client.get("/openapi.json").json()
    predict = tree["paths"]["/v1/predict"]["post"]
    assert set(predict["responses"]) == {"200", "400", "413", "415", "422", "503", "504"}
    assert "Retry-After" in predict["responses"]["503"]["headers"]
    assert "multipart/form-data" in predict["requestBody"]["content"]
    assert {"/v1/models", "/v1/report", "/healthz", "/readyz", "/metrics"} <= set(tree["paths"])


def test_figures_for_prometheus(client: httpx.Client, photos: list[Path]) -> None:
    def figure(name: str) -> float:
        found = re.search(rf"^{re.escape(name)} (\S+)$", client.get("/metrics").text, flags=re.MULTILINE)
        return float(found[1]) if found else 0.0

    answered = 'carclf_requests_total{method="POST",route="/v1/predict",status="200"}'
    before = figure(answered), figure('carclf_photos_total{outcome="answered"}')
    client.post("/v1/predict", files=as_form(photos[:3]))
    assert figure(answered) == before[0] + 1
    assert figure('carclf_photos_total{outcome="answered"}') == before[1] + 3
    assert figure("carclf_queue_photos") == 0
    assert figure("carclf_held_bytes") == 0
    assert figure("carclf_requests_in_flight") == 1  # this one
