"""What may stand behind the question mark, and what is said of what may not."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from carclf.errors import did_you_mean
from carclf.serve.rendering import MaskFormat, Wanted


class PredictParameters(BaseModel):
    """What is wanted of photos."""

    model_config = ConfigDict(extra="forbid")

    masks: MaskFormat = Field(default="none", description="masks as indexed PNGs in base64, or as COCO's run lengths")
    overlays: bool = Field(default=False, description="each photo with its mask drawn over it, as a PNG in base64")
    case: bool = Field(default=False, description="the photos show one car: one combined answer, too")

    @property
    def wanted(self) -> Wanted:
        """What is wanted beside the answers."""
        return Wanted(self.masks, self.overlays)


def describe_problems(problems: Sequence[Mapping[str, Any]]) -> str:
    """A sentence of what pydantic says of parameters."""
    return " ".join(_describe(problem) for problem in problems)


def _describe(problem: Mapping[str, Any]) -> str:
    name, known = str(problem["loc"][-1])[:80], list(PredictParameters.model_fields)
    if problem["type"] == "extra_forbidden":
        return f"{name}: unknown parameter.{did_you_mean(name, known)} Known: {', '.join(known)}."
    given = str(problem.get("input", ""))[:80]
    return f'{name}: "{given}" cannot be used. {problem["msg"].rstrip(".")}.'
