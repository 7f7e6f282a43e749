"""What is told of the model: its heads, the limits of a request, how well it was judged."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from carclf.cases import HeadRule
from carclf.config import Config
from carclf.heads import Head
from carclf.label_file import LabelSet
from carclf.mask_heads import MaskHead
from carclf.mask_images import mask_colors
from carclf.predict import Predictor
from carclf.serve.settings import Limits


@dataclass(frozen=True)
class ModelFacts:
    """What clients can ask of a model.

    Attributes:
        models: the body of /v1/models.
        rules: head -> how several photos of one car are combined.
        report: the body of /v1/report; None = the run has no results any more.
        pictures: name -> file, of the pictures of the report.
    """

    models: Mapping[str, Any]
    rules: Mapping[str, HeadRule]
    report: Mapping[str, Any] | None
    pictures: Mapping[str, Path] = field(repr=False)


def gather_facts(predictor: Predictor, config: Config, limits: Limits) -> ModelFacts:
    """Gathers them once: the report is that of the model as it was opened, whatever is trained in the meantime."""
    rules = {
        name: HeadRule(config.heads[name].none_label, head.least_confidence)
        for name, head in (*predictor.heads.items(), *predictor.mask_heads.items())
    }
    heads = {
        **{name: _label_facts(head, rules[name].none_label) for name, head in predictor.heads.items()},
        **{name: _mask_facts(head) for name, head in predictor.mask_heads.items()},
    }
    models = {
        "models": [{"name": predictor.model, "sha256": predictor.model_sha256, "heads": heads}],
        "limits": {"bytes": limits.most_bytes, "pixels": limits.most_pixels, "photos": limits.most_photos},
    }
    pictures = {path.name: path for path in sorted(config.images.glob(f"{predictor.model}_*.png"))}
    return ModelFacts(models, rules, _read_report(config.results / predictor.model, list(pictures)), pictures)


def _label_facts(head: Head, none_label: str | None) -> dict[str, Any]:
    facts = {"kind": head.kind, "min_probability": head.least_confidence, **_label_set_facts(head.label_set)}
    return facts | ({"none_label": none_label} if none_label is not None else {})


def _mask_facts(head: MaskHead) -> dict[str, Any]:
    colors = mask_colors(head.label_set)
    return {
        "kind": "segmentation",
        "min_probability": head.least_confidence,
        "region_min_probability": head.min_probability,
        **_label_set_facts(head.label_set),
        "colors": {name: list(colors[index]) for index, name in enumerate(head.label_set.names, 1)},
    }


def _label_set_facts(label_set: LabelSet) -> dict[str, Any]:
    mirror = label_set.mirror_names
    return {"classes": list(label_set.names)} | ({"mirror": mirror} if mirror else {})


def _read_report(run: Path, pictures: list[str]) -> dict[str, Any] | None:
    try:
        results = json.loads((run / "results.json").read_text(encoding="utf-8"))
        text = (run / "results.txt").read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None
    return {"results": results, "text": text, "pictures": pictures}
