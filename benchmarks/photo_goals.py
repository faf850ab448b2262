"""What the default on photographs reaches with few labels, and how much of the gap from R to F it closes.

    python benchmarks/photo_goals.py data/photos/trash data/photos/sign-digits
    python benchmarks/photo_goals.py data/photos/trash --held-out --representation efficientnet-lite0
    python benchmarks/photo_goals.py cifar10 --root data --most 500

The default of features: a first query of ten k-means centres, then queries of ten by ``linear-herding``, and
``pseudo-label`` trained on all labels with the preset of features. ``linear-herding`` reads labels and representation
alone, so the network is trained only where it is measured. R and F are those of ``feature_baselines.py``: logistic
regression on random labels (ten draws) and on all labels, both on pooled features of ``efficientnet-lite0``. Test
accuracy, each seed measured once; with ``--held-out`` that of a quarter of the pool, for choosing a representation.
Rows: ``photo-goals.json``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from aral.acquisition import Need, make_acquisition
from aral.acquisition.interface import PoolView
from aral.benchmarking import Method, load_data, make_learner, resolve
from aral.data import DataSet
from aral.learners import LearnerSettings
from aral.randomness import Stream
from aral.representations.settings import EMBEDDED
from aral.types import ImageSet, LabelledSet
from curves import RESULTS
from kept_rows import KeptRows
from one_training import trained

LABELS = (10, 20, 30, 50, 100, 200, 250, 500)
GOALS = {30: 50, 50: 50, 100: 60, 200: 25}
"""Share of the gap in percent that is wanted, by number of labels."""

QUERY = 10
LEARNERS = ("pseudo-label", "linear")


def held_out(data: DataSet) -> DataSet:
    """Three quarters of the pool, with the last quarter in place of the test set."""
    order = np.random.default_rng(1000).permutation(len(data.pool))
    measured_on, rest = (np.sort(part) for part in (order[: order.size // 4], order[order.size // 4 :]))
    images = ImageSet.of(data.pool.pixels[torch.from_numpy(measured_on)])
    return replace(
        data,
        pool=ImageSet.of(data.pool.pixels[torch.from_numpy(rest)]),
        pool_classes=data.pool_classes[rest],
        pool_files=(),
        test=LabelledSet(images, data.pool_classes[measured_on], data.class_count),
    )


def on(representation: str) -> list[str]:
    """The representation as settings."""
    return [f'representation.backbone="{representation}"']


def measured(data: DataSet, folder: str, representation: str, seed: int, most: int) -> dict[str, float]:
    """Accuracy by learner and number of labels, up to the most."""
    found: dict[str, float] = {}
    stream = Stream.root(seed).child("photo goals")
    first, later = make_acquisition("centroids"), make_acquisition("linear-herding")
    specs = {
        name: resolve(
            folder,
            Method.parse(f"{name}+linear-herding"),
            on(representation),
            seed=seed,
            threads=1,
        )
        for name in LEARNERS
    }
    reader = make_learner(specs["linear"].learner, data.pool, data.class_count, stream.child("reader"))
    reader.set_pool(data.pool, stream.child("pool"))
    ids = np.empty(0, dtype=np.int64)
    while ids.size < most:
        rest = data.pool.without(ids)
        needs = (later if ids.size else first).needs
        known = reader.predict(rest, needs, stream)
        labelled = known.rows(np.empty(0, dtype=np.int64))
        if ids.size:
            labelled = reader.predict(data.pool.subset(ids), needs, stream)
        view = PoolView(known, labelled, data.pool_classes[ids], data.class_count)
        query = (later if ids.size else first)(view, QUERY, stream.child("query", ids.size))
        ids = np.union1d(ids, query.ids)
        if ids.size in LABELS:
            known_set = LabelledSet(data.pool.subset(ids), data.pool_classes[ids], data.class_count)
            for name in LEARNERS:
                found[f"{name} {ids.size}"] = accuracy(
                    specs[name].learner, data, known_set, stream.child(name, ids.size)
                )
    return found


def accuracy(settings: LearnerSettings, data: DataSet, labelled: LabelledSet, stream: Stream) -> float:
    """Of a learner that is trained anew, on the test set."""
    learner = trained(settings, data, labelled, stream)
    found = learner.predict(data.test.images, {Need.PROBABILITIES}, stream.child("passes"))
    right = found.get(Need.PROBABILITIES).argmax(dim=1).numpy() == data.test.classes
    return round(float(right.mean()), 4)


def table(rows: Sequence[Mapping[str, Any]], baselines: Sequence[Mapping[str, Any]]) -> str:
    """Accuracy in percent, mean ± standard deviation over seeds, and the share of the gap, as Markdown."""
    counts = [n for n in LABELS if any(f"linear {n}" in row for row in rows)]
    lines = [
        "| folder | | " + " | ".join(f"{n} labels" for n in counts) + " |",
        "|" + "---|" * (2 + len(counts)),
    ]
    for folder, where, representation in sorted(
        {(row["folder"], row["on"], row["representation"]) for row in rows}
    ):
        key = (folder, where, representation)
        of = [row for row in rows if (row["folder"], row["on"], row["representation"]) == key]
        base = next(
            (b for b in baselines if (b["folder"], b["fit"], b["on"]) == (folder, "default", where)), {}
        )
        for name in LEARNERS:
            cells, shares = [], []
            for count in counts:
                values = 100 * np.array([row[f"{name} {count}"] for row in of if f"{name} {count}" in row])
                if not values.size:
                    cells.append("")
                    shares.append("")
                    continue
                deviation = f" ± {values.std(ddof=1):.1f}" if values.size > 1 else ""
                cells.append(f"{values.mean():.1f}{deviation}")
                random = 100 * np.mean(base[f"R{count}"]) if f"R{count}" in base else None
                gap = None if random is None else (values.mean() - random) / (100 * base["F"] - random)
                wanted = GOALS.get(count)
                shares.append("" if gap is None else f"{100 * gap:.0f} % of the gap (goal {wanted})")
            named = f"{folder}, {where}" if where != "test" else folder
            lines.append(f"| {named} | `{name}` on `{representation}` | {' | '.join(cells)} |")
            if any(shares):
                lines.append(f"| | | {' | '.join(shares)} |")
    return "\n".join(lines)


def main() -> None:
    """Measure what is not there yet, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "folders", nargs="+", help="folders of class folders with train/ and test/, or data sets"
    )
    parser.add_argument("--root", type=Path, help="the folder with data sets")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--most", type=int, default=200, help="labels")
    parser.add_argument("--representation", default=EMBEDDED)
    parser.add_argument("--held-out", action="store_true", help="measure on a quarter of the pool")
    given = parser.parse_args()
    torch.set_num_threads(1)
    kept = KeptRows("photo-goals")
    for folder in given.folders:
        data = None
        for seed in range(given.seeds):
            key = {
                "folder": Path(folder).name,
                "on": "held out" if given.held_out else "test",
                "representation": given.representation,
                "seed": seed,
            }
            if kept.has(key):
                continue
            if data is None:
                spec = resolve(folder, Method.parse("linear+random"), on(given.representation))
                data = load_data(spec, given.root)
                data = held_out(data) if given.held_out else data
            kept.keep(key, measured(data, folder, given.representation, seed, given.most))
    baselines = json.loads((RESULTS / "feature-baselines.json").read_text())["rows"]
    print(table(kept.rows, baselines))


if __name__ == "__main__":
    main()
