"""Time and memory of a query on pools of up to a million images, for every acquisition.

    python benchmarks/pool_scale.py --images 10000,60000 --query-sizes 100,1000
    python benchmarks/pool_scale.py --images 1000000 --only core-set,badge --seconds 3000
    python benchmarks/pool_scale.py --table

Each case is a process of its own on one thread with a limit of memory and of time; a case that exceeds one of them
is kept as such, and one that is kept already is not run again (``--again`` runs it). The outputs of the learner are
planted and nothing is trained: images of ten classes in ten groups each, on 64 directions of falling variance among 512
features and a little noise; probabilities and ten Monte-Carlo passes of linear classifiers on them; 100 more images are
labelled. All outputs are files that are mapped into memory, the features in float16; they are written once, to
``--folder``.

Rows go to results/pool-scale.json. A row names the commit of the package that was measured, which may be another one
than this script's: ``PYTHONPATH=OTHER/src python benchmarks/pool_scale.py --package NAME``. ``peak`` is the largest
resident memory of the process, the pages of mapped files that were read included; ``added`` is what of it is not backed
by a file and was not there before the query. ``--table`` prints the rows of a package as Markdown, with the exponents
of growth.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from acquisition_speed import measured_commit
from aral.acquisition import ACQUISITIONS, Need, PoolView, Predictions
from aral.randomness import Stream
from kept_rows import KeptRows

CLASSES, GROUPS, DIRECTIONS, PASSES, LABELLED = 10, 10, 64, 10, 100
GIB = 2**30
_ROWS_AT_A_TIME = 20_000

# The pool


def write_pool(folder: Path, images: int, features: int) -> Path:
    """Write the outputs of a learner on a pool, one ``.npy`` file a need, unless they are there; their folder."""
    place = folder / f"{images}x{features}"
    if (place / "complete").exists():
        return place
    place.mkdir(parents=True, exist_ok=True)
    total = images + LABELLED
    numbers = np.random.default_rng(0)
    spread = 1 / np.sqrt(1 + np.arange(DIRECTIONS))
    directions = np.linalg.qr(numbers.normal(size=(features, DIRECTIONS)))[0].T * np.sqrt(features) / 4
    groups = 1.5 * numbers.normal(size=(CLASSES, 1, DIRECTIONS)) + numbers.normal(
        size=(CLASSES, GROUPS, DIRECTIONS)
    )
    weights = 1.5 * groups.mean(axis=1).T / DIRECTIONS**0.5
    passes = weights + 0.15 * numbers.normal(size=(PASSES, DIRECTIONS, CLASSES))
    shapes: dict[Need, tuple[tuple[int, ...], str]] = {
        Need.FEATURES: ((features,), "float16"),
        Need.PROBABILITIES: ((CLASSES,), "float32"),
        Need.MC_PROBABILITIES: ((PASSES, CLASSES), "float32"),
        Need.PROPAGATED: ((CLASSES,), "float32"),
        Need.CLUSTERS: ((CLASSES,), "float32"),
        Need.SAMPLER_LOGITS: ((), "float32"),
        Need.DROPPED_CLASSES: ((3,), "int64"),
        Need.MIXING_CHANGES: ((5,), "int64"),
    }
    files = {
        need: np.lib.format.open_memmap(place / f"{need}.npy", mode="w+", dtype=dtype, shape=(total, *shape))
        for need, (shape, dtype) in shapes.items()
    }
    for start in range(0, total, _ROWS_AT_A_TIME):
        rows = np.arange(start, min(start + _ROWS_AT_A_TIME, total))
        group = rows // CLASSES % GROUPS
        inner = (groups[rows % CLASSES, group] + numbers.normal(size=(rows.size, DIRECTIONS))) * spread
        noise = numbers.normal(size=(rows.size, features), scale=0.1).astype(np.float32)
        softmaxes = _softmax(np.einsum("nd,mdk->nmk", inner, passes))
        dropped = [inner * (numbers.random(DIRECTIONS) > 0.75) @ weights for _ in range(3)]
        written = {
            Need.FEATURES: inner @ directions + noise,
            Need.PROBABILITIES: softmaxes.mean(axis=1),
            Need.MC_PROBABILITIES: softmaxes,
            Need.PROPAGATED: _softmax(inner @ weights + numbers.normal(size=(rows.size, CLASSES))),
            Need.CLUSTERS: _softmax(3 * inner @ weights),
            Need.SAMPLER_LOGITS: inner[:, 0] + numbers.normal(size=rows.size),
            Need.DROPPED_CLASSES: np.stack([each.argmax(axis=1) for each in dropped], axis=1),
            Need.MIXING_CHANGES: numbers.binomial(
                CLASSES, np.linspace(0.002, 0.02, 5) * (1 - softmaxes.mean(axis=1).max(axis=1))[:, None]
            ),
        }
        for need, values in written.items():
            files[need][rows[0] : rows[-1] + 1] = values
    near = numbers.integers(total, size=CLASSES * GROUPS)
    np.save(
        place / f"{Need.SYNTHESISED}.npy",
        files[Need.FEATURES][near].astype(np.float32) + numbers.normal(size=(near.size, features), scale=0.3),
    )
    for file in files.values():
        file.flush()
    (place / "complete").touch()
    return place


def _softmax(logits: np.ndarray) -> np.ndarray:
    found = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return found / found.sum(axis=-1, keepdims=True)


def read_pool(place: Path, needs: frozenset[Need]) -> PoolView:
    """The pool with the outputs that an acquisition needs, mapped into memory."""
    outputs: dict[Need, torch.Tensor] = {}
    for need in needs:
        name = Need.FEATURES if need is Need.REPRESENTATION else need
        outputs[need] = torch.from_numpy(np.load(place / f"{name}.npy", mmap_mode="c"))
    total = len(np.load(place / f"{Need.FEATURES}.npy", mmap_mode="r"))
    ids = np.arange(total, dtype=np.int64)

    def part(rows: slice) -> Predictions:
        return Predictions(
            ids[rows],
            {need: value if need is Need.SYNTHESISED else value[rows] for need, value in outputs.items()},
        )

    classes = np.arange(LABELLED, dtype=np.int64) % CLASSES
    return PoolView(part(slice(LABELLED, None)), part(slice(LABELLED)), classes, CLASSES)


# One case, in a process of its own


class Memory:
    """Resident memory of this process since the ``with`` block began."""

    def __enter__(self) -> Memory:
        Path("/proc/self/clear_refs").write_text("5")  # the largest value so far is forgotten
        self._before = self._highest = _status("RssAnon")
        self._ended = threading.Event()
        self._watch = threading.Thread(target=self._look, daemon=True)
        self._watch.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._watch.join()
        self.peak = _status("VmHWM")
        self.added = self._highest - self._before

    def _look(self) -> None:
        while not self._ended.wait(0.01):
            self._highest = max(self._highest, _status("RssAnon"))


def _status(name: str) -> float:
    """A value of this process's status in GiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024 / GIB
    return 0.0


