"""Queries of a pool in shards against the same queries of the whole pool: quality and time.

    python benchmarks/sharded_queries.py --images 10000
    python benchmarks/sharded_queries.py --features 512 --shards 1,64 --only core-set
    python benchmarks/sharded_queries.py --file features.npy --classes classes.npy --shards 1,16
    python benchmarks/sharded_queries.py --table

The pools are those that pool_scale.py plants (images of ten classes in ten groups each, float16, mapped from files; 100
more are labelled), or the rows of a ``.npy`` file, of which 100 random ones are taken for labelled. An image is in a
random shard, or shards are consecutive parts of the pool sorted by class, so that a shard has few classes. With one
shard the query is that of the whole pool.

Rows go to results/sharded-queries.json. ``quality`` is, for core-set, the largest distance of an image to its nearest
labelled or chosen one, and for the others the increase of the coverage of the compared images. Seconds are processor
time of one thread: ``first_level`` of the shard that takes longest, its sample included, ``all_shards`` of all shards
together, ``second_level`` of what is computed once. ``--table`` prints the rows as Markdown.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from acquisition_speed import measured_commit
from aral.acquisition import Need, PoolView, Predictions
from aral.acquisition.geometry import labelled_features, nearest_squared_distances, vectors_of
from aral.acquisition.sharded import merge, needs_sample, sample, share, summarise
from aral.randomness import Stream
from aral.types import Ids, Selection
from kept_rows import KeptRows
from pool_scale import CLASSES, LABELLED, read_pool, write_pool

NAMES = ("core-set", "maxherding", "uncertainty-herding")
NEEDS = frozenset({Need.FEATURES, Need.REPRESENTATION, Need.PROBABILITIES})
STREAM = Stream.root(1)

_Found = TypeVar("_Found")


def pool_of_file(features: Path, classes: Path | None) -> tuple[PoolView, np.ndarray | None]:
    """A pool whose vectors are the rows of a file, and the class of each unlabelled image."""
    values = torch.from_numpy(np.load(features, mmap_mode="c"))
    ids = np.arange(len(values), dtype=np.int64)
    everything = Predictions(ids, features=values, representation=values)
    labelled = np.sort(np.argsort(STREAM.child("labelled").uniform(ids))[:LABELLED])
    others = np.setdiff1d(ids, labelled)
    given = np.zeros(ids.size, dtype=np.int64) if classes is None else np.load(classes).astype(np.int64)
    pool = PoolView(everything.rows(others), everything.rows(labelled), given[labelled], int(given.max()) + 1)
    return pool, None if classes is None else given[others]


def partition(kind: str, ids: Ids, classes: np.ndarray, shards: int) -> list[np.ndarray]:
    """The rows of each shard: each in a random one, or consecutive parts of the pool sorted by class."""
    if kind == "random":
        at = (STREAM.child("shards").uniform(ids) * shards).astype(np.int64)
        return [np.flatnonzero(at == shard) for shard in range(shards)]
    return [np.sort(part) for part in np.array_split(np.argsort(classes, kind="stable"), shards)]


def timed(call: Callable[[], _Found]) -> tuple[_Found, float]:
    """The result of a call and the processor time it took."""
    began = time.process_time()
    found = call()
    return found, time.process_time() - began


def measure(name: str, pool: PoolView, parts: list[np.ndarray], query_size: int) -> dict[str, object]:
    """Quality and time of one query of a pool in these parts."""
    views = [
        PoolView(pool.unlabelled.rows(rows), pool.labelled, pool.labelled_classes, pool.class_count)
        for rows in parts
    ]
    of_shard, once, shared = np.zeros(len(views)), 0.0, None
    if needs_sample(name):
        samples = []
        for place, view in enumerate(views):
            found, seconds = timed(partial(sample, name, view, query_size, STREAM))
            samples.append(found)
            of_shard[place] += seconds
        shared, once = timed(lambda: share(name, samples, pool, query_size, STREAM))
    summaries = []
    for place, view in enumerate(views):
        summary, seconds = timed(partial(summarise, name, view, query_size, STREAM, shared))
        summaries.append(summary)
        of_shard[place] += seconds
    chosen, seconds = timed(lambda: merge(name, summaries, query_size, STREAM, shared))
    return {
        "quality": float(f"{quality(name, pool, chosen):.6g}"),
        "first_level": round(float(of_shard.max()), 3),
        "all_shards": round(float(of_shard.sum()), 3),
        "second_level": round(once + seconds, 3),
        "candidates": sum(summary.ids.size for summary in summaries),
    }


def quality(name: str, pool: PoolView, chosen: Selection) -> float:
    """The radius or the coverage that was reached."""
    if name != "core-set":
        return float(chosen.scores.sum())
    features = vectors_of(pool.unlabelled, Need.FEATURES)
    rows = np.searchsorted(pool.unlabelled.ids, chosen.ids)
    centres = np.concatenate([labelled_features(pool, features.shape[1]), features[rows]])
    return float(np.sqrt(nearest_squared_distances(features, centres).max()))


def pools(arguments: argparse.Namespace) -> Iterator[tuple[dict[str, Any], PoolView, np.ndarray | None]]:
    """What is known of each pool, the pool, and the class of each of its unlabelled images."""
    if arguments.file:
        pool, classes = pool_of_file(arguments.file, arguments.classes)
        features = pool.unlabelled.source(Need.FEATURES)[0].shape[1]
        yield (
            {"data": arguments.file.stem, "images": pool.unlabelled.ids.size, "features": features},
            pool,
            classes,
        )
        return
    for images in map(int, arguments.images.split(",")):
        for features in map(int, arguments.features.split(",")):
            pool = read_pool(write_pool(arguments.folder, images, features), NEEDS)
            known = {"data": "planted", "images": images, "features": features}
            yield known, pool, pool.unlabelled.ids % CLASSES


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: quality relative to one level, and the seconds of the longest shard and of level two."""
    found = {
        (
            row["data"],
            row["acquisition"],
            row["images"],
            row["features"],
            row["partition"],
            row["shards"],
        ): row
        for row in rows
    }
    shards = sorted({row["shards"] for row in rows if row["shards"] > 1})
    lines = [
        f"| query | images | features | one level | partition | {' | '.join(f'{each} shards' for each in shards)} |",
        f"|---|{'---|' * (len(shards) + 4)}",
    ]
    cases = dict.fromkeys(key[:4] for key in found)
    for data, name, images, features in cases:
        whole = found.get((data, name, images, features, "random", 1))
        if whole is None:
            continue
        single = f"{whole['quality']:.4g}; {whole['first_level'] + whole['second_level']:.2f} s"
        pool = f"{images:,}" if data == "planted" else f"{images:,} ({data})"
        for kind in ("random", "sorted"):
            cells = [
                _cell(found.get((data, name, images, features, kind, count)), whole["quality"])
                for count in shards
            ]
            if set(cells) != {"–"}:
                lines.append(f"| `{name}` | {pool} | {features} | {single} | {kind} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(row: dict[str, Any] | None, whole: float) -> str:
    if row is None:
        return "–"
    return f"{row['quality'] / whole:.3f}; {row['first_level']:.2f} + {row['second_level']:.2f} s"


def main() -> None:
    """Measure the cases that are not kept yet."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", default="10000,60000", help="sizes of planted pools")
    parser.add_argument("--features", default="64,512", help="numbers of an image in planted pools")
    parser.add_argument("--file", type=Path, help="a .npy file of features in place of planted pools")
    parser.add_argument("--classes", type=Path, help="a .npy file of the classes, to sort --file by")
    parser.add_argument("--shards", default="1,4,16,64", help="numbers of shards")
    parser.add_argument("--partitions", default="random,sorted", help="how images are put into shards")
    parser.add_argument("--query-size", type=int, default=100, help="images of a query")
    parser.add_argument("--only", default=",".join(NAMES), help="acquisitions, separated by commas")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "aral-pools")
    parser.add_argument("--again", action="store_true", help="run cases that are kept already")
    parser.add_argument("--out", default="sharded-queries", help="name of the file of rows, or a path")
    parser.add_argument("--table", action="store_true", help="print the rows as Markdown")
    arguments = parser.parse_args()
    kept = KeptRows(arguments.out)
    if arguments.table:
        print(table(kept.rows))
        return
    torch.set_num_threads(1)
    with threadpool_limits(1):
        for known, pool, classes in pools(arguments):
            for case in cases(arguments, known, classes is not None):
                if kept.has(case) and not arguments.again:
                    continue
                parts = partition(
                    case["partition"],
                    pool.unlabelled.ids,
                    np.zeros(0) if classes is None else classes,
                    case["shards"],
                )
                values = measure(case["acquisition"], pool, parts, case["query_size"])
                kept.keep(case, {**values, "package": measured_commit()})


def cases(
    arguments: argparse.Namespace, known: dict[str, Any], has_classes: bool
) -> Iterator[dict[str, Any]]:
    """The cases of one pool that were asked for."""
    for name in arguments.only.split(","):
        if known["data"] != "planted" and name == "uncertainty-herding":
            continue  # a file of features has no probabilities
        for shards in map(int, arguments.shards.split(",")):
            for kind in arguments.partitions.split(","):
                if kind == "sorted" and (shards == 1 or not has_classes):
                    continue
                yield {
                    "acquisition": name,
                    **known,
                    "query_size": arguments.query_size,
                    "shards": shards,
                    "partition": kind,
                }


if __name__ == "__main__":
    main()
