"""Queries of this package and of others on the same pools: time, memory, and whether the choices agree.

    pip install scikit-activeml baal
    python benchmarks/pool_peers.py --images 1000,10000,60000 --query-sizes 100
    python benchmarks/pool_peers.py --table

The pools are those of ``pool_scale.py``, read into memory as float32 for all (the others take no file of float16). Each
query is a process of its own on one thread, with a limit of memory and of time. Compared are scikit-activeml, Baal, and
the greedy k-centre algorithm as it is usually written (Gonzalez 1985; the code of Sener & Savarese 2018 and of most
libraries): after each choice the distances of all images to it are computed. Every method is called as its
documentation shows, with the outputs of the learner given: nothing is trained within the time.

``same`` is the share of the batch that both chose. Where a method draws at random or breaks ties otherwise, ``quality``
says how good each batch is by the method's own objective: of ``core-set`` the largest distance left (lower is better),
of ``probcover`` the images covered at the given radius, of ``maxherding`` the coverage of the whole pool, of
``batchbald`` the joint information by 20,000 sampled configurations (higher is better).
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch

from acquisition_speed import measured_commit
from aral.acquisition import ACQUISITIONS, Need, PoolView, Predictions
from aral.acquisition.bald import SampledConfigurations
from aral.acquisition.coverage import ProbCover
from aral.acquisition.geometry import count_within, nearest_squared_distances, unit_length
from aral.acquisition.interface import JointBatch
from aral.randomness import Stream
from kept_rows import KeptRows
from pool_scale import CLASSES, GIB, LABELLED, Memory, read_pool, run_case, write_pool

RADIUS = 13.5
"""Of ProbCover's balls, about what its rule finds on these pools."""

REPEATED = 0.5
"""Seconds: a query that takes less is repeated for so long, and the median counts."""


@dataclass(frozen=True, eq=False)
class Pool:
    """What all methods are given: rows 0 to 99 have labels.

    Attributes:
        features: N×F, float32.
        probabilities: N×K.
        passes: N×M×K.
    """

    features: np.ndarray
    probabilities: np.ndarray
    passes: np.ndarray

    @property
    def targets(self) -> np.ndarray:
        """Classes of the labelled rows, NaN of the others."""
        found = np.full(len(self.features), np.nan)
        found[:LABELLED] = np.arange(LABELLED) % CLASSES
        return found


def pool_at(place: Path) -> Pool:
    """A pool of ``pool_scale.py`` in memory."""
    needs = frozenset({Need.FEATURES, Need.PROBABILITIES, Need.MC_PROBABILITIES})
    view = read_pool(place, needs)
    parts = [
        np.concatenate([each.get(need).float().numpy() for each in (view.labelled, view.unlabelled)])
        for need in (Need.FEATURES, Need.PROBABILITIES, Need.MC_PROBABILITIES)
    ]
    return Pool(*parts)


# The methods: a pool and a query size to rows


def ours(name: str) -> Callable[[Pool, int], np.ndarray]:
    """An acquisition of this package."""

    def choose(pool: Pool, n: int) -> np.ndarray:
        acquisition = ACQUISITIONS[name]
        if name == "probcover":
            acquisition = JointBatch(name, acquisition.needs, ProbCover(delta=RADIUS))
        rows = np.arange(len(pool.features))
        everything = Predictions(
            rows,
            features=torch.from_numpy(pool.features),
            representation=torch.from_numpy(pool.features),
            probabilities=torch.from_numpy(pool.probabilities),
            mc_probabilities=torch.from_numpy(pool.passes),
        )
        known, free = everything.rows(rows[:LABELLED]), everything.rows(rows[LABELLED:])
        view = PoolView(free, known, rows[:LABELLED] % CLASSES, CLASSES)
        return acquisition(view, n, Stream.root(1)).ids

    return choose


def greedy_k_centre(pool: Pool, n: int) -> np.ndarray:
    """k-centre with a pass over the pool for each choice."""
    from sklearn.metrics import pairwise_distances

    nearest = pairwise_distances(pool.features, pool.features[:LABELLED]).min(axis=1)
    chosen = []
    for _ in range(n):
        row = int(nearest.argmax())
        chosen.append(row)
        nearest = np.minimum(nearest, pairwise_distances(pool.features, pool.features[[row]])[:, 0])
    return np.array(chosen)


