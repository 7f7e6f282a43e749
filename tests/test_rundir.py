"""A run directory never mixes old and new: a stage is there with its very inputs, or it is not."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from carclf.errors import RunDirError
from carclf.rundir import RunDir

INPUTS = {"labels": [0, 1, 1], "folds": [0, 1, 2], "seed": 42}


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return RunDir(tmp_path / "mobilenet")


def test_a_stage_is_done_after_it_finished_and_not_before(run: RunDir, caplog: pytest.LogCaptureFixture) -> None:
    assert not run.is_done("severity", INPUTS)
    run.finish("severity", INPUTS, 1.25)
    run.finish("location", INPUTS, 0.5)
    assert RunDir(run.path).is_done("severity", dict(reversed(INPUTS.items())))
    assert run.seconds() == {"severity": 1.25, "location": 0.5}
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"labels": [0, 1, 2]}, "labels changed"),
        ({"labels": [1, 1, 1], "seed": 43}, "labels and seed changed"),
        ({"views": 2}, "views changed"),
    ],
)
def test_a_changed_input_is_named_in_one_line(
    run: RunDir, caplog: pytest.LogCaptureFixture, changes: dict[str, Any], said: str
) -> None:
    run.finish("severity", INPUTS, 1.0)
    with caplog.at_level(logging.WARNING):
        assert not run.is_done("severity", INPUTS | changes)
    (record,) = caplog.records
    assert record.getMessage() == f"mobilenet, severity: {said} since the last run; computed again."


def test_a_dropped_input_counts_as_a_change(run: RunDir, caplog: pytest.LogCaptureFixture) -> None:
    run.finish("severity", INPUTS, 1.0)
    assert not run.is_done("severity", {"labels": INPUTS["labels"]})
    assert "its inputs changed" in caplog.text


def test_a_stage_whose_inputs_changed_is_not_there_until_it_finished_again(run: RunDir) -> None:
    """Killed while its files are rewritten, then the old inputs given back: half of the files would be new."""
    run.finish("severity", INPUTS, 1.0)
    run.finish("location", INPUTS, 1.0)
    assert not run.is_done("severity", INPUTS | {"seed": 43})
    assert not run.is_done("severity", INPUTS)
    assert run.is_done("location", INPUTS)


def test_stages_can_be_forgotten(run: RunDir) -> None:
    run.forget("severity")
    assert not run.path.exists()
    for stage in ("groups", "folds", "severity"):
        run.finish(stage, INPUTS, 1.0)
    run.forget("groups", "folds")
    assert list(run.seconds()) == ["severity"]
    run.forget()
    assert run.seconds() == {}


def test_what_is_not_trained_to_the_end_is_named(run: RunDir) -> None:
    run.finish("severity", INPUTS, 1.0)
    run.check_finished(["severity"])
    with pytest.raises(RunDirError, match=r"mobilenet: location, part not trained, or not to the end. Train first"):
        run.check_finished(["severity", "location", "part"])


def test_arrays_come_back_and_the_same_arrays_are_the_same_bytes(run: RunDir) -> None:
    arrays = {
        "kernels": np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32),
        "names": np.array(["a b", "ü"]),
    }
    run.write_arrays("severity/heads.npz", arrays)
    first = (run.path / "severity/heads.npz").read_bytes()
    run.write_arrays("severity/heads.npz", arrays)
    assert (run.path / "severity/heads.npz").read_bytes() == first
    for name, array in run.read_arrays("severity/heads.npz").items():
        assert array.dtype == arrays[name].dtype
        assert array.tobytes() == arrays[name].tobytes()


def test_tables_keep_every_bit_of_a_float32_and_every_character(run: RunDir) -> None:
    values = np.random.default_rng(0).normal(size=2000).astype(np.float32) * np.float32(10.0) ** np.arange(
        -20, 20
    ).repeat(50)
    cells = ["NULL", "", "nan", "a;b", 'with "quotes", and comma', " ü "] + ["1"] * 1994
    run.write_table("table.csv", {"text": cells, "number": values.astype(np.float32), "whole": np.arange(2000)})
    table = run.read_table("table.csv", ("text",))
    assert table["text"].tolist() == cells
    assert table["number"].to_numpy(np.float32).tobytes() == values.astype(np.float32).tobytes()
    assert table["whole"].dtype == np.int64


@pytest.mark.parametrize("name", ["x.json", "x.txt", "x.csv", "x.npz"])
def test_a_file_that_is_not_there_says_how_to_make_it(run: RunDir, name: str) -> None:
    with pytest.raises(RunDirError, match=r"is not there. Train first: python main.py"):
        read(run, name)


@pytest.mark.parametrize("damage", ["empty", "cut", "garbage"])
@pytest.mark.parametrize("name", ["x.json", "x.txt", "x.csv", "x.npz"])
def test_a_damaged_file_says_what_to_delete(run: RunDir, name: str, damage: str) -> None:
    run.write_json("x.json", {"a": list(range(50))})
    run.write_text("x.txt", "text")
    run.write_table("x.csv", {"a": list(range(50)), "b": list(range(50))})
    run.write_arrays("x.npz", {"a": np.arange(500)})
    if name in ("x.txt", "x.csv") and damage != "garbage":
        return  # less text is text
    path = run.path / name
    whole = path.read_bytes()
    path.write_bytes({"empty": b"", "cut": whole[: len(whole) // 2], "garbage": b"\xff\xfe\x00\x81" * 40}[damage])
    with pytest.raises(RunDirError, match=r"cannot be read .*Delete .* and run again"):
        read(run, name)


def read(run: RunDir, name: str) -> Any:
    readers = {"json": run.read_json, "txt": run.read_text, "csv": run.read_table, "npz": run.read_arrays}
    return readers[name.split(".")[1]](name)
