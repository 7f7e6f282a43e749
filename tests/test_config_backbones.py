"""What joined backbones demand in the config, each mistake in one line."""

import json
from pathlib import Path
from typing import Any

import pytest

from carclf.config import read_config
from carclf.errors import ConfigError
from carclf.importing.configuring import read_template
from carclf.importing.options import ImportOptions


def joined_config(**joined: Any) -> dict[str, Any]:
    """A config with alpha, beta, pair = alpha + beta, and `more`, which is joined as told."""
    return {
        "dataset": {"photos": ".", "labels": "c.json"},
        "backbones": {
            "alpha": {"local": "a"},
            "beta": {"handle": "b"},
            "pair": {"joined": ["alpha", "beta"], "image_size": 320, "grid": [2, 3]},
            "more": {"joined": ["alpha", "beta"]} | joined,
        },
        "models": ["pair", "more"],
        "heads": {"severity": {"kind": "categorical", "labels": "c.json"}},
    }


ERRORS = [
    ({"joined": ["alpha", "betta"]}, r'more\.joined\[1\]: "betta" is not among backbones\. Did you mean "beta"\?'),
    ({"joined": ["alpha", "q"]}, r"is not among backbones\. Such backbones: alpha, beta\.$"),
    ({"joined": ["alpha", "more"]}, r'more\.joined\[1\]: "more" cannot be a part of itself\. Name others\.'),
    ({"joined": ["pair", "alpha"]}, r'more\.joined\[0\]: "pair" is joined itself\. Name its parts instead\.'),
    ({"joined": ["alpha"]}, r"more\.joined: at least two names were expected, not 1\. Add the missing ones\.$"),
    ({"joined": []}, r"more\.joined: at least two names were expected, not 0\."),
    ({"joined": ["beta", "alpha", "beta"]}, r'more\.joined\[2\]: "beta" stands twice\. Name every part once\.$'),
    ({"local": "x"}, r"more\.local: stands beside joined, but every part has its own\. Delete it\.$"),
    ({"handle": "x"}, r"more\.handle: stands beside joined"),
    ({"engine": "openvino"}, r"more\.engine: stands beside joined"),
    ({"sha256": "0" * 64}, r"more\.sha256: stands beside joined"),
    ({"input_range": [-1, 1]}, r"more\.input_range: stands beside joined"),
    ({"joined": "alpha"}, r'more\.joined: must be a list, not "alpha"\.$'),
    ({"joined": ["alpha", 3]}, r"more\.joined\[1\]: must be a string, not 3\.$"),
]


def write_json_config(folder: Path, data: Any) -> Path:
    (folder / "c.json").write_text(json.dumps(data))
    return folder / "c.json"


@pytest.mark.parametrize(("joined", "message"), ERRORS, ids=[message for _, message in ERRORS])
def test_each_mistake_is_one_line(tmp_path: Path, joined: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        read_config(write_json_config(tmp_path, joined_config(**joined)))
    assert len(str(caught.value).splitlines()) == 1
    assert str(caught.value).startswith("c.json: backbones.more.")


def test_a_joined_backbone_needs_no_place_and_the_effective_config_says_the_same(tmp_path: Path) -> None:
    config = read_config(write_json_config(tmp_path, joined_config()))
    assert config.backbones["pair"].joined == ("alpha", "beta")
    assert (config.backbones["pair"].image_size, config.backbones["pair"].grid) == (320, (2, 3))
    effective = config.model_dump(mode="json")
    assert read_config(write_json_config(tmp_path, effective)) == config  # with every default spelt out


def test_a_part_without_a_place_is_told(tmp_path: Path) -> None:
    data = joined_config()
    data["backbones"]["alpha"] = {}
    with pytest.raises(ConfigError, match=r"^c\.json: backbones\.alpha: neither local nor handle is given\."):
        read_config(write_json_config(tmp_path, data))


def test_an_import_takes_joined_backbones_over(tmp_path: Path) -> None:
    options = ImportOptions("auto", tmp_path, tmp_path / "to", config=write_json_config(tmp_path, joined_config()))
    made = read_template(options, tmp_path / "to")
    assert made["models"] == ["pair", "more"]
    assert made["backbones"]["pair"] == joined_config()["backbones"]["pair"]
    assert made["backbones"]["alpha"]["local"] == "../a"