def of_activeml(name: str) -> Callable[[Pool, int], np.ndarray]:
    """A query strategy of scikit-activeml, or one of its functions where a strategy would fit an ensemble."""

    def choose(pool: Pool, n: int) -> np.ndarray:
        from skactiveml import pool as strategies
        from skactiveml.base import SkactivemlClassifier

        class Given(SkactivemlClassifier):
            """A classifier whose predictions are known; the last rows are asked for."""

            def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Given:
                return self

            def predict_proba(self, X: Any) -> np.ndarray:
                return pool.probabilities[len(pool.probabilities) - len(X) :]

        passes = pool.passes[LABELLED:].swapaxes(0, 1)
        if name == "bald":
            return np.argsort(-strategies.average_kl_divergence(passes.copy()), kind="stable")[:n] + LABELLED
        if name == "batchbald":
            gains = strategies.batch_bald(passes.astype(np.float64), n, n_MC_samples=1000, random_state=0)
            return np.nanargmax(gains, axis=1) + LABELLED
        uncertainty = strategies.UncertaintySampling
        strategy: Any = {
            "core-set": partial(strategies.CoreSet),
            "typiclust": partial(strategies.TypiClust, k=20),
            "probcover": partial(strategies.ProbCover, n_classes=CLASSES, deltas=[RADIUS]),
            "maxherding": partial(strategies.MaxHerding, metric_dict={"gamma": 1.0}),
            "badge": partial(strategies.Badge),
            "margin": partial(uncertainty, method="margin_sampling"),
            "entropy": partial(uncertainty, method="entropy"),
            "least-confidence": partial(uncertainty, method="least_confident"),
        }[name](random_state=0)
        given = Given(classes=list(range(CLASSES)))
        given.classes_ = np.arange(CLASSES)
        reads_classifier = name in ("badge", "margin", "entropy", "least-confidence")
        more = {"clf": given, "fit_clf": False} if reads_classifier else {}
        return np.asarray(strategy.query(pool.features, pool.targets, batch_size=n, **more))

    return choose


