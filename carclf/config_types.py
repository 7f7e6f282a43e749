"""The building blocks of config.py: values that are refused where JSON says something else than was meant."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Strict,
    StringConstraints,
    ValidationInfo,
)

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"  # heads and backbones name files and folders


def _resolve_path(value: Any, info: ValidationInfo) -> Path:
    """Makes a path absolute: relative ones start at the config file's folder."""
    if not isinstance(value, str | Path) or not str(value).strip() or "\0" in str(value):
        raise ValueError("must be a path, written as text")
    folder = (info.context or {}).get("folder", Path())
    try:
        return Path(folder) / Path(value).expanduser()
    except RuntimeError as error:  # "~nobody/photos"
        raise ValueError("must be a path; nobody of the name after ~ is known here") from error


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else [value]


def _check_range(value: tuple[float, float]) -> tuple[float, float]:
    if value[0] >= value[1]:
        raise ValueError("must be [low, high] with low < high")
    return value


# Strict: 1 is no true, "1" is no 1. Lists and paths have no form of their own in JSON and stay lax.
Whole = Annotated[int, Strict()]
Number = Annotated[float, Strict()]
Flag = Annotated[bool, Strict()]
Text = Annotated[str, Field(min_length=1)]
Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN, max_length=64)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
ConfigPath = Annotated[Path, BeforeValidator(_resolve_path)]
Range = Annotated[tuple[Number, Number], AfterValidator(_check_range)]
OneOrMore = BeforeValidator(_as_list)


class Section(BaseModel):
    """What all parts of the config share: frozen, no unknown keys, no NaN or infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
