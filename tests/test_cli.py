import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from carclf import __version__, cli
from carclf.arguments import parse_arguments
from carclf.commands import COMMANDS, predict, run
from tests.drawn_set import REPO, call_main


def parsed(*words: str) -> Any:
    return parse_arguments(words, COMMANDS)


def test_without_words_it_is_the_main_job_with_the_default_config() -> None:
    options = parsed()
    assert options.command is run.execute
    assert options.config == Path("application_config.json")
    assert (options.quiet, options.debug) == (False, False)


@pytest.mark.parametrize("words", [["--quiet"], ["--config", "c.json"], ["--config=c.json", "--debug"], ["run"]])
def test_options_alone_are_the_main_job(words: list[str]) -> None:
    assert parsed(*words).command is run.execute


@pytest.mark.parametrize(
    "words",
    [
        ["a.jpg", "b.jpg", "--config", "c.json", "--overlays", "o"],
        ["--config=c.json", "a.jpg", "b.jpg", "--overlays=o"],
        ["--overlays", "o", "a.jpg", "--config", "c.json", "b.jpg"],
        ["a.jpg", "--debug", "b.jpg", "--overlays", "o", "--config", "c.json"],
        ["predict", "a.jpg", "--quiet", "b.jpg", "--overlays", "o", "--config", "c.json"],
        ["--config", "c.json", "predict", "--overlays", "o", "a.jpg", "b.jpg"],
    ],
)
def test_photos_stand_anywhere_among_the_options(words: list[str]) -> None:
    options = parsed(*words)
    assert options.command is predict.execute
    assert options.photos == [Path("a.jpg"), Path("b.jpg")]
    assert (options.config, options.overlays) == (Path("c.json"), Path("o"))


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_a_first_word_that_names_a_command_is_the_command(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).mkdir()  # even where there is a folder of that name
    needed = {"evaluate": ["--photos", "p", "--labels", "l"], "backbone": ["--to", "m"], "demo": ["--to", "d"]}
    needed |= {"import": ["s", "--format", "auto", "--to", "d"], "prepare": ["--to", "d"]}
    needed |= {"export": ["--format", "onnx", "--to", "d"]}
    rest = needed.get(name, [])
    assert parsed(name, *rest).command is parsed("--quiet", name, *rest).command
    assert parsed(f"./{name}").command is predict.execute


@pytest.mark.parametrize(
    ("words", "debug"),
    [
        (["--debug"], True),
        (["--debug", "True"], True),
        (["--debug", "False"], False),
        (["--debug=false"], False),
        (["--debug", "--quiet"], True),
    ],
)
def test_debug_is_a_flag_that_also_takes_the_predecessors_words(words: list[str], debug: bool) -> None:
    options = parsed(*words)
    assert options.debug is debug
    assert options.command is run.execute


def test_a_photo_behind_debug_is_a_photo() -> None:
    options = parsed("--debug", "a.jpg")
    assert options.debug
    assert options.photos == [Path("a.jpg")]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["evalaute", "--photos", "x"], '"evalaute" is neither a command nor .* Did you mean "evaluate"?'),
        (["--quiet", "prdict"], 'Did you mean "predict"?'),
        (["predict", "--modle", "x"], '--modle is not understood: did you mean "--model"? All options: '),
        (["evaluate"], "--photos, --labels"),
        (["--debug=perhaps"], '"perhaps" is neither True nor False'),
        (["demo", "--to", "x", "--count", "many"], "invalid int value: 'many'"),
        (["--config"], "expected one argument"),
        (["predict", "--config", "CONFIG"], "no photo was given"),
        (["nowhere.jpg", "nor here.jpg", "--config", "CONFIG"], "nowhere.jpg: no such file or folder."),
        (["--config", "nowhere.json"], "nowhere.json: no such file"),
    ],
)
def test_a_wrong_word_is_one_line_and_exit_code_2(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [str(REPO / "application_config.json") if word == "CONFIG" else word for word in words]
    assert cli.main(given) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == (2 if "nor here.jpg" in words else 1)
    for part in message.split(" .* "):
        assert part in err


def test_the_version_and_the_help_pages(capsys: pytest.CaptureFixture[str]) -> None:
    for words, shown in (
        (["--version"], f"carclf {__version__}\n"),
        (["--quiet", "--help"], "score a trained model on a separate labelled set"),
        (["predict", "-h"], "--overlays"),
        (["a.jpg", "--help"], "--overlays"),
    ):
        with pytest.raises(SystemExit) as left:
            cli.main(words)
        assert left.value.code == 0
        assert shown in capsys.readouterr().out


def test_a_bug_keeps_its_traceback_and_ctrl_c_does_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(path: Path) -> None:
        raise KeyboardInterrupt

    def fail(path: Path) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(run, "read_config", stop)
    assert cli.main([]) == 130
    assert capsys.readouterr().err == "Stopped. Run the same command again to go on where it was.\n"
    monkeypatch.setattr(run, "read_config", fail)
    with pytest.raises(ZeroDivisionError):
        cli.main([])


def test_debug_shows_the_traceback_of_a_users_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--debug", "--config", "nowhere.json"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("Traceback")
    assert err.endswith("ConfigError: nowhere.json: no such file.\n")


@pytest.mark.parametrize(("words", "level"), [([], 20), (["--quiet"], 30), (["--debug"], 10)])
def test_quiet_and_debug_set_what_is_said(words: list[str], level: int) -> None:
    cli.main([*words, "--config", "nowhere.json"])
    assert logging.getLogger("carclf").level == level


def test_the_program_itself_without_anything_heavy(tmp_path: Path) -> None:
    config = tmp_path / "application_config.json"
    config.write_text(json.dumps({"models": ["small"]}))
    done = call_main(cwd=tmp_path)  # the default config is that of the working folder
    assert (done.returncode, done.stdout) == (2, "")
    lines = done.stderr.splitlines()
    assert [line.split(": ")[:2] for line in lines] == [
        ["application_config.json", key] for key in ("dataset", "heads", "models[0]")
    ]
    heavy = "import sys, carclf.cli; print(*{'numpy', 'tensorflow', 'openvino', 'pandas'} & set(sys.modules))"
    words = [sys.executable, "-c", heavy]
    imported = subprocess.run(words, cwd=REPO, env=os.environ, capture_output=True, text=True, check=True)
    assert imported.stdout.strip() == ""