def of_baal(name: str) -> Callable[[Pool, int], np.ndarray]:
    """A heuristic of Baal; predictions are N×K×M there."""

    def choose(pool: Pool, n: int) -> np.ndarray:
        from baal.active import heuristics

        if name in ("bald", "batchbald"):
            predictions = pool.passes[LABELLED:].swapaxes(1, 2)
        else:
            predictions = pool.probabilities[LABELLED:, :, None]
        heuristic = {
            "entropy": heuristics.Entropy,
            "margin": heuristics.Margin,
            "least-confidence": heuristics.Certainty,
            "bald": heuristics.BALD,
            "batchbald": lambda: heuristics.BatchBALD(num_samples=n, num_draw=1000 // predictions.shape[2]),
        }[name]()
        return np.asarray(heuristic(predictions))[:n] + LABELLED

    return choose


PEERS = ("scikit-activeml", "baal")
"""Packages that are compared with, as pip knows them."""

METHODS: dict[str, dict[str, Callable[[Pool, int], np.ndarray]]] = {
    name: {
        "aral": ours(name),
        **({"greedy k-centre": greedy_k_centre} if name == "core-set" else {}),
        "scikit-activeml": of_activeml(name),
        **(
            {"baal": of_baal(name)}
            if name in ("entropy", "margin", "least-confidence", "bald", "batchbald")
            else {}
        ),
    }
    for name in (
        "entropy",
        "margin",
        "least-confidence",
        "bald",
        "batchbald",
        "core-set",
        "badge",
        "typiclust",
        "probcover",
        "maxherding",
    )
}


# How good a batch is


def quality(name: str, pool: Pool, rows: np.ndarray) -> float | None:
    """The objective of the method, of the labelled rows and the chosen ones."""
    known = np.concatenate([np.arange(LABELLED), rows])
    points = pool.features.astype(np.float64)
    if name == "core-set":
        return round(float(np.sqrt(nearest_squared_distances(points, points[known]).max())), 4)
    if name == "probcover":
        return int((count_within(points[LABELLED:], points[known], RADIUS) > 0).sum())
    if name == "maxherding":
        unit = unit_length(points)
        squared = nearest_squared_distances(unit, unit[known])[LABELLED:]
        return round(float(np.exp(-squared).mean()), 5)
    if name == "batchbald":
        return round(joint_information(torch.from_numpy(pool.passes[rows]).double()), 4)
    return None


def joint_information(passes: torch.Tensor) -> float:
    """Of the labels of a batch and the pass, nats: log M less what is left of the pass's entropy given the labels."""
    sampled = SampledConfigurations(passes.shape[1], 20_000)
    for place, image in enumerate(passes):
        sampled.extend(image, Stream.root(0).child(place))
    posterior = sampled.given().posterior
    return float(np.log(passes.shape[1]) + posterior.xlogy(posterior).sum(dim=1).mean())


# Cases


def measure(name: str, method: str, place: Path, n: int, gib: float) -> dict[str, Any]:
    """One query, measured; its rows are among what is returned."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    pool, choose = pool_at(place), METHODS[name][method]
    few = np.arange(LABELLED + 120)
    choose(Pool(pool.features[few], pool.probabilities[few], pool.passes[few]), 2)  # imports what it uses
    resource.setrlimit(resource.RLIMIT_DATA, (int(gib * GIB), resource.RLIM_INFINITY))
    times: list[tuple[float, float]] = []
    with Memory() as memory:
        while not times or sum(wall for wall, _ in times) < REPEATED:
            began, worked = time.perf_counter(), time.process_time()
            rows = choose(pool, n)
            times.append((time.perf_counter() - began, time.process_time() - worked))
    seconds, processor = (float(figure) for figure in np.median(times, axis=0))
    return {
        "outcome": "done",
        "seconds": round(seconds, 6),
        "processor_seconds": round(processor, 6),
        "queries": len(times),
        "added_gib": round(memory.added, 3),
        "quality": quality(name, pool, rows),
        "rows": rows.tolist(),
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: a line for each query and peer."""
    lines = [
        "| query | images | n | by | seconds | times ours | GiB | same images | quality (ours) |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    by_key = {(row["query"], row["images"], row["query_size"], row["method"]): row for row in rows}
    order = list(METHODS)
    for (name, images, n, method), row in sorted(
        by_key.items(), key=lambda item: (order.index(item[0][0]), item[0][1:3], item[0][3])
    ):
        mine = by_key[name, images, n, "aral"]
        head = f"| `{name}` | {images:,} | {n:,} | {method} |"
        if row["outcome"] != "done":
            lines.append(f"{head} {row['outcome']} | – | – | – | – |")
            continue
        ratio = row["processor_seconds"] / mine["processor_seconds"]
        same = "" if method == "aral" else f"{row['same']:.0%}"
        good = "" if row["quality"] is None else f"{row['quality']:.6g} ({mine['quality']:.6g})"
        shown = "" if method == "aral" else f"{ratio:.3g}"
        lines.append(
            f"{head} {row['processor_seconds']:.3g} | {shown} | {row['added_gib']:.2f} | {same} | {good} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure the cases that are not kept yet."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", default="1000,10000,60000", help="sizes of the pool")
    parser.add_argument("--query-sizes", default="100", help="images of a query")
    parser.add_argument("--features", type=int, default=512, help="numbers of an image")
    parser.add_argument("--only", default="", help="queries, separated by commas")
    parser.add_argument("--seconds", type=float, default=300, help="limit of a case, imports included")
    parser.add_argument("--gib", type=float, default=8, help="limit of memory of a case")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "aral-pools")
    parser.add_argument("--again", action="store_true", help="run cases that are kept already")
    parser.add_argument("--out", default="pool-peers", help="name of the file of rows, or a path")
    parser.add_argument("--table", action="store_true", help="print the rows as Markdown")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case:
        case = json.loads(arguments.case)
        place = Path(case["place"])
        print(json.dumps(measure(case["query"], case["method"], place, case["query_size"], case["gib"])))
        return
    kept = KeptRows(arguments.out)
    if arguments.table:
        print(table(kept.rows))
        return
    names = arguments.only.split(",") if arguments.only else list(METHODS)
    versions = {
        "aral": measured_commit(),
        "greedy k-centre": f"scikit-learn {metadata.version('scikit-learn')}",
    }
    try:
        versions |= {name: metadata.version(name) for name in PEERS}
    except metadata.PackageNotFoundError as error:
        raise SystemExit(f"{error.name} is missing: pip install {' '.join(PEERS)}") from error
    for images in map(int, arguments.images.split(",")):
        place = write_pool(arguments.folder, images, arguments.features)
        for n in map(int, arguments.query_sizes.split(",")):
            for name in names:
                mine: list[int] = []
                keys = {
                    method: {"query": name, "images": images, "query_size": n, "method": method}
                    for method in METHODS[name]
                }
                if all(kept.has(key) for key in keys.values()) and not arguments.again:
                    continue
                for method, key in keys.items():
                    found = run_case(key, place, arguments.seconds, arguments.gib, __file__)
                    rows = found.pop("rows", [])
                    if method == "aral":
                        mine = rows
                    found["same"] = round(len(set(rows) & set(mine)) / n, 3)
                    kept.keep(key, {**found, "version": versions[method]})


if __name__ == "__main__":
    main()
