"""What each ingredient of the learner `graph-ssl` is worth: the same run with one of them left out, or one put in.

    python benchmarks/ingredients.py digits --seeds 5
    python benchmarks/ingredients.py mnist --seeds 3 --set learner.training.steps=100

Each row is one variant and seed with the test accuracy at every budget. Runs live in runs/ingredients and are
resumed when the command is repeated; rows are written as they arrive to ``ingredients-DATA.json``. A table of the
differences from the whole learner, paired by seed, is printed at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kept_rows import KeptRows

WHOLE = "everything"


@dataclass(frozen=True)
class Variant:
    """A method and what is set differently from its preset."""

    method: str = "graph-ssl"
    settings: tuple[str, ...] = ()


SHOWN_AS = {
    WHOLE: "all parts",
    "neighbours in pixels": "neighbour graph on pixels",
    "no labels along the graph": "no label propagation",
    "no own labels": "no pseudo-labels",
    "neither": "neither of these two",
    "no imitation of communities": "no community labels in pretraining",
    "no training before labels (first query TypiClust)": "no pretraining (first query TypiClust)",
    "first query at random": "random first query",
    "later queries at random": "random later queries",
    "all queries at random": "random queries throughout",
    "no E, G and S: later queries typical-entropy": "no E, G and S (later queries typical-entropy)",
    "groups kept in rounds (put in)": "clustering loss kept in rounds (added)",
    "generated images as training data (put in)": "generated images as training data (added)",
    "images mixed in pairs (put in)": "mixup (added)",
}
"""Names in the printed table of the variants that rows know by other names."""


def _set(*settings: str) -> Variant:
    return Variant(settings=settings)


NO_GENERATION = ("learner.weights.trd=0", "learner.weights.adv=0", "learner.weights.feature_matching=0")
VARIANTS = {
    WHOLE: Variant(),
    "neighbours in pixels": _set('learner.graph.compare="pixels"'),
    "no labels along the graph": _set("learner.weights.propagated=0"),
    "no own labels": _set("learner.weights.pseudo_labels=0"),
    "neither": _set("learner.weights.pseudo_labels=0", "learner.weights.propagated=0"),
    "no imitation of communities": _set("learner.pretraining.imitation=0"),
    "no training before labels (first query TypiClust)": _set(
        "learner.pretraining.steps=0", 'rounds.first_query="typiclust"'
    ),
    "first query at random": _set('rounds.first_query="random"'),
    "later queries at random": Variant("graph-ssl+random"),
    "all queries at random": Variant("graph-ssl+random", ('rounds.first_query="random"',)),
    "no E, G and S: later queries typical-entropy": Variant("graph-ssl+typical-entropy", NO_GENERATION),
    "groups kept in rounds (put in)": _set("learner.pretraining.in_rounds=1"),
    "generated images as training data (put in)": _set("learner.weights.generated=1"),
    "images mixed in pairs (put in)": _set(
        "learner.pseudo_labels.mixup=0.75",
        'learner.pseudo_labels.teacher="ema"',
        "learner.pseudo_labels.align=true",
    ),
}


def accuracies(
    data: str, variant: Variant, seed: int, settings: Sequence[str], folder: Path
) -> dict[str, float]:
    """Run or resume; test accuracy by count of labels."""
    command = [sys.executable, "-m", "aral", "run", data, "--method", variant.method, "--seed", str(seed)]
    command += ["--folder", str(folder), "--threads", "1", "--json"]
    for setting in (*variant.settings, *settings):
        command += ["--set", setting]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment, check=True)
    return {str(point["labelled"]): point["accuracy"] for point in json.loads(done.stdout)["rounds"]}


def table(rows: Sequence[dict[str, object]], labels: Sequence[str]) -> str:
    """Mean ± s.d. of the accuracy in points, and of the paired difference from the whole learner."""
    found: dict[str, dict[int, dict[str, float]]] = {}
    for row in rows:
        found.setdefault(str(row["variant"]), {})[int(str(row["seed"]))] = row["accuracy"]  # type: ignore[assignment]
    lines = ["| variant | seeds | " + " | ".join(f"{n} labels | difference" for n in labels) + " |"]
    lines.append("|---" * (2 + 2 * len(labels)) + "|")
    for name, by_seed in found.items():
        cells = []
        for count in labels:
            cells.append(_spread([100 * curve[count] for curve in by_seed.values()]))
            shared = by_seed.keys() & found.get(WHOLE, {}).keys()
            differences = [100 * (by_seed[s][count] - found[WHOLE][s][count]) for s in shared]
            cells.append("–" if name == WHOLE else _spread(differences, signed=True))
        lines.append(f"| {SHOWN_AS.get(name, name)} | {len(by_seed)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _spread(values: Sequence[float], signed: bool = False) -> str:
    mean = format(statistics.mean(values), "+.1f" if signed else ".1f")
    return f"{mean} ± {statistics.stdev(values):.1f}" if len(values) > 1 else mean


def main() -> None:
    """Everything that is asked for, one after the other, all variants of a seed before the next seed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--variants", help="comma-separated; default: all")
    parser.add_argument("--labels", default="10,100", help="budgets of the printed table")
    parser.add_argument("--set", action="append", default=[], help="as for aral run, for all variants")
    arguments = parser.parse_args()
    kept = KeptRows(f"ingredients-{arguments.data}")
    names = arguments.variants.split(",") if arguments.variants else list(VARIANTS)
    for seed in range(arguments.seeds):
        for name in names:
            key = {"variant": name, "seed": seed, "settings": arguments.set}
            if kept.has(key):
                continue
            folder = (
                Path("runs") / "ingredients" / arguments.data / f"{list(VARIANTS).index(name)}-seed{seed}"
            )
            curve = accuracies(arguments.data, VARIANTS[name], seed, arguments.set, folder)
            kept.keep(key, {"accuracy": curve})
    print(table(kept.rows, arguments.labels.split(",")))


if __name__ == "__main__":
    main()
