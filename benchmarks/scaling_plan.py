"""What a large pool needs: storage, bytes moved, hours and cost, by coefficients that were measured on one machine.

    python benchmarks/scaling_plan.py --measure data/photos/trash    # coefficients → results/scaling-coefficients.json
    python benchmarks/scaling_plan.py                                # the tables of docs/scaling.md

A coefficient is a rate or a size of one image on one core (:class:`Coefficients`); what could not be measured is an
assumption with a source (``ASSUMED``), and every figure that rests on one is marked ≈. The plan is arithmetic on both:
1.2 million images of ImageNet on eight GPUs (section 4.2 of the paper), a pool of a billion on a cluster, and at which
size of the pool each part of one machine reaches its limit.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from aral.representations import FeatureCache, ImageFiles, RepresentationSettings, make_backbone
from aral.representations.feature_cache import NewFeatures
from aral.representations.settings import EMBEDDED
from curves import RESULTS
from kept_rows import KeptRows

FILE = "scaling-coefficients"
HOUR, DAY = 3600.0, 86400.0
GB, TB = 1e9, 1e12

ASSUMED: dict[str, tuple[float, str]] = {
    "bytes of an image": (108e3, "ILSVRC 2012: 138 GB of training images / 1,281,167"),
    "sustained operations a second of a GPU": (
        1e14,
        "a third of an A100's 312 TFLOP/s in bfloat16 (data sheet)",
    ),
    "cores beside a GPU": (12.0, "common cloud machines with eight A100"),
    "price of a GPU-hour, USD": (2.5, "on-demand lists of 2025, 2 to 4 USD"),
    "price of a core-hour, USD": (0.04, "on-demand lists of 2025"),
    "price of a TB-month of object storage, USD": (23.0, "list price of S3 Standard"),
    "bytes a second of a node's network": (1.25e9, "10 Gbit/s"),
}
"""Value and source of what was not measured."""


@dataclass(frozen=True)
class Coefficients:
    """What was measured, of one core and one image.

    Attributes:
        decoded: JPEG files of 512×384 a second, brought into the square that the backbone reads.
        embedded: squares a second through the embedded backbone.
        cache_bytes: of the feature cache, features and index.
        cached: rows appended to the cache a second.
        project_bytes: of a project's file and pixels.
        imported: small files imported a second.
        million_scored: seconds of a query by scores of single images in a pool of a million.
        million_covered: seconds of a query of 100 by coverage (MaxHerding) in a pool of a million.
        step_operations: of a training step of ``no-co-training`` on ImageNet's preset, for each labelled image.
    """

    decoded: float
    embedded: float
    cache_bytes: float
    cached: float
    project_bytes: float
    imported: float
    million_scored: float
    million_covered: float
    step_operations: float

    @classmethod
    def read(cls) -> Coefficients:
        """From the rows.

        Raises:
            SystemExit: one was not measured.
        """
        path = RESULTS / f"{FILE}.json"
        rows = json.loads(path.read_text())["rows"] if path.exists() else []
        found = {row["coefficient"]: row["value"] for row in rows}
        missing = sorted(cls.__dataclass_fields__.keys() - found)
        if missing:
            raise SystemExit(f"Not measured: {', '.join(missing)}. First: --measure PHOTOS")
        return cls(**{name: found[name] for name in cls.__dataclass_fields__})


# --- Measuring -------------------------------------------------------------------------------------------------


def coefficients(photos: Path) -> Iterator[tuple[str, float]]:
    """Each coefficient as soon as it is measured; those of other benchmarks are read from their rows."""
    torch.set_num_threads(1)
    backbone = make_backbone(RepresentationSettings(backbone=EMBEDDED))
    names = [str(path.relative_to(photos)) for path in sorted(photos.rglob("*.jpg"))[:200]]
    files, framing = ImageFiles(photos, names), backbone.framing

    def decode() -> int:
        for position in range(len(names)):
            framing.frame(files.open(position, framing.enough).image)
        return len(names)

    squares = torch.randint(0, 256, (40, 3, framing.side, framing.side), dtype=torch.uint8)
    yield "decoded", _rate(decode)
    yield "embedded", _rate(lambda: len(backbone.features(squares)))
    count = 20_000
    with TemporaryDirectory() as folder, FeatureCache(Path(folder), backbone) as cache:
        values = np.random.default_rng(0).normal(size=(count, backbone.feature_size)).astype(np.float32)
        begun = time.process_time()
        for start in range(0, count, 64):
            rows = range(start, min(start + 64, count))
            cache.append([NewFeatures((f"{row:064x}", "original"), values[row]) for row in rows])
        yield "cached", count / (time.process_time() - begun)
        yield "cache_bytes", sum(path.stat().st_size for path in Path(folder).iterdir()) / count
    largest = max(_rows("labelling-import"), key=lambda row: row["images"])
    yield "imported", largest["images_per_second"]
    yield "project_bytes", largest["project_megabytes"] * 2**20 / largest["images"]
    for name, acquisition in (("million_scored", "margin"), ("million_covered", "maxherding")):
        seconds = [
            row["processor_seconds"]
            for row in _rows("pool-scale")
            if row["acquisition"] == acquisition and row["images"] == 1_000_000 and row["query_size"] == 100
        ]
        if seconds:
            yield name, min(seconds)
    yield "step_operations", _step_operations()


def _rows(name: str) -> list[dict[str, Any]]:
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text())["rows"] if path.exists() else []


def _rate(work: Callable[[], int], seconds: float = 10.0) -> float:
    """Units of work for each second of the processor."""
    work()
    begun, done = time.process_time(), 0
    while time.process_time() - begun < seconds:
        done += work()
    return done / (time.process_time() - begun)


def _step_operations() -> float:
    """Of a training step of the ImageNet pipeline, for each labelled image; by PyTorch's formulas."""
    from aral.benchmarking import Method, make_learner, resolve
    from aral.randomness import Stream
    from aral.types import ImageSet, LabelledSet
    from train_step import operations

    batch = 2
    spec = resolve(
        "imagenet",
        Method.parse("no-co-training"),
        [f"learner.training.labelled_batch={batch}", f"learner.training.unlabelled_batch={batch}"],
    )
    pixels = torch.zeros((8, 3, spec.side, spec.side), dtype=torch.uint8)
    pool, stream, ids = ImageSet.of(pixels), Stream.root(0), np.arange(4)
    learner = make_learner(spec.learner, pool, 1000, stream)
    learner.set_pool(pool, stream)
    learner.start_round(0, LabelledSet(pool.subset(ids), ids, 1000), pool.without(ids), stream)
    return 1e9 * operations(lambda: learner.step(0)) / batch


