"""Several models on the same photos in the same folds: paired differences with intervals."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np

from carclf import intervals
from carclf.errors import FoldError
from carclf.metrics import Record
from carclf.report import NOT_IN_INTERVALS, plain
from carclf.report_text import aligned, interval_cells, name_with_sense, score
from carclf.scores import Array

Tree = dict[str, Any]

HOW_TO_READ = f"""\
Paired over the same photos in the same folds: mean of the first model minus mean of the second; the 95 %
interval of that difference over common draws of groups within folds; the share of draws that lie above 0.
{NOT_IN_INTERVALS}"""


def compare_models(records: Mapping[str, Record], none_label: str | None, seed: int) -> Tree:
    """Compares one head of several models, each pair of them, on the photos that all have answered.

    Every draw is common to all models, so what makes a photo hard for both cancels out of the difference.

    Args:
        records: model -> its records of the same head, two models or more, in the order of the config.
        none_label: as in `report.head_results`.
        seed: of the bootstrap.

    Returns:
        {`photos`: n, `means`: {model: {metric: mean}}, `pairs`: [{`first`, `second`, `metrics`: {metric:
        {`difference`: first - second, `interval`: [low, high], `share_above_0`: of the draws}}}]}

    Raises:
        FoldError: if the models do not have the same photos in the same folds.
    """
    common = _common_rows(records)
    means = {model: intervals.mean_values(record, none_label) for model, record in common.items()}
    draws = {model: intervals.mean_draws(record, none_label, seed) for model, record in common.items()}
    pairs = []
    for first, second in combinations(common, 2):
        metrics = {
            name: _difference(name, draws[first][name] - draws[second][name], mean - means[second][name])
            for name, mean in means[first].items()
        }
        pairs.append({"first": first, "second": second, "metrics": metrics})
    photos = len(next(iter(common.values())).photos)
    tree: Tree = plain({"photos": photos, "means": means, "pairs": pairs})
    return tree


def _difference(name: str, draws: Array, difference: float) -> Tree:
    drawn = intervals.centred(name, draws, difference)
    defined = drawn[~np.isnan(drawn)]
    return {
        "difference": difference,
        "interval": intervals.percentile_interval(drawn),
        "share_above_0": float((defined > 0).mean()) if len(defined) else float("nan"),
    }


def _common_rows(records: Mapping[str, Record]) -> dict[str, Record]:
    """Every model's rows of the photos that all models have, in one order."""
    names = sorted(set.intersection(*(set(record.photos) for record in records.values())))
    if not names:
        raise FoldError(f"The models {', '.join(records)} have no photo in common: there is nothing to compare.")
    common: dict[str, Record] = {}
    for model, record in records.items():
        place = {name: row for row, name in enumerate(record.photos)}
        rows = record.rows(np.array([place[name] for name in names]))
        first, base = next(iter(common.items()), (model, rows))
        moved = int((rows.folds != base.folds).sum())
        if moved:
            raise FoldError(
                f"{moved} of {len(names)} photos are in other folds for {model} than for {first}. A paired "
                "comparison needs the same folds: give all models one cross_validation.folds_file."
            )
        common[model] = replace(rows, groups=base.groups)  # groups found by another backbone may be others
    return common


def comparison_text(comparisons: Mapping[str, Tree]) -> str:
    """Writes the compare section from {head: `compare_models`}."""
    parts = [HOW_TO_READ]
    for head, comparison in comparisons.items():
        for pair in comparison["pairs"]:
            title = f"{head}: {pair['first']} - {pair['second']}, {comparison['photos']} photos"
            parts.append(f"{title}\n{_pair_table(pair, comparison['means'])}")
    return "\n\n".join(parts) + "\n"


def _pair_table(pair: Tree, means: Tree) -> str:
    rows = [["metric", pair["first"], pair["second"], "difference", "", "95 % interval", "above 0"]]
    for name, row in pair["metrics"].items():
        share = row["share_above_0"]
        rows.append(
            [
                name_with_sense(name),
                *(score(means[pair[place]][name]) for place in ("first", "second")),
                score(row["difference"]),
                *interval_cells(row),
                "-" if share is None else f"{100 * share:.1f} %",
            ]
        )
    return aligned(rows)
