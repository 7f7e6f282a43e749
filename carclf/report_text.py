"""The tree of results.json -> results.txt. Adds nothing that the tree does not say."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from carclf.errors import listed
from carclf.metrics import LOWER_IS_BETTER

Tree = Mapping[str, Any]

RULE_WIDTH = 100
MOST_REASONS = 10  # reasons for skipping that are printed; results.json has all
OPENINGS = {
    "categorical": ("Categorical accuracies", "accuracy"),
    "multi_label": ("Binary accuracies", "binary_accuracy"),
    "segmentation": ("Foreground Dice", "dice"),
}
HOW_TO_READ = """\
Every figure is of photos that the head which answers has not seen. mean: over the folds (of masks: over all
photos at once, but for means over photos); ±: half of the 95 % interval, a percentile bootstrap of that mean,
{draws:,} draws of groups within folds; baseline: the best constant answer from the training part; pooled: over
all photos.
{note}"""
HOW_TO_READ_SEPARATE = """\
Every figure is of a separate set of photos, no near-duplicate of a training photo among them. ±: half of the
95 % interval, a percentile bootstrap, {draws:,} draws of groups; baseline: the best constant answer from the
training photos.
{note}"""


def results_text(tree: Tree) -> str:
    """Writes results.txt (or evaluation.txt) from the tree of `report.run_results`."""
    separate = bool(tree.get("separate_set"))
    parts = [_header_text(tree)]
    how = HOW_TO_READ_SEPARATE if separate else HOW_TO_READ
    parts.append(how.format(**tree["intervals"]))
    for name, head in tree["heads"].items():
        parts.append(_head_text(name, head, tree))
    return "\n\n".join(parts) + "\n"


def _header_text(tree: Tree) -> str:
    folds = "a separate set" if tree.get("separate_set") else f"{tree['folds']} folds"
    lines = [
        f"carclf {tree['carclf_version']}, model {tree['model']}",
        "",
        *_backbone_lines(tree["backbone"]),
        *(f"masks      {name}: {architecture}" for name, architecture in tree.get("architectures", {}).items()),
        f"photos     {tree['photos']} in {tree['groups']} groups of near-duplicates and same cars; {folds}",
        *_seen_lines(tree.get("left_out_as_seen_in_training")),
        *_skipped_lines(tree["skipped"]),
        f"seed       {tree['seed']}",
        f"versions   {', '.join(f'{name} {version}' for name, version in tree['versions'].items())}",
        f"duration   {', '.join(f'{name} {seconds:.1f} s' for name, seconds in tree['duration_s'].items())}",
    ]
    return "\n".join(lines)


def _backbone_lines(backbone: Tree) -> list[str]:
    if backbone["source"] == "none":
        return ["backbone   none: networks that look at the photo itself, trained from fresh weights"]
    seen = "HAS seen drawn cars" if backbone["seen_drawn_cars"] else "has not seen drawn cars"
    size, parts = backbone["image_size"], backbone.get("parts", [backbone])  # of a joined one each has its own range
    ranges = [f"{low:g} to {high:g}" for low, high in (part["input_range"] for part in parts)]
    engines = [f"{part['engine']} {part['engine_version']}" for part in parts]
    return [
        f"backbone   {backbone['source']}: {backbone['where']}; {seen}",
        f"           sha256 {backbone['sha256']}",
        f"           {size} × {size} px, input range {_each(ranges)}, engine {_each(engines)}",
    ]


def _each(values: Sequence[str]) -> str:
    """The value that all parts of a backbone share, or every part's, in their order."""
    return values[0] if len(set(values)) == 1 else " + ".join(values)


def _seen_lines(seen: int | None) -> list[str]:
    """How many photos of a separate set the training had seen; nothing for a run."""
    if seen is None:
        return []
    return [f"left out   {seen} that show what a photo of the training shows"]


def _skipped_lines(skipped: Sequence[Tree]) -> list[str]:
    if not skipped:
        return ["skipped    none"]
    told = [(str(photo["name"]), str(photo["reason"]).rpartition(f"{photo['name']}: ")[2]) for photo in skipped]
    reasons = Counter(reason for _, reason in told)
    lines = [f"skipped    {len(skipped)} photo{'s' if len(skipped) > 1 else ''}, used for nothing:"]
    for reason, number in reasons.most_common(MOST_REASONS):
        names = [name for name, given in told if given == reason]
        lines.append(f"           {number} {reason}: {listed(names)}")
    if len(reasons) > MOST_REASONS:
        lines.append(f"           and {len(reasons) - MOST_REASONS} more reasons, all in results.json")
    return lines