def measure(name: str, place: Path, query_size: int, gib: float) -> dict[str, object]:
    """Time, memory and choice of one query."""
    torch.set_num_threads(1)
    acquisition, pool = ACQUISITIONS[name], read_pool(place, ACQUISITIONS[name].needs)
    small = PoolView(
        pool.unlabelled.rows(np.arange(200)), pool.labelled, pool.labelled_classes, pool.class_count
    )
    acquisition(small, 2, Stream.root(1))  # imports what it uses
    resource.setrlimit(resource.RLIMIT_DATA, (int(gib * GIB), resource.RLIM_INFINITY))
    began, worked = time.perf_counter(), time.process_time()
    with Memory() as memory:
        chosen = acquisition(pool, query_size, Stream.root(1))
        seconds, processor = time.perf_counter() - began, time.process_time() - worked
    return {
        "outcome": "done",
        "seconds": round(seconds, 2),
        "processor_seconds": round(processor, 2),
        "peak_gib": round(memory.peak, 2),
        "added_gib": round(memory.added, 2),
        "score_sum": float(f"{chosen.scores.sum():.8g}"),
        "chosen": hashlib.sha256(chosen.ids.astype("<i8").tobytes()).hexdigest()[:16],
        "reason": chosen.reasons[-1],
    }


