"""The list in carclf/__init__.py is the architecture: imports only point up it, and rooms stay small."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import carclf

REPO = Path(__file__).resolve().parents[1]
PACKAGE = REPO / "carclf"
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")
ROOMS = re.findall(r"^    ([a-z_]+)/? {2,}\S", carclf.__doc__ or "", flags=re.MULTILINE)
MOST_LINES, MOST_FUNCTION_LINES, MOST_ARGUMENTS = 320, 50, 6  # style: about 300, 40 and 6
LIGHT = ("config", "labels", "metrics", "intervals", "rundir", "groups", "folds")
HEAVY = ("tensorflow", "keras", "tf_keras", "tensorflow_hub", "openvino", "matplotlib")


def room_of(path: Path) -> str:
    """carclf/annotations/via.py -> annotations; carclf/folds.py -> folds."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def position(room: str) -> int:
    assert room in ROOMS, f"carclf/__init__.py has no line for {room}"
    return ROOMS.index(room)


def imported_modules(path: Path) -> Iterator[str]:
    """The parts behind `carclf.` of everything that a file imports from the package, wherever it does."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name[7:] for name in node.names if name.name.startswith("carclf."))
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports relatively"
            if node.module == "carclf":
                yield from (name.name for name in node.names if name.name != "__version__")
            elif node.module and node.module.startswith("carclf."):
                names = [f"{node.module[7:]}.{name.name}" for name in node.names]
                yield from {name if is_module(name) else node.module[7:] for name in names}


def is_module(name: str) -> bool:
    path = PACKAGE.joinpath(*name.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def relative(path: Path) -> str:
    return str(path.relative_to(REPO))


def test_the_list_names_every_module_once_and_no_other() -> None:
    assert len(ROOMS) == len(set(ROOMS))
    assert sorted(ROOMS) == sorted({room_of(path) for path in MODULES})


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_imports_only_point_up_the_list(path: Path) -> None:
    own = position(room_of(path))
    below = [name for name in imported_modules(path) if position(name.split(".")[0]) > own]
    assert not below, f"{relative(path)} imports what is below it: {below}"


@pytest.mark.parametrize("room", sorted(path.name for path in PACKAGE.iterdir() if (path / "__init__.py").is_file()))
def test_within_a_package_no_module_imports_in_a_circle(room: str) -> None:
    imports = {
        f"{room}.{path.stem}" if path.stem != "__init__" else room: {
            name for name in imported_modules(path) if name.split(".")[0] == room
        }
        for path in (PACKAGE / room).glob("*.py")
    }
    while leaves := {name for name, needed in imports.items() if not needed & set(imports)}:
        imports = {name: needed for name, needed in imports.items() if name not in leaves}
    assert not imports, f"these import each other: {imports}"


def test_the_command_line_and_benchmarks_use_the_package_by_its_modules() -> None:
    for path in [REPO / "main.py", *(REPO / "benchmarks").glob("*.py")]:
        assert all(is_module(name) for name in imported_modules(path))


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_modules_and_functions_stay_small(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= MOST_LINES, f"{relative(path)} has {lines} lines: split it by idea"
    for function in functions(path):
        lines = (function.end_lineno or 0) - function.lineno + 1
        assert lines <= MOST_FUNCTION_LINES, f"{relative(path)}: {function.name} has {lines} lines"


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_functions_take_few_arguments(path: Path) -> None:
    for function in functions(path):
        names = [one.arg for one in [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]]
        taken = [name for name in names if name not in ("self", "cls")]
        assert len(taken) <= MOST_ARGUMENTS, f"{relative(path)}: {function.name} takes {len(taken)} arguments"


def test_no_module_is_a_drawer_for_everything() -> None:
    assert not {path.stem for path in MODULES} & {"utils", "util", "helpers", "common", "misc"}


def test_light_modules_import_nothing_heavy() -> None:
    code = f"import sys, {', '.join(f'carclf.{name}' for name in LIGHT)}\n" + (
        f"print(*[name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_the_version_is_written_once() -> None:
    project = tomllib.loads((REPO / "pyproject.toml").read_text(encoding="utf-8"))
    assert "version" in project["project"]["dynamic"]
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "carclf.__version__"}
    assert re.fullmatch(r"\d+\.\d+\.\d+", carclf.__version__)
    changelog = (REPO / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## {re.escape(carclf.__version__)}\b", changelog, flags=re.MULTILINE)


def test_every_dependency_has_its_reason() -> None:
    reasons = (REPO / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for file in ("requirements.txt", "requirements-dev.txt", "requirements-export.txt"):
        for line in (REPO / file).read_text(encoding="utf-8").splitlines():
            if line and not line.startswith(("#", "-r ")):
                name = re.split(r"[~<>= ]", line)[0]
                assert f"| {name} |" in reasons, f"CONTRIBUTING.md has no line for {name}"
