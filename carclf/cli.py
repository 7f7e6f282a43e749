"""The command line: arguments, logging, errors in one line, exit codes. The config is read before anything heavy."""

import argparse
import io
import logging
import os
import sys
import traceback
from collections.abc import Callable, Sequence

from carclf.arguments import parse_arguments
from carclf.commands import COMMANDS
from carclf.commands.exit_codes import DONE, STOPPED, WRONG_INPUT
from carclf.errors import CarclfError


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns 0 (done) or 2 (the input is wrong). A bug is raised, and Python exits with 1."""
    debug = False
    try:
        options = parse_arguments(sys.argv[1:] if arguments is None else arguments, COMMANDS)
        debug = options.debug
        if arguments is None and isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")  # names of files need not be text
        if arguments is None and not debug:
            _hush_native_libraries()
        _set_up_logging(options.quiet, debug)
        run: Callable[[argparse.Namespace], int] = options.command
        return run(options)
    except CarclfError as error:
        if debug:
            traceback.print_exc()
        else:
            print(error, file=sys.stderr)
        return WRONG_INPUT
    except KeyboardInterrupt:
        print("Stopped. Run the same command again to go on where it was.", file=sys.stderr)
        return STOPPED
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # whoever read our answers has enough of them
        return DONE


def _set_up_logging(quiet: bool, debug: bool) -> None:
    """Messages go to stderr; TensorFlow's own noise is switched off before it is imported."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    root = logging.getLogger("carclf")
    root.setLevel(logging.DEBUG if debug else logging.WARNING if quiet else logging.INFO)
    root.handlers, root.propagate = [handler], False
    if not debug:
        logging.getLogger("tensorflow").setLevel(logging.ERROR)


def _hush_native_libraries() -> None:
    """TensorFlow's C++ parts print to file 2 whatever one sets: it goes nowhere, Python's stderr stays."""
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1, errors="backslashreplace")
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
