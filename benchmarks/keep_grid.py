"""Keep what a finished grid showed: rows as JSON, the chart, and the table of docs/benchmarks.md.

    aral compare digits --methods random,aral:released --seeds 5 --folder runs/digits
    python benchmarks/keep_grid.py runs/digits digits --note "Other work ran on the machine."
    python benchmarks/keep_grid.py benchmarks/results/digits.json digits

Rows go to benchmarks/results/NAME.json, the chart to docs/images/NAME.svg, the table to the screen. From rows
that are kept already, only the table is made, with the verdicts of today's rule and the numbers behind them.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np

from aral.benchmarking import Comparison, Measure, compare_runs
from aral.benchmarking.statistics import Curve, normalised_area
from aral.reports.text import verdict_in_words, verdict_lines
from aral.testing import run_record
from curves import RESULTS, ROOT, commit, machine
from method_names import NAMES, current_name

KEPT = {"accuracy": "accuracy", "train seconds": "train_seconds", "query seconds": "query_seconds"}


def rows_of(folder: Path) -> dict[str, dict[str, Any]]:
    """Each run's labels, accuracies and seconds by round, by name of the run."""
    runs: dict[str, dict[str, Any]] = {}
    for row in json.loads((folder / "comparison.json").read_text()):
        if row["metric"] not in KEPT or row["round"] < 0:
            continue
        run = runs.setdefault(row["run"], {"method": row["method"], "seed": row["seed"], "rounds": {}})
        at = run["rounds"].setdefault(row["round"], {"labelled": row["n_labelled"]})
        at[KEPT[row["metric"]]] = round(row["value"], 6)
    for run in runs.values():
        run["rounds"] = [run["rounds"][number] for number in sorted(run["rounds"])]
    return runs


def table(kept: dict[str, Any], budgets: list[int]) -> str:
    """Markdown: mean ± s.d. over seeds at some budgets and over the curve, and the verdict on the curve.

    The mean over the curve is the area below it divided by its range of labels, which the verdicts are on.
    """
    by_method: dict[str, list[dict[int, float]]] = defaultdict(list)
    for run in kept["runs"]:
        by_method[current_name(run["method"], kept)].append(
            {at["labelled"]: at["accuracy"] for at in run["rounds"]}
        )
    words = {
        row.method: f"{verdict_in_words(row)} ({row.baseline})"
        for row in compared(kept).verdicts
        if row.measure is Measure.AREA
    }
    head = ["method", *map(str, budgets), "mean over the curve", "verdict (baseline)"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for method, curves in by_method.items():
        cells = [spread([curve[budget] for curve in curves]) for budget in budgets]
        whole = spread([area(curve) for curve in curves])
        lines.append("| " + " | ".join([f"`{method}`", *cells, whole, words.get(method, "–")]) + " |")
    return "\n".join(lines)


def compared(kept: dict[str, Any]) -> Comparison:
    """The runs of a file judged by today's rule; the file keeps the verdicts of the day it was written."""
    return compare_runs(
        [
            run_record(
                current_name(run["method"], kept),
                run["seed"],
                [at["accuracy"] for at in run["rounds"]],
                [at["labelled"] for at in run["rounds"]],
            )
            for run in kept["runs"]
        ]
    )


def area(curve: dict[int, float]) -> float:
    """Mean accuracy from the first to the last number of labels, by trapezoids."""
    labelled = sorted(curve)
    points = Curve(np.array(labelled), np.array([curve[count] for count in labelled]))
    return normalised_area(points, labelled[0], labelled[-1])


def spread(values: list[float]) -> str:
    """Mean ± s.d. in %."""
    middle = f"{100 * mean(values):.1f}"
    return middle if len(values) == 1 else f"{middle} ± {100 * stdev(values):.1f}"


def main() -> None:
    """Read the grid folder and write the three."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path, help="of the grid, or a file of rows")
    parser.add_argument("name", help="of the files that are kept")
    parser.add_argument("--command", default="", help="as it was typed")
    parser.add_argument("--commit", default="", help="the grid ran at; default: this one")
    parser.add_argument("--note", default="")
    parser.add_argument("--budgets", default="10,20,50,100")
    arguments = parser.parse_args()
    budgets = [int(budget) for budget in arguments.budgets.split(",")]
    if arguments.folder.is_file():
        kept = json.loads(arguments.folder.read_text())
        print(table(kept, budgets), *verdict_lines(compared(kept)), sep="\n")
        return
    runs = rows_of(arguments.folder)
    verdicts = json.loads((arguments.folder / "verdicts.json").read_text())
    grid = json.loads((arguments.folder / "grid.json").read_text())
    kept = {
        "command": arguments.command,
        "commit": arguments.commit or commit(),
        "machine": machine(),
        "date": datetime.now(UTC).date().isoformat(),
        "seeds": sorted({run["seed"] for run in runs.values()}),
        "names": NAMES,
        "note": arguments.note,
        "grid": grid["grid"],
        "parity": grid["parity"],
        "full": grid["full"],
        "runs": list(runs.values()),
        "verdicts": verdicts["verdicts"],
    }
    (RESULTS / f"{arguments.name}.json").write_text(json.dumps(kept, indent=1) + "\n")
    images = ROOT.parent / "docs" / "images"
    images.mkdir(exist_ok=True)
    shutil.copyfile(arguments.folder / "curves.svg", images / f"{arguments.name}.svg")
    print(table(kept, budgets))


if __name__ == "__main__":
    main()
