"""What the features of a backbone are worth: logistic regression on random labels, and on all labels.

    python benchmarks/feature_baselines.py data/photos/trash data/photos/sign-digits
    python benchmarks/feature_baselines.py data/photos/trash --fit pad --held-out

Features are standardised by the pool and given to scikit-learn's ``LogisticRegression(C=0.05, max_iter=1000)``. R is
the accuracy with some labels drawn at random, over ten draws; F the accuracy with all of them. With ``--held-out`` a
quarter of the pool, the same for each draw, is measured on instead of the test set: for choosing how images are framed.
Rows: ``feature-baselines.json``.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression

from aral.benchmarking import Method, load_data, resolve
from aral.representations import Fit
from kept_rows import KeptRows

LABELS = (30, 50, 100, 200)
DRAWS = 10


def accuracy(features: np.ndarray, classes: np.ndarray, test: np.ndarray, truth: np.ndarray) -> float:
    """Of logistic regression, on other images."""
    model = LogisticRegression(C=0.05, max_iter=1000).fit(features, classes)
    return float(model.score(test, truth))


def measured(folder: str, fit: Fit | None, held_out: bool) -> dict[str, object]:
    """R for each number of labels, and F."""
    settings = ['representation.backbone="efficientnet-lite0"', "representation.components=0"]
    settings += [] if fit is None else [f'representation.fit="{fit}"']
    data = load_data(resolve(folder, Method.parse("linear+random"), settings))
    pool, classes = data.pool.pixels.flatten(1).numpy(), data.pool_classes
    test, truth = data.test.images.pixels.flatten(1).numpy(), data.test.classes
    if held_out:
        order = np.random.default_rng(1000).permutation(len(pool))
        kept, rest = order[: len(pool) // 4], order[len(pool) // 4 :]
        test, truth, pool, classes = pool[kept], classes[kept], pool[rest], classes[rest]
    found: dict[str, object] = {"images": len(pool), "measured_on": len(test), "classes": data.class_count}
    for labels in LABELS:
        draws = []
        for draw in range(DRAWS):
            chosen = np.random.default_rng(draw).permutation(len(pool))[:labels]
            draws.append(accuracy(pool[chosen], classes[chosen], test, truth))
        found[f"R{labels}"] = [round(value, 4) for value in draws]
    return found | {"F": round(accuracy(pool, classes, test, truth), 4)}


def main() -> None:
    """Measure what is not there yet, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", nargs="+", help="folders of class folders, with train/ and test/")
    parser.add_argument(
        "--fit", type=Fit, default=None, help="pad, crop or squash; by default the backbone's"
    )
    parser.add_argument("--held-out", action="store_true", help="measure on a quarter of the pool")
    given = parser.parse_args()
    kept = KeptRows("feature-baselines")
    for folder in given.folders:
        key = {
            "folder": Path(folder).name,
            "fit": str(given.fit or "default"),
            "on": "held out" if given.held_out else "test",
        }
        if not kept.has(key):
            kept.keep(key, measured(folder, given.fit, given.held_out))
    print(table(kept.rows))


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """R and F in percent, mean ± standard deviation over the draws, as Markdown."""
    lines = ["| folder | classes | fit | measured on | " + " | ".join(f"R {n}" for n in LABELS) + " | F |"]
    lines.append("|" + "---|" * (5 + len(LABELS)))
    for row in rows:
        draws = (100 * np.array(row[f"R{n}"]) for n in LABELS)
        cells = [f"{each.mean():.1f} ± {each.std(ddof=1):.1f}" for each in draws]
        named = (row["folder"], row["classes"], row["fit"], row["on"])
        lines.append(f"| {' | '.join(map(str, named))} | {' | '.join(cells)} | {100 * row['F']:.1f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