def _head_text(name: str, head: Tree, tree: Tree) -> str:
    separate = bool(tree.get("separate_set"))
    parts = [f"{name} {'=' * (RULE_WIDTH - len(name) - 1)}"]
    if not separate:
        parts[0] += "\n" + opening_lines(head)
    size = f"{name}: {head['kind']}, {head['photos']} labelled photos in {head['groups']} groups"
    if "photos_with_foreground" in head:
        size += f", {head['photos_with_foreground']} of them with foreground"
    judged, folds = head["folds"], tree["folds"]
    if not separate and len(judged) < folds:
        size += f"; judged on folds {', '.join(map(str, judged))} of {folds} alone"
    parts += [size, _metrics_text(head), _labels_text(head), _confusion_text(head), _risk_coverage_text(head)]
    if head["choices"] and not separate:
        parts.append(_choices_text(head["choices"]))
    return "\n\n".join(parts)


def opening_lines(head: Tree) -> str:
    """The three lines that the predecessor's results.txt has, in its own words."""
    words, metric = OPENINGS[head["kind"]]
    best = head["best_iteration"]
    values = head["metrics"][metric]
    return (
        f"{words} for cross validation splits:  {values['folds']}\n"
        f"on average: {values['mean']}\n"
        f"best iteration: {best}        (counted from 1; printed for comparison, never used)"
    )


def _metrics_text(head: Tree) -> str:
    single = len(head["folds"]) == 1
    columns = ["metric", "mean", "", "95 % interval", "baseline", "pooled", "per fold"]
    rows = [columns[:5] if single else columns]
    for name, metric in head["metrics"].items():
        row = [
            name_with_sense(name),
            score(metric["mean"]),
            *interval_cells(metric),
            score(metric["baseline"]),
        ]
        if not single:
            row += [score(metric["pooled"]), " ".join(score(value) for value in metric["folds"])]
        rows.append(row)
    text = aligned(rows)
    if "calibration" in head:
        mean, pooled = (score(head["calibration"]["by_chance"][key]) for key in ("mean", "pooled"))
        text += (
            "\ncalibration_error: after temperature; _raw: before it. A perfectly calibrated head would show "
            f"{mean}\nas mean and {pooled} pooled, by the luck of few photos in each of the 15 bins."
        )
    if "nothing" in head:
        nothing = {name: score(value) for name, value in head["nothing"].items()}
        text += (
            f"\nPredicting nothing scores dice_coef_multiclass {nothing['dice_coef_multiclass']} and "
            f"categorical_crossentropy {nothing['categorical_crossentropy']}:\nboth count the background, as the "
            "published projects report them. Dice, IoU, precision and recall are of the damage alone.\n"
            f"Regions: found at IoU 0.5, with a probability of at least {head['min_probability']:g}; ap50, ap: COCO's, "
            "of all regions;\nproduced_rate: a region was produced in a photo with the class, wherever it lies: the "
            "published Mask R-CNN's accuracy."
        )
    return text


def name_with_sense(metric: str) -> str:
    """The metric's name, and a word where lower is better."""
    return f"{metric} (lower is better)" if metric in LOWER_IS_BETTER else metric


def interval_cells(metric: Tree) -> tuple[str, str]:
    """Half the interval's width and its two ends."""
    low, high = metric["interval"]
    half = None if low is None else (high - low) / 2
    return f"± {score(half)}", f"[{score(low)}, {score(high)}]"


LABEL_COLUMNS = ("precision", "recall", "f1", "ap", "auc", "threshold")
CLASS_COLUMNS = ("precision", "recall", "f1", "iou", "boundary_f1", "threshold")
REGION_COLUMNS = ("found", "ap50", "ap", "produced", "false_alarm")


def _labels_text(head: Tree) -> str:
    if head["kind"] != "segmentation":
        text = _table_of(head["labels"], "n", LABEL_COLUMNS)
        return text + "\nn: photos with the label; scores over all photos at once; threshold: mean over the folds"
    pixels = _table_of(head["labels"], "n", CLASS_COLUMNS, "photos")
    regions = _table_of(head["labels"], "regions", REGION_COLUMNS)
    return (
        f"{pixels}\nphotos: with the class; precision, recall, f1 (= Dice) and iou of its pixels\n\n{regions}\n"
        "regions: true ones; produced: share of the photos with the class in which a region of it was produced; "
        "false_alarm:\nthe same share of the photos without any damage"
    )


def _table_of(labels: Tree, count: str, columns: Sequence[str], called: str = "") -> str:
    rows = [["label", called or count, *columns]]
    for name, row in labels.items():
        rows.append([name, str(row[count]), *(score(row[key]) for key in columns)])
    return aligned(rows)


