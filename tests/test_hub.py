import http.server
import io
import json
import logging
import os
import shutil
import socket
import tarfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from carclf import downloads, hub
from carclf.downloads import FACTS_FILE, OffLineError, check_on_line, is_savedmodel, sha256_of_folder
from carclf.errors import BackboneError
from carclf.files import locked
from carclf.hub import find_backbone, read_facts


def fake_savedmodel(folder: Path, content: bytes = b"graph") -> Path:
    """A folder with the files of a SavedModel; finding one does not open it."""
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(content)
    (folder / "variables" / "variables.index").write_bytes(b"index")
    (folder / "variables" / "variables.data-00000-of-00001").write_bytes(b"data")
    return folder


def real_savedmodel(folder: Path, value: float = 1.0) -> Path:
    """A SavedModel that can be loaded, as what is downloaded must be."""
    import tensorflow as tf

    tf.saved_model.save(tf.train.Checkpoint(weights=tf.Variable(tf.fill(1000, value))), str(folder))
    return folder


class Publisher(http.server.BaseHTTPRequestHandler):
    """Serves one .tar.gz as TF-Hub does."""

    archive = b""
    downloads = heads = 0

    def do_HEAD(self) -> None:
        Publisher.heads += 1
        self.send_response(200)
        self.end_headers()

    def do_GET(self) -> None:
        Publisher.downloads += 1
        self.send_response(200 if self.archive else 404)
        self.end_headers()
        self.wfile.write(self.archive)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(autouse=True)
def nothing_known_of_servers() -> None:
    downloads._why_off_line.cache_clear()


@pytest.fixture
def handle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    publish(real_savedmodel(tmp_path / "published"))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Publisher)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()  # it notices its end so soon
    yield f"http://127.0.0.1:{server.server_address[1]}/feature_vector/5"
    server.shutdown()
    server.server_close()


def publish(folder: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        archive.add(folder, arcname=".")
    Publisher.archive, Publisher.downloads, Publisher.heads = buffer.getvalue(), 0, 0


def dead_handle() -> str:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}/model/1"


def test_local_comes_first(tmp_path: Path) -> None:
    folder = fake_savedmodel(tmp_path / "local")
    source = find_backbone("mobilenet", local=folder, handle=dead_handle(), embedded_fallback=True)
    assert (source.source, source.where, source.folder) == ("local", str(folder), folder)
    assert source.sha256 == sha256_of_folder(folder)
    assert not source.seen_drawn_cars
    assert source.input_range is None


def test_a_handle_is_downloaded_once_and_its_hash_checked(tmp_path: Path, handle: str) -> None:
    models = tmp_path / "models"
    first = find_backbone("m", tmp_path / "missing", handle, models_dir=models)
    assert (first.source, first.where) == ("hub", handle)
    assert find_backbone("m", handle=handle, models_dir=models) == first
    assert Publisher.downloads == 1
    assert "TFHUB_CACHE_DIR" not in os.environ


