"""Which classes were queried: labels of each class after the last round of the runs of a grid.

    aral compare mnist --methods aral,aral+random --seeds 3
    python benchmarks/labels_by_class.py runs/compare-mnist/*-seed*
    python benchmarks/labels_by_class.py --table

A row for each run: the labels of each class, and the number of labels after the round in which the last class got its
first one (null if one has none). Rows go to results/labels-by-class.json.
"""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from aral import load_run
from aral.benchmarking import RoundRecord
from aral.types import ClassAnswer
from kept_rows import KeptRows


def labels_by_class(rounds: Sequence[RoundRecord], class_count: int) -> dict[str, Any]:
    """Labels of each class after the last round, and after how many labels none was without one."""
    counts: Counter[int] = Counter()
    complete = None
    for each in rounds:
        counts.update(given.class_index for given in each.answers.values() if isinstance(given, ClassAnswer))
        if complete is None and len(counts) == class_count:
            complete = counts.total()
    return {"labels": [counts[index] for index in range(class_count)], "all classes after": complete}


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Markdown: for each method the labels of its rarest and of its most frequent class, by seed."""
    found = defaultdict(list)
    for row in sorted(rows, key=lambda row: row["seed"]):
        found[row["method"]].append(row)
    lines = [
        "| method | labels | rarest class | most frequent class | all classes after |",
        "|---|---|---|---|---|",
    ]
    for method, runs in found.items():
        columns = (
            sorted({sum(row["labels"]) for row in runs}),
            [min(row["labels"]) for row in runs],
            [max(row["labels"]) for row in runs],
            [row["all classes after"] or "–" for row in runs],
        )
        cells = [", ".join(map(str, values)) for values in columns]
        lines.append("| " + " | ".join([f"`{method}`", *cells]) + " |")
    return "\n".join(lines)


def main() -> None:
    """Keep a row for each run of a grid."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", type=Path, nargs="*", help="run folders")
    parser.add_argument("--kept", default="labels-by-class", help="name of the file of rows, or a .json path")
    parser.add_argument("--table", action="store_true", help="print the rows as Markdown")
    given = parser.parse_args()
    kept = KeptRows(given.kept)
    for folder in given.folders:
        run = load_run(folder)
        key = {"data": run.settings.data, "method": str(run.settings.method), "seed": run.settings.seed}
        kept.keep(key, labels_by_class(run.rounds, len(run.class_names)))
    if given.table:
        print(table(kept.rows))


if __name__ == "__main__":
    main()