def _confusion_text(head: Tree) -> str:
    names, counts = head["class_names"], head["confusion"]
    if head["kind"] == "categorical":
        rows = [["true class \\ answer", *names, "correct"]]
        for place, (name, row) in enumerate(zip(names, counts, strict=True)):
            share = f"{100 * row[place] / sum(row):.1f} %" if sum(row) else "-"
            rows.append([name, *(str(count) for count in row), share])
        return "confusion matrix (photos)\n" + aligned(rows)
    rows = [["label", "truly off: off", "on", "truly on: off", "on"]]
    for name, matrix in zip(names, counts, strict=True):
        rows.append([name, *(str(count) for row in matrix for count in row)])
    what = "a region is there or not" if head["kind"] == "segmentation" else "2 × 2 per label"
    return f"confusion matrix (photos; {what})\n" + aligned(rows)


ERRORS = {
    "categorical": "share of photos whose label is wrong",
    "multi_label": "share of photos of which any label is wrong",
    "segmentation": "mean of 1 - Dice score of a photo; an empty mask where nothing is has none, else 1",
}
CONFIDENCES = {
    "categorical": "the probability of its label",
    "multi_label": "the probability that all labels, given or not, are right",
    "segmentation": "the mean probability of its marked cells; of an empty mask, that nothing is where it is likeliest",
}


def _risk_coverage_text(head: Tree) -> str:
    part, kind = head["risk_coverage"], head["kind"]
    rows = [["left to people", "answered", "error of the rest", "", "95 % interval"]]
    for line in part["left_to_people"]:
        rows.append([f"{line['percent']} %", str(line["answered"]), score(line["error"]), *interval_cells(line)])
    area = part["aurc"]
    half, ends = interval_cells(area)
    text = (
        f"the least sure photos left to people\n{aligned(rows)}\n"
        f"over all photos at once; error: {ERRORS[kind]};\n"
        f"how sure an answer is: {CONFIDENCES[kind]}.\n"
        f"AURC, the mean error over all shares: {score(area['value'])} {half} {ends}; photos left at random "
        f"{score(area['random'])},\nin the best order {score(area['perfect'])}: {score(area['excess'])} above that"
    )
    return text if part["told"] is None else f"{text}\n{_told_text(part['told'])}"


def _told_text(told: Tree) -> str:
    """How much is told, and how right it is, with the config's min_probability or target_precision."""
    target, least = told["target_precision"], told["min_probability"]
    if target is None:
        lines = [f"min_probability {least[0]:g}: answers that are less sure are left to people"]
    else:
        chosen = " ".join(score(value) for value in least)
        lines = [f"target_precision {target:g}: each fold chose its min_probability inside its training part: {chosen}"]
    left, precision = told["left"], told["precision"]
    share = [f"{100 * value:.1f}" for value in (left["value"], *left["interval"])]
    lines.append(
        f"left to people: {share[0]} % of the photos [{share[1]}, {share[2]}]; precision of the rest "
        f"{score(precision['value'])} {interval_cells(precision)[1]},\nof photos left at random "
        f"{score(precision['random'])}"
    )
    if told["unmet"]:
        plural = "s" if len(told["unmet"]) > 1 else ""
        folds = ", ".join(map(str, told["unmet"]))
        lines.append(
            f"NOT MET in fold{plural} {folds}: all photos are left to people there. Set a lower target_precision."
        )
    return "\n".join(lines)


def _choices_text(choices: Sequence[Tree]) -> str:
    flat = [_flat(choice) for choice in choices]
    keys = list(dict.fromkeys(key for choice in flat for key in choice))
    rows = [keys] + [[_setting(choice.get(key)) for key in keys] for choice in flat]
    title = "chosen inside each fold, from inner out-of-fold predictions of its training part"
    return f"{title}\n{aligned(rows)}"


def _flat(choice: Tree) -> dict[str, Any]:
    """{"thresholds": {"front": 0.4}} -> {"threshold front": 0.4}; leaves out what is None."""
    flat: dict[str, Any] = {}
    for key, value in choice.items():
        if isinstance(value, Mapping):
            flat |= {f"{key.removesuffix('s')} {name}": item for name, item in value.items()}
        elif value is not None:
            flat[key] = value
    return flat


def score(value: float | None) -> str:
    """A score with three digits behind the point, '-' for None."""
    return "-" if value is None else f"{value:.3f}"


def _setting(value: Any) -> str:
    """A chosen value: a float with four digits, anything else as it is, '-' for None."""
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Lines of columns two spaces apart: the first column to the left, all others to the right."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