@pytest.mark.parametrize("damage", ["no graph", "no variables", "changed", "leftovers"])
def test_a_damaged_cache_is_repaired(
    tmp_path: Path, handle: str, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    models = tmp_path / "models"
    first = find_backbone("m", handle=handle, models_dir=models)
    if damage == "no graph":
        (first.folder / "saved_model.pb").unlink()
    elif damage == "no variables":
        (first.folder / "variables" / "variables.data-00000-of-00001").unlink()
    elif damage == "changed":
        (first.folder / "saved_model.pb").write_bytes(b"other")
    else:  # killed in the middle of a download
        shutil.rmtree(first.folder)
        first.folder.with_name(first.folder.name + ".lock").write_text("elsewhere.1.abc")
        first.folder.with_name(first.folder.name + ".abc.tmp").mkdir()
    assert find_backbone("m", handle=handle, models_dir=models) == first
    assert Publisher.downloads == 2
    assert ("is damaged; it is downloaded again" in caplog.text) == (damage != "leftovers")
    assert not list(models.glob("*.tmp"))


def test_another_model_under_the_same_handle_is_refused(tmp_path: Path, handle: str) -> None:
    models = tmp_path / "models"
    folder = find_backbone("m", handle=handle, models_dir=models).folder
    publish(real_savedmodel(tmp_path / "other", 2.0))
    shutil.rmtree(folder)
    with pytest.raises(BackboneError, match=r"the download has sha256 .* was recorded in .*sha256\.json"):
        find_backbone("m", handle=handle, embedded_fallback=True, models_dir=models)
    assert not folder.exists()


def test_an_unverified_copy_is_loaded_before_it_is_trusted(tmp_path: Path, handle: str) -> None:
    models = tmp_path / "models"
    folder = find_backbone("m", handle=handle, models_dir=models).folder
    side_file = next(models.glob("*.json"))
    side_file.unlink()
    find_backbone("m", handle=handle, models_dir=models)
    assert Publisher.downloads == 1  # whole: its hash is recorded again
    assert side_file.exists()
    for downloaded, damaged in enumerate(("variables/variables.data-00000-of-00001", "saved_model.pb"), 2):
        side_file.unlink()
        os.truncate(folder / damaged, 1000)
        find_backbone("m", handle=handle, models_dir=models)
        assert Publisher.downloads == downloaded
    side_file.unlink()
    shutil.rmtree(folder / "variables")
    (folder / "variables").mkdir()
    os.truncate(folder / "saved_model.pb", 0)
    find_backbone("m", handle=handle, models_dir=models)
    assert Publisher.downloads == 4
    assert is_savedmodel(folder)


def test_a_download_that_cannot_be_loaded_is_refused(tmp_path: Path, handle: str) -> None:
    publish(fake_savedmodel(tmp_path / "fake"))
    with pytest.raises(BackboneError, match="what was downloaded is not a SavedModel that can be loaded"):
        find_backbone("m", handle=handle, models_dir=tmp_path / "models")
    assert not list((tmp_path / "models").glob("*.json"))


def test_two_runs_do_not_download_at_once(tmp_path: Path, handle: str, caplog: pytest.LogCaptureFixture) -> None:
    models = tmp_path / "models"
    with locked(models):
        other = threading.Thread(target=find_backbone, args=("m", None, handle), kwargs={"models_dir": models})
        other.start()
        while "waiting for it" not in caplog.text:
            time.sleep(0.01)
        assert Publisher.downloads == 0
    other.join()
    assert Publisher.downloads == 1


def test_a_server_is_asked_once(handle: str) -> None:
    check_on_line(handle, "")
    check_on_line(f"{handle}/another", "")
    assert Publisher.heads == 1


@pytest.mark.parametrize("wrong", ["tfhub.dev/model/5", "ftp://tfhub.dev/5", "https://[tfhub.dev/5", "https:///5"])
def test_a_handle_must_be_an_address(tmp_path: Path, wrong: str) -> None:
    with pytest.raises(BackboneError, match=r"is no address of the web: https://… was expected"):
        find_backbone("m", handle=wrong, embedded_fallback=True, models_dir=tmp_path)


def test_a_port_that_is_no_number_is_off_line() -> None:
    with pytest.raises(OffLineError, match="nonnumeric port"):
        check_on_line("http://127.0.0.1:port/5", "")


def test_a_refused_download_is_told(tmp_path: Path, handle: str) -> None:
    Publisher.archive = b""
    with pytest.raises(BackboneError, match=r"backbone m: not found: .*the download to .* failed \(HTTP Error 404"):
        find_backbone("m", handle=handle, models_dir=tmp_path / "models")


def test_off_line_is_noticed_within_five_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as silent:  # takes the call and never answers
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        monkeypatch.setattr(downloads, "OFF_LINE_SECONDS", 0.5)
        started = time.monotonic()
        with pytest.raises(OffLineError, match="cannot be reached: off line"):
            check_on_line(f"http://127.0.0.1:{silent.getsockname()[1]}/", "")
        assert time.monotonic() - started < 1.0
    monkeypatch.undo()
    assert downloads.OFF_LINE_SECONDS < 5.0
    message = r"backbone m: not found: .*none does not exist; .* off line .*embedded_fallback"
    with pytest.raises(BackboneError, match=message):
        find_backbone("m", tmp_path / "none", dead_handle(), models_dir=tmp_path)


def test_the_embedded_backbone_stands_in_only_when_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    embedded = fake_savedmodel(tmp_path / "embedded")
    (embedded / FACTS_FILE).write_text(json.dumps({"seen_drawn_cars": True, "input_range": [0, 1]}))
    monkeypatch.setattr(hub, "EMBEDDED_DIR", embedded)
    with pytest.raises(BackboneError, match="not found: neither local nor handle is set"):
        find_backbone("m")
    with caplog.at_level(logging.WARNING):
        source = find_backbone("m", tmp_path / "none", embedded_fallback=True)
    assert source.source == "embedded"
    assert source.seen_drawn_cars
    assert source.input_range == (0.0, 1.0)
    assert caplog.text.count("the small embedded one stands in") == 1


def test_what_is_there_but_wrong_is_an_error(tmp_path: Path) -> None:
    folder = fake_savedmodel(tmp_path / "model")
    with pytest.raises(BackboneError, match=r"has sha256 .*, but the config expects 00"):
        find_backbone("m", folder, sha256="00")
    assert find_backbone("m", folder, sha256=sha256_of_folder(folder).upper())
    (folder / "variables" / "variables.index").unlink()
    assert not is_savedmodel(folder)
    with pytest.raises(BackboneError, match="is not a whole SavedModel folder"):
        find_backbone("m", folder, embedded_fallback=True)


def test_odd_names_of_shards_and_of_folders_are_errors(tmp_path: Path) -> None:
    folder = fake_savedmodel(tmp_path / "model")
    (folder / "variables" / "variables.data-00000-of-00001").rename(folder / "variables" / "variables.data-0-of-some")
    assert not is_savedmodel(folder)
    with pytest.raises(BackboneError, match="cannot be looked at"):
        find_backbone("m", tmp_path / ("x" * 300), embedded_fallback=True)


def test_the_hash_covers_names_and_bytes_but_not_the_side_file(tmp_path: Path) -> None:
    folder = fake_savedmodel(tmp_path / "model")
    before = sha256_of_folder(folder)
    (folder / FACTS_FILE).write_text("{}")
    assert sha256_of_folder(folder) == before
    (folder / "saved_model.pb").rename(folder / "other.pb")
    assert sha256_of_folder(folder) != before


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "not valid JSON"), ("[]", "an object was expected"), ('{"input_range": [1]}', "must be two numbers")],
)
def test_damaged_side_files_are_told(tmp_path: Path, text: str, message: str) -> None:
    folder = fake_savedmodel(tmp_path / "model")
    assert read_facts(folder) == {}
    (folder / FACTS_FILE).write_text(text)
    with pytest.raises(BackboneError, match=message):
        find_backbone("m", folder)
