"""Pools that are not as tidy as a benchmark's: unbalanced, with out-of-distribution images, or with
classes that the first labels miss.

    python benchmarks/scenarios.py --methods graph-ssl,supervised+random --seeds 3

Each row is one scenario, method and seed: labels spent, test accuracy and classes seen after every round. Runs
live in runs/scenarios and are resumed when the command is repeated; rows are written after each run. A table of
all kept rows is printed at the end.

* ``unbalanced``: class k of MNIST keeps a share 10^(−k/9) of its images, the rarest a tenth of the commonest.
* ``ood``: a fifth of the pool is Fashion-MNIST; the oracle answers 'none of these', which costs a label.
* ``missing``: the first query is replaced by images of eight of the ten classes; the others must be discovered.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from aral import (
    GroundTruth,
    Method,
    Session,
    Store,
    Strategy,
    Stream,
    load,
    make_acquisition,
    make_learner,
    resolve,
)
from aral.acquisition import Acquisition, Need, PoolView
from aral.benchmarking.runs import drive
from aral.data import DataSet
from aral.types import Answer, ImageSet, NoClass, NoClassAnswer, Selection
from kept_rows import KeptRows
from method_names import current_name

RUNS = Path("runs/scenarios")


@dataclass(frozen=True)
class Scenario:
    """A pool, the ids of its out-of-distribution images, and a first query in place of the method's own."""

    data: DataSet
    ood: frozenset[int] = frozenset()
    first: Callable[[Selection], Selection] | None = None


class OodOracle(GroundTruth):
    """Ground truth that answers 'none of these' for out-of-distribution images."""

    def __init__(self, scenario: Scenario) -> None:
        super().__init__(scenario.data.pool.ids, scenario.data.pool_classes)
        self._ood = scenario.ood

    def collect(self) -> list[Answer]:
        """The answers to the requests since the last call."""
        return [
            NoClassAnswer(answer.image_id, NoClass.NONE_OF_THESE) if answer.image_id in self._ood else answer
            for answer in super().collect()
        ]


def unbalanced(data: DataSet, stream: Stream) -> Scenario:
    """Class k keeps a share 10^(−k/9) of its images."""
    chance = stream.uniform(data.pool.ids)
    kept = np.flatnonzero(chance < 10.0 ** (-data.pool_classes / 9))
    return Scenario(_cut(data, kept))


