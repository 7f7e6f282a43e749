"""Words of the command line -> a command and its options, as people write them; a wrong one is one clear line."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from carclf import __version__
from carclf.errors import CarclfError, did_you_mean

DEFAULT_CONFIG = "application_config.json"
PROGRAM = "python main.py"
TRUE, FALSE = ("true", "1", "yes"), ("false", "0", "no")
Commands = Mapping[str, tuple[str, Callable[[argparse.ArgumentParser], None]]]


class ArgumentError(CarclfError):
    """A word of the command line."""


class Parser(argparse.ArgumentParser):
    """argparse, whose errors are like all others: one line, no usage page."""

    def error(self, message: str) -> NoReturn:
        """Raises the error in place of leaving the process."""
        end = "" if message.endswith((".", "?")) else "."
        raise ArgumentError(f"{message}{end} All options: {self.prog} --help")


def parse_arguments(given: Sequence[str], commands: Commands) -> argparse.Namespace:
    """Reads the arguments; without a command, photos mean predict and none means the main job.

    Args:
        given: the words behind the program's name.
        commands: name -> (help, what adds the options of that command); `run` and `predict` are among them.

    Raises:
        ArgumentError: if a word is not understood.
    """
    options, rest = _common_options().parse_known_args(_spell_out_debug(given))
    if rest and rest[0] in commands:
        name, *rest = rest
    elif rest and rest[0] in ("-h", "--help", "--version"):
        name = ""
    else:
        name = "predict" if rest else "run"
        if rest:
            _check_first_word(rest[0], commands)
    if not name:
        return _whole_program(commands).parse_args(rest)
    parser = _command_parser(name, commands)
    options, unknown = parser.parse_known_intermixed_args(rest, options)
    if unknown:
        known = [word for action in parser._actions for word in action.option_strings]
        parser.error(f"{unknown[0]} is not understood{did_you_mean(unknown[0], known).replace(' D', ': d')}")
    return options


def _command_parser(name: str, commands: Commands) -> Parser:
    help_text, add_options = commands[name]
    common = [_common_options()]
    parser = Parser(prog=f"{PROGRAM} {name}", description=help_text, parents=common, allow_abbrev=False)
    add_options(parser)
    return parser


def _whole_program(commands: Commands) -> argparse.ArgumentParser:
    """For the help page and the version."""
    parser = Parser(
        prog=PROGRAM,
        description="Severity, location, damage type and masks of car damage. Without a command: trains and judges "
        "the models of the config; with photos or folders: classifies them.",
        parents=[_common_options()],
    )
    parser.add_argument("--version", action="version", version=f"carclf {__version__}")
    listed = parser.add_subparsers(metavar="command", title="commands (each has its own --help)")
    for name, (help_text, _) in commands.items():
        listed.add_parser(name, help=help_text)
    return parser


def _common_options() -> Parser:
    common = Parser(prog=PROGRAM, add_help=False, allow_abbrev=False)
    common.add_argument("--config", type=Path, default=Path(DEFAULT_CONFIG), help=f"default: {DEFAULT_CONFIG}")
    common.add_argument("--quiet", action="store_true", help="only warnings and errors; no table, no progress bars")
    common.add_argument(
        "--debug", type=true_or_false, nargs="?", const=True, default=False, help="show tracebacks and all messages"
    )
    return common


def true_or_false(word: str) -> bool:
    """Reads the value of --debug, which the predecessor demanded."""
    if word.lower() not in TRUE + FALSE:
        raise argparse.ArgumentTypeError(f'"{word}" is neither True nor False')
    return word.lower() in TRUE


def _spell_out_debug(given: Sequence[str]) -> list[str]:
    """Writes a bare --debug as --debug=true, so that a photo behind it is no value of it."""
    spelled = list(given)
    for place, word in enumerate(spelled):
        if word == "--debug" and "".join(spelled[place + 1 : place + 2]).lower() not in TRUE + FALSE:
            spelled[place] = "--debug=true"
    return spelled


def _check_first_word(word: str, commands: Commands) -> None:
    """Tells a mistyped command from a photo."""
    guess = did_you_mean(word, commands)
    if guess and not Path(word).exists():
        raise ArgumentError(
            f'"{word}" is neither a command nor a photo or folder.{guess} Commands: {", ".join(commands)}.'
        )
