"""The model card: data, folds, scores with intervals, limits; made from the files of the run and nothing else."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from carclf.config import Config
from carclf.config_checks import STANDALONE
from carclf.config_data import DemoConfig
from carclf.errors import counted
from carclf.files import write_text
from carclf.hub import EMBEDDED
from carclf.pixels import NO_BACKBONE
from carclf.predict import Predictor
from carclf.report_text import name_with_sense, score
from carclf.rundir import RunDir
from carclf.scores import Array
from carclf.selective import ALWAYS, NEVER

CARD = "model_card.md"
ON_DISK = ("local", EMBEDDED)
"""Sources of backbones whose place is a folder of this machine: its name alone is told."""
_KINDS = {"categorical": "one of the classes", "multi_label": "any of the classes", "segmentation": "mask of pixels"}
_ERRORS = {
    "categorical": "share of wrong answers",
    "multi_label": "share of answers with a wrong label",
    "segmentation": "1 - Dice score of a photo",
}
_SCORES = ("precision", "recall", "f1")
_LIMITS = {
    "savedmodel": (
        "The signature `serving_default` reads JPEG and PNG files of any kind as `carclf predict` does. A file of "
        "another kind (WebP, TIFF, BMP, GIF, HEIC, AVIF) or a broken one is an error of the whole request; such photos "
        "are for the signature `pixels`, read elsewhere as labels.json says."
    ),
}
_OTHERWISE = (
    "It takes pixels: photos must be read as labels.json says, or its probabilities are others. example.py does so."
)
_REGIONS = (
    "The masks of {names} come as grids of probabilities. The regions of a mask are left to the program that runs it; "
    "labels.json has their settings."
)
_TILES = (
    "`carclf predict` looks at large photos in tiles for {names}, and was judged so; here a photo is looked at as a "
    "whole. labels.json has the settings of the tiles."
)


@dataclass(frozen=True)
class ExportFacts:
    """What the card says of the file itself.

    Attributes:
        format: one of formats.FORMATS.
        precision: of its weights or its arithmetic.
        difference: largest one between its answers and those of predict, on drawn pictures.
        loss: what precision.measure_loss has found; None for float32.
    """

    format: str
    precision: str
    difference: float
    loss: Mapping[str, Any] | None


def write_card(folder: Path, config: Config, predictor: Predictor, facts: ExportFacts) -> None:
    """Writes model_card.md.

    Args:
        folder: of the exported model.
        config: that it was trained with.
        predictor: the trained model.
        facts: what is to be said of the file itself.

    Raises:
        RunDirError: if the run has no results.json.
    """
    write_text(folder / CARD, make_card(config, predictor, facts))


def make_card(config: Config, predictor: Predictor, facts: ExportFacts) -> str:
    """The text of model_card.md: the same for the same run and facts."""
    trees, answering = _read_results(config, predictor), {**predictor.heads, **predictor.mask_heads}
    own = trees.get(predictor.model) or next(iter(trees.values()))
    heads = [{"name": name, **_find_head(trees, name)} for name in answering]
    text: str = _load_template().render(
        tree=own,
        heads=heads,
        export=_describe_export(predictor, facts),
        drawn=isinstance(config.dataset, DemoConfig),
        backbones=_list_backbones(trees),
        left_table=_left_table([head for head in heads if "risk_coverage" in head]),
        sureness=_list_sureness(predictor, heads),
        never=[name for name, head in answering.items() if head.least_confidence >= NEVER],
        sizes=sorted({backbone.image_size for backbone in predictor.backbones}),
        limits=_list_limits(predictor, facts.format),
    )
    return text


def _load_template() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(  # of Markdown: nothing is escaped but the cells of tables
        loader=PackageLoader("carclf.export", "."),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "cell": escape_cell,
        "counted": counted,
        "foreground": _foreground,
        "label_table": _label_table,
        "metric_table": _metric_table,
        "score": score,
        "thousands": "{:,}".format,
        "words": _KINDS.__getitem__,
    }
    return environment.get_template(CARD)


def _read_results(config: Config, predictor: Predictor) -> dict[str, dict[str, Any]]:
    """Run -> its results.json, of those that the model's heads come from."""
    runs = [predictor.model] if predictor.backbone is not None else []
    if any(head.looking.backbone.source.source == NO_BACKBONE for head in predictor.mask_heads.values()):
        runs.append(STANDALONE)
    return {run: RunDir(config.results / run).read_json("results.json") for run in runs}


def _find_head(trees: Mapping[str, Mapping[str, Any]], name: str) -> dict[str, Any]:
    return next(dict(tree["heads"][name]) for tree in trees.values() if name in tree["heads"])


def _describe_export(predictor: Predictor, facts: ExportFacts) -> dict[str, Any]:
    return {
        "format": facts.format,
        "precision": facts.precision,
        "difference": f"{facts.difference:.1e}",
        "model_sha256": predictor.model_sha256,
        "loss": facts.loss or {"heads": {}, "not_measured": []},
        "loss_rows": _loss_rows(facts.loss, facts.precision) if facts.loss else [],
    }