# --- The plan --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Line:
    """A line of a table.

    Attributes:
        what: in words.
        value: with its unit.
        extrapolated: rests on an assumption.
    """

    what: str
    value: str
    extrapolated: bool


def imagenet(c: Coefficients, gpus: int = 8, images: int = 1_281_167, rounds: int = 8) -> list[Line]:
    """Section 4.2: 5 % of the labels a round up to 40 %, 50,000 steps of 64 labelled images a round."""
    steps, batch = 50_000, 64
    training = (
        rounds
        * steps
        * batch
        * c.step_operations
        / (gpus * _assumed("sustained operations a second of a GPU"))
    )
    cores = gpus * _assumed("cores beside a GPU")
    read = 2 * batch * rounds * steps  # labelled and unlabelled images
    decoding = read / (cores * c.decoded)
    features = images / (cores * _harmonic(c.decoded, c.embedded))
    gpu_hours = gpus * max(training, decoding) / HOUR
    return [
        Line("images", f"{images:,}", False),
        Line("files", _bytes(images * _assumed("bytes of an image")), True),
        Line("project", _bytes(images * c.project_bytes), False),
        Line("features of the embedded backbone", _bytes(images * c.cache_bytes), False),
        Line(f"features, on {cores:.0f} cores without a GPU", _hours(features), True),
        Line(f"training, {rounds} rounds of {steps:,} steps", _hours(training), True),
        Line(f"decoding for it, on {cores:.0f} cores", _hours(decoding), True),
        Line("read by training", _bytes(read * _assumed("bytes of an image")), True),
        Line("a query by scores, one core", _hours(c.million_scored * images / 1e6), False),
        Line("a query by coverage, one core", _hours(c.million_covered * images / 1e6), False),
        Line("cost of the GPUs", _dollars(gpu_hours * _assumed("price of a GPU-hour, USD")), True),
    ]


