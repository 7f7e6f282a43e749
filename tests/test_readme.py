"""README.md repeats the code where it says so, and its examples load."""

import re
import subprocess
import sys
from pathlib import Path

from carclf.config import read_config
from carclf.config_data import DatasetConfig
from carclf.label_file import read_label_file
from carclf.label_table import read_label_table

REPO = Path(__file__).resolve().parents[1]
README = (REPO / "README.md").read_text(encoding="utf-8")


def example(language: str) -> str:
    """The first block of a language."""
    found = re.search(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)
    assert found, f"README.md has no example of {language}"
    return found[1]


def test_the_module_list_and_the_table_of_config_keys_are_those_of_the_code() -> None:
    done = subprocess.run([sys.executable, "-m", "tools.write_readme", "--check"], cwd=REPO, check=False)
    assert done.returncode == 0, "README.md is behind the code: make readme"


def test_the_config_loads(tmp_path: Path) -> None:
    path = tmp_path / "my_config.json"
    path.write_text(example("json"), encoding="utf-8")
    config = read_config(path)
    assert isinstance(config.dataset, DatasetConfig)
    assert config.dataset.photos == tmp_path / "my/photos"
    assert set(config.heads) == {"severity", "location", "damage_type"}


def test_the_label_table_and_the_label_file_load(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text(example("csv"), encoding="utf-8")
    assert read_label_table(tmp_path / "labels.csv").photos == ("a.jpg", "b.jpg", "c.jpg")
    (tmp_path / "location.txt").write_text(example("text"), encoding="utf-8")
    assert read_label_file(tmp_path / "location.txt").mirror == (0, 1, 3, 2)


def test_every_file_that_is_linked_or_named_as_a_config_is_there() -> None:
    for name in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (REPO / name).exists(), f"README.md links to {name}"