def run_case(
    case: dict[str, Any], place: Path, seconds: float, gib: float, script: str = __file__
) -> dict[str, Any]:
    """One case of a script in a process of its own, and how it ended."""
    words = [sys.executable, script, "--case", json.dumps({**case, "place": str(place), "gib": gib})]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, timeout=seconds, env=environment, check=False
        )
    except subprocess.TimeoutExpired:
        return {"outcome": f"over {seconds:g} s"}
    if done.returncode == 0:
        return dict(json.loads(done.stdout.splitlines()[-1]))
    last = (done.stderr.strip().splitlines() or ["no message"])[-1]
    if "llocate" in last or "MemoryError" in last or done.returncode < 0:
        return {"outcome": f"over {gib:g} GiB"}
    return {"outcome": f"failed: {last[:200]}"}


# All cases


def cases(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """The cases that were asked for, the smallest pools first."""
    names = arguments.only.split(",") if arguments.only else list(ACQUISITIONS)
    for images in map(int, arguments.images.split(",")):
        for query_size in map(int, arguments.query_sizes.split(",")):
            for name in names:
                yield {
                    "acquisition": name,
                    "images": images,
                    "features": arguments.features,
                    "query_size": query_size,
                }


def table(rows: list[dict[str, Any]], package: str) -> str:
    """Markdown: seconds and gibibytes by pool and query size, and how both grow with the pool."""
    found = {
        (row["acquisition"], row["images"], row["query_size"]): row
        for row in rows
        if package in ("", row["package"])
    }
    pools = sorted({images for _, images, _ in found})
    sizes = sorted({query_size for _, _, query_size in found})
    heads = [f"{images:,}, {size:,}" for size in sizes for images in pools]
    lines = [
        f"| acquisition | {' | '.join(heads)} | growth |",
        f"|---|{'---|' * (len(heads) + 1)}",
    ]
    for name in (each for each in ACQUISITIONS if any(key[0] == each for key in found)):
        cells = [_cell(found.get((name, images, size))) for size in sizes for images in pools]
        lines.append(f"| `{name}` | {' | '.join(cells)} | {_growth(found, name, pools, sizes)} |")
    return "\n".join(lines)


def _cell(row: dict[str, Any] | None) -> str:
    if row is None:
        return "–"
    if row["outcome"] != "done":
        return str(row["outcome"])
    return f"{row['processor_seconds']:.3g} s, {row['added_gib']:.1f}"


def _growth(found: dict[Any, dict[str, Any]], name: str, pools: list[int], sizes: list[int]) -> str:
    """The exponent of N in the time between the two largest pools that were measured, of each query size."""
    exponents = []
    for size in sizes:
        done = [
            (images, row["processor_seconds"])
            for images in pools
            if (row := found.get((name, images, size))) and row["outcome"] == "done"
        ]
        if len(done) < 2 or min(done[-2][1], done[-1][1]) < 0.05:
            exponents.append("–")
            continue
        (few, short), (many, long) = done[-2:]
        exponents.append(f"N^{math.log(long / short) / math.log(many / few):.1f}")
    return ", ".join(exponents)


def main() -> None:
    """Measure the cases that are not kept yet."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", default="10000,60000,1000000", help="sizes of the pool")
    parser.add_argument("--query-sizes", default="100,1000", help="images of a query")
    parser.add_argument("--features", type=int, default=512, help="numbers of an image")
    parser.add_argument("--only", default="", help="acquisitions, separated by commas")
    parser.add_argument("--seconds", type=float, default=600, help="limit of a case, imports included")
    parser.add_argument("--gib", type=float, default=8, help="limit of memory of a case")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "aral-pools")
    parser.add_argument("--package", default="", help="name of the package in the rows; default: its commit")
    parser.add_argument("--again", action="store_true", help="run cases that are kept already")
    parser.add_argument("--out", default="pool-scale", help="name of the file of rows, or a path")
    parser.add_argument("--table", action="store_true", help="print the rows of --package as Markdown")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case:
        case = json.loads(arguments.case)
        place = Path(case["place"])
        print(json.dumps(measure(case["acquisition"], place, case["query_size"], case["gib"])))
        return
    kept = KeptRows(arguments.out)
    if arguments.table:
        print(table(kept.rows, arguments.package))
        return
    package = arguments.package or measured_commit()
    for case in cases(arguments):
        key = {**case, "package": package}
        if kept.has(key) and not arguments.again:
            continue
        place = write_pool(arguments.folder, case["images"], case["features"])
        kept.keep(key, run_case(case, place, arguments.seconds, arguments.gib))


if __name__ == "__main__":
    main()