def ood(data: DataSet, stream: Stream) -> Scenario:
    """A fifth of the images come from Fashion-MNIST."""
    other = load("fashion-mnist").pool
    rows = np.argsort(stream.uniform(data.pool.ids))
    replaced = np.sort(rows[: len(data.pool) // 5])
    pixels = data.pool.pixels.clone()
    pixels[torch.from_numpy(replaced)] = other.pixels[torch.from_numpy(replaced)]
    # Their classes stay in the table, but the oracle never gives them.
    return Scenario(replace(data, pool=ImageSet.of(pixels)), frozenset(replaced.tolist()))


def missing(data: DataSet, stream: Stream) -> Scenario:
    """The first ten labels are of the classes 0 to 7 only."""
    ids = data.pool.ids[data.pool_classes < 8]
    chosen = ids[np.argsort(stream.uniform(ids))]

    def first(selection: Selection) -> Selection:
        wanted = chosen[: len(selection)]
        return Selection(wanted, np.zeros(len(wanted)), "given", ("given",) * len(wanted))

    return Scenario(data, first=first)


SCENARIOS = {"unbalanced": unbalanced, "ood": ood, "missing": missing}
KEYS = {"ood": "foreign"}
"""Scenarios with another name in stored rows, run folders and random streams: a stream's name decides its draws."""

SHOWN_AS = {"foreign": "ood", "missing": "missing classes"}
"""Names in the printed table of scenarios with another name in stored rows."""


def _cut(data: DataSet, kept: np.ndarray) -> DataSet:
    pixels = data.pool.pixels[torch.from_numpy(kept)]
    return replace(data, pool=ImageSet.of(pixels), pool_classes=data.pool_classes[kept], pool_files=())


@dataclass(frozen=True)
class Given:
    """An acquisition whose choice is replaced."""

    own: Acquisition
    first: Callable[[Selection], Selection]
    name: str = "given"

    @property
    def needs(self) -> frozenset[Need]:
        """Those of the method's own first query."""
        return self.own.needs

    def __call__(self, pool: PoolView, n: int, stream: Stream) -> Selection:
        """The given images in place of those that the method would query."""
        return self.first(self.own(pool, n, stream))


def one_run(
    name: str, method: Method, seed: int, settings: list[str], folder: Path
) -> list[dict[str, float]]:
    """Run or resume one scenario, method and seed; one row a round."""
    torch.set_num_threads(1)
    spec = resolve("mnist", method, settings, seed=seed, threads=1)
    stream = Stream.root(seed)
    scenario = SCENARIOS[name](load("mnist"), stream.child("scenario", KEYS.get(name, name)))
    data = scenario.data
    learner = make_learner(spec.learner, data.pool, data.class_count, stream.child("learner"), spec.device)
    first = make_acquisition(spec.rounds.first_query)
    if scenario.first is not None:
        first = Given(first, scenario.first)
    with Store.open(folder, create=True) as store:
        strategy = Strategy(make_acquisition(spec.acquisition), first)
        session = Session(store, data.pool, data.class_count, learner, strategy, stream.child("session"))
        drive(session, OodOracle(scenario), data.test, spec.rounds.query_size, spec.rounds.budget)
        rows: dict[int, dict[str, float]] = {}
        for metric in store.metrics():
            if metric.name in ("accuracy", "classes seen"):
                rows.setdefault(metric.round, {})[metric.name] = metric.value
        queries = [store.query(number) for number in sorted(rows)]
        spent = np.cumsum([len(query) for query in queries if query is not None])
        return [{"spent": int(n), **rows[number]} for n, number in zip(spent, sorted(rows), strict=True)]


def table(rows: Sequence[Mapping[str, Any]], labels: Sequence[int]) -> str:
    """Accuracy in %, mean over seeds, and in brackets the fewest classes seen with any seed."""
    found: dict[tuple[str, str], list[dict[int, dict[str, float]]]] = {}
    for row in rows:
        curve = {int(point["spent"]): point for point in row["rounds"]}
        scenario = SHOWN_AS.get(row["scenario"], row["scenario"])
        found.setdefault((scenario, current_name(row["method"], row)), []).append(curve)
    lines = ["| pool | method | seeds | " + " | ".join(map(str, labels)) + " |"]
    lines.append("|---" * (3 + len(labels)) + "|")
    for (scenario, method), curves in found.items():
        cells = [
            f"{100 * statistics.mean(curve[n]['accuracy'] for curve in curves):.1f}"
            f" ({min(curve[n]['classes seen'] for curve in curves):.0f})"
            for n in labels
        ]
        lines.append(f"| {scenario} | `{method}` | {len(curves)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Run every scenario, method and seed, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--methods", default="graph-ssl,supervised+random")
    parser.add_argument("--scenarios", default=",".join(SCENARIOS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--labels", default="10,20,30,50,100", help="budgets of the printed table")
    parser.add_argument("--set", action="append", default=[])
    arguments = parser.parse_args()
    kept = KeptRows("scenarios")
    for seed in range(arguments.seeds):
        for name in arguments.scenarios.split(","):
            for text in arguments.methods.split(","):
                method = Method.parse(text)
                stored = KEYS.get(name, name)
                key = {"scenario": stored, "method": str(method), "seed": seed, "settings": arguments.set}
                if kept.has(key):
                    continue
                folder = RUNS / f"{stored}-{method}-seed{seed}"
                kept.keep(key, {"rounds": one_run(name, method, seed, arguments.set, folder)})
    print(table(kept.rows, [int(n) for n in arguments.labels.split(",")]))


if __name__ == "__main__":
    main()