def billion(
    c: Coefficients, images: float = 1e9, cores: int = 2000, shard: float = 1e6, query: int = 1000
) -> list[Line]:
    """A pool in shards: features once, then queries in two levels, of shards and of what they return."""
    size = _assumed("bytes of an image")
    shards = images / shard
    features = images / (cores * _harmonic(c.decoded, c.embedded))
    returned = shards * query * (c.cache_bytes + 16)
    nodes = cores / 64
    return [
        Line("images", f"{images:,.0f}", False),
        Line("files", _bytes(images * size), True),
        Line("features", _bytes(images * c.cache_bytes), False),
        Line(f"features, on {cores:,} cores", _hours(features), True),
        Line("their cost", _dollars(cores * features / HOUR * _assumed("price of a core-hour, USD")), True),
        Line(
            f"reading the files, {nodes:.0f} nodes",
            _hours(images * size / (nodes * _assumed("bytes a second of a node's network"))),
            True,
        ),
        Line(
            "storage a month",
            _dollars(
                (images * (size + c.cache_bytes))
                / TB
                * _assumed("price of a TB-month of object storage, USD")
            ),
            True,
        ),
        Line(
            f"a query, first level: {shards:,.0f} shards on {cores:,} cores",
            _hours(max(1.0, shards / cores) * c.million_covered * shard / 1e6),
            False,
        ),
        Line(f"returned to the coordinator ({query:,} images a shard)", _bytes(returned), False),
        Line("second level, one core", _hours(c.million_covered * shards * query / 1e6), False),
    ]


def limits(
    c: Coefficients, memory: float = 8 * 2**30, disk: float = TB, cores: int = 2
) -> list[tuple[float, str]]:
    """The size of the pool at which each part of one machine reaches its limit, ascending.

    Args:
        c: the coefficients.
        memory: of a process.
        disk: of the machine.
        cores: of the machine.
    """
    found = [
        (DAY * cores * _harmonic(c.decoded, c.embedded), f"features take more than a day on {cores} cores"),
        (DAY * c.cached, "appending to one cache of features takes more than a day"),
        (DAY * c.imported, "the import of a project takes more than a day"),
        (HOUR * 1e6 / c.million_covered, "a query by coverage takes more than an hour of one core"),
        (HOUR * 1e6 / c.million_scored, "a query by scores takes more than an hour of one core"),
        (disk / c.cache_bytes, f"the features fill {_bytes(disk)}"),
        (disk / c.project_bytes, f"the project's file fills {_bytes(disk)}"),
        # Ids, scores and random numbers of ties: three arrays of eight bytes.
        (memory / 24, f"three numbers of each image fill {memory / 2**30:.0f} GiB of memory"),
    ]
    return sorted(found)


def _assumed(name: str) -> float:
    return ASSUMED[name][0]


def _harmonic(one: float, other: float) -> float:
    """The rate of two things done one after the other."""
    return 1 / (1 / one + 1 / other)


def _bytes(count: float) -> str:
    for unit, size in (("PB", 1e15), ("TB", TB), ("GB", GB), ("MB", 1e6)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count:.0f} bytes"


def _hours(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.2g} s"
    return f"{seconds / 60:.0f} min" if seconds < 2 * HOUR else f"{seconds / HOUR:,.0f} h"


def _dollars(value: float) -> str:
    return f"{value:,.0f} USD"


def table(lines: list[Line]) -> str:
    """Markdown."""
    rows = [f"| {line.what} | {'≈ ' if line.extrapolated else ''}{line.value} |" for line in lines]
    return "\n".join(["| | |", "|---|---|", *rows])


def main() -> None:
    """Measure what is missing, or print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--measure", type=Path, metavar="PHOTOS", help="a folder of JPEG files")
    given = parser.parse_args()
    if given.measure:
        rows = KeptRows(FILE)
        for name, value in coefficients(given.measure):
            rows.keep({"coefficient": name}, {"value": float(f"{value:.4g}")})
        return
    c = Coefficients.read()
    print(table(imagenet(c)), table(billion(c)), sep="\n\n", end="\n\n")
    print("| images | what reaches its limit |\n|---|---|")
    for size, what in limits(c):
        print(f"| {size:,.2g} | {what} |")


if __name__ == "__main__":
    main()
