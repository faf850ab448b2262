"""What the graph of neighbours knows by itself, without any training: for docs/benchmarks.md.

    python benchmarks/graph.py --data mnist,fashion-mnist,cifar10,digits

For each data set: how many of an image's five nearest neighbours are of its class, in pixels and in oriented
gradients, and the share of the pool that gets its own class when labels spread along the graph. Labels are drawn at
random, equally many of each class, or asked where the graph is in doubt: ten at a time, the first the centres of
ten clusters, as `aral-graph` does with features of its own. MNIST's pool is the part of its training set that
settings are chosen on. Rows go to results/graph.json as they arrive.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from statistics import mean

import numpy as np
import scipy.sparse as sparse
import torch

from aral import Stream, load
from aral.acquisition.geometry import k_means, unit_length
from aral.acquisition.interface import PoolView, Predictions
from aral.acquisition.typicality import TypicalUncertain
from aral.acquisition.uncertainty import margin_scores
from aral.data import DataSet
from aral.neighbours import nearest_neighbours
from aral.representations.components import half_whitened, leading_components, principal_components
from aral.representations.gradients import gradient_features
from aral.representations.graph import affinity_matrix, propagate_labels
from kept_rows import KeptRows

POOLS = {"mnist": 50_000, "cifar10": 10_000}
COMPONENTS, NEIGHBOURS, LINKS = 50, 5, 10
BUDGETS = (10, 20, 50, 100)
STREAM = Stream.root(0)


def main() -> None:
    """Every data set and way of seeing that has no row yet."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="digits", help="comma-separated")
    parser.add_argument("--draws", type=int, default=4)
    arguments = parser.parse_args()
    kept = KeptRows("graph")
    for name in arguments.data.split(","):
        for seen_as in ("pixels", "gradients"):
            key = {"data": name, "seen_as": seen_as, "draws": arguments.draws}
            if not kept.has(key):
                data = load(name).limited(POOLS.get(name), None, STREAM.child("pool"))
                kept.keep(key, {"pool": len(data.pool), **measured(data, seen_as, arguments.draws)})


def measured(data: DataSet, seen_as: str, draws: int) -> dict[str, object]:
    """The figures of one pool."""
    features = (
        principal_components(data.pool, COMPONENTS, STREAM)
        if seen_as == "pixels"
        else leading_components(gradient_features(data.pool), COMPONENTS, STREAM)
    )
    features = half_whitened(features)
    rows, distances = nearest_neighbours(features, LINKS)
    classes = data.pool_classes
    graph = affinity_matrix(rows, distances)
    random = [random_accuracies(graph, classes, draw) for draw in range(draws)]
    asked = [
        asked_accuracies(graph, classes, features.double().numpy(), STREAM.child(draw))
        for draw in range(draws)
    ]
    return {
        "agreement": float((classes[rows[:, :NEIGHBOURS]] == classes[:, None]).mean()),
        "random": {budget: mean(each[budget] for each in random) for budget in BUDGETS},
        "asked": {budget: mean(each[budget] for each in asked) for budget in BUDGETS},
    }


def random_accuracies(graph: sparse.csr_matrix, classes: np.ndarray, draw: int) -> dict[int, float]:
    """Labels drawn at random, equally many of each class."""
    random = np.random.default_rng(draw)
    order = [random.permutation(np.flatnonzero(classes == each)) for each in range(classes.max() + 1)]
    found = {}
    for budget in BUDGETS:
        labelled = np.concatenate([rows[: budget // len(order)] for rows in order])
        found[budget] = accuracy(graph, classes, labelled)
    return found


def asked_accuracies(
    graph: sparse.csr_matrix, classes: np.ndarray, features: np.ndarray, stream: Stream
) -> dict[int, float]:
    """Labels asked ten at a time where the graph is in doubt."""
    found = {}
    for labelled in asked(graph, classes, features, stream):
        if labelled.size in BUDGETS:
            found[labelled.size] = accuracy(graph, classes, labelled)
    return found


def asked(
    graph: sparse.csr_matrix, classes: np.ndarray, features: np.ndarray, stream: Stream
) -> Iterator[np.ndarray]:
    """The labelled rows after every query."""
    uncertain = TypicalUncertain(margin_scores)
    labelled = first_query(features, stream)
    yield labelled
    while labelled.size < max(BUDGETS):
        rest = np.setdiff1d(np.arange(len(classes)), labelled)
        spread = propagate_labels(graph, labelled, classes[labelled], int(classes.max()) + 1)[rest]
        seen = Predictions(
            rest, probabilities=torch.from_numpy(spread), features=torch.from_numpy(features[rest])
        )
        view = PoolView(seen, Predictions(labelled), classes[labelled], spread.shape[1])
        labelled = np.r_[labelled, rest[uncertain(view, 10, stream.child(labelled.size)).rows]]
        yield labelled


def first_query(features: np.ndarray, stream: Stream) -> np.ndarray:
    """The image nearest to the middle of each of ten clusters."""
    points = unit_length(features)
    parts = k_means(points, 10, stream)
    found = []
    for part in range(10):
        inside = np.flatnonzero(parts == part)
        away = ((points[inside] - points[inside].mean(axis=0)) ** 2).sum(axis=1)
        found.append(int(inside[away.argmin()]))
    return np.array(found, dtype=np.int64)


def accuracy(graph: sparse.csr_matrix, classes: np.ndarray, labelled: np.ndarray) -> float:
    """Share of the pool whose likeliest class is its own."""
    spread = propagate_labels(graph, labelled, classes[labelled], int(classes.max()) + 1)
    return float((spread.argmax(axis=1) == classes).mean())


if __name__ == "__main__":
    main()