def _loss_rows(loss: Mapping[str, Any], precision: str) -> list[list[str]]:
    rows = []
    for name, head in loss["heads"].items():
        (pair,) = head["pairs"]
        for metric, row in pair["metrics"].items():
            before, after = (head["means"][pair[place]][metric] for place in ("first", "second"))
            far = row["difference"]
            change = "-" if far is None else f"{far:+.4f}"  # None: the photos do not define the metric
            cells = [score(before), score(after), change, _interval(row["interval"], 4)]
            rows.append([name, name_with_sense(metric), *cells])
    return rows


def _list_backbones(trees: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The networks that look at photos; of a folder on the disk only its name."""
    parts = []
    for tree in trees.values():
        for part in tree["backbone"].get("parts", [tree["backbone"]]):
            where = PurePath(part["where"]).name if part["source"] in ON_DISK else part["where"]
            parts.append({**part, "where": where, "heads": ", ".join(tree["heads"])})
    return parts


def _list_limits(predictor: Predictor, format_name: str) -> list[str]:
    in_tiles = [name for name, head in predictor.mask_heads.items() if head.looking.tile is not None]
    limits = [_LIMITS.get(format_name, _OTHERWISE)]
    limits += [_REGIONS.format(names=", ".join(predictor.mask_heads))] if predictor.mask_heads else []
    return limits + ([_TILES.format(names=", ".join(in_tiles))] if in_tiles else [])


def _list_sureness(predictor: Predictor, heads: Sequence[Mapping[str, Any]]) -> list[str]:
    """From where on each head answers, and what its confidence is worth out of fold."""
    answering: Mapping[str, Any] = {**predictor.heads, **predictor.mask_heads}
    lines = []
    for head in heads:
        parts = [f"{head['name']} {_told(answering[head['name']])}"]
        if "risk_coverage" in head:
            parts += _told_out_of_fold(head["risk_coverage"])
        lines.append(" ".join(parts))
    return lines


def _told_out_of_fold(part: Mapping[str, Any]) -> Iterator[str]:
    told, area = part["told"], part["aurc"]
    if told is not None:
        left, precision = 100 * told["left"]["value"], score(told["precision"]["value"])
        yield f"Out of fold that left {left:.1f} % of the photos to people; precision of the rest: {precision}."
    value, random = score(area["value"]), score(area["random"])
    yield f"Area under its risk-coverage curve: {value}; of photos left at random: {random}."
    if area["value"] >= area["random"]:
        yield "**Its confidence ranks photos no better than chance: do not rely on it.**"


# -- what the template asks for


def escape_cell(text: object) -> str:
    """A text for a cell of a table: a | would end it."""
    return str(text).replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")


def _foreground(head: Mapping[str, Any]) -> str:
    if "photos_with_foreground" not in head:
        return ""
    return f", {head['photos_with_foreground']:,} of them with something to mark"


def _told(head: Any) -> str:
    """From where on a head answers; it is a heads.Head or a mask_heads.MaskHead."""
    if head.least_confidence <= ALWAYS:
        return "answers every photo, however unsure it is; the confidence is told."
    if head.least_confidence >= NEVER:
        return "leaves every photo to people: no confidence met its target."
    return f"leaves photos to people where its confidence is below {head.least_confidence:.3f} (min_probability)."


def _label_table(head: Mapping[str, Any]) -> str:
    """The classes: how many photos have each, and how it is found."""
    rows = [["class", "photos", *_SCORES]]
    rows += [[name, str(row["n"]), *(score(row[key]) for key in _SCORES)] for name, row in head["labels"].items()]
    return _table(rows)


def _metric_table(head: Mapping[str, Any]) -> str:
    rows = [["metric", "mean", "95 % interval", "baseline", "pooled"]]
    for name, metric in head["metrics"].items():
        ends = _interval(metric["interval"], 3)
        rows.append([name_with_sense(name), *map(score, (metric["mean"],)), ends, score(metric["baseline"])])
        rows[-1].append(score(metric["pooled"]))
    return _table(rows)


def _left_table(heads: Sequence[Mapping[str, Any]]) -> str:
    """The error of the rest when the least sure photos are left to people, a row per head; "" without heads."""
    lines = [head["risk_coverage"]["left_to_people"] for head in heads]
    rows = [["least sure photos left to people", *(f"{line['percent']} %" for line in lines[0])]] if lines else []
    for head, errors in zip(heads, lines, strict=True):
        rows.append([f"{head['name']}: {_ERRORS[head['kind']]}", *(score(line["error"]) for line in errors)])
    return _table(rows) if rows else ""


def _interval(ends: Sequence[float | None] | Array, digits: int) -> str:
    return " to ".join("-" if end is None else f"{end:.{digits}f}" for end in ends)


def _table(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; the first row is its head."""
    lines = [f"| {' | '.join(map(escape_cell, row))} |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])
