"""Training step, features of a backbone, and queries of a pool on a device: steps, images and rows a second.

    benchmarks/gpu.sh                                      # on a machine with a GPU, under ten minutes
    python benchmarks/gpu.py --device cpu --seconds 2 --presets mnist features --out /tmp/gpu.json   # a trial

- *Training*: steps of ``aral`` of both objectives for the networks of each preset, in float32 and bfloat16. Batches are
  made and sent one step ahead. Before the clock is read, the device has finished.
- *Features*: images of 256×256 pixels through the embedded backbone, already framed; then JPEG files, decoded by all
  processors.
- *Queries*: what acquisitions read of a pool of 50,000 images (probabilities, features, 20 Monte-Carlo passes) on the
  device, and the choice of 100 images from it, which is computed by the processor.

Nothing is claimed about a GPU without the rows of one: results/gpu.json does not exist until this was run there.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from PIL import Image

from aral.acquisition import Need, PoolView, make_acquisition
from aral.benchmarking import make_learner
from aral.learners.interface import Learner
from aral.randomness import Stream
from aral.representations import ImageFiles, RepresentationSettings, features_in_order, make_backbone
from aral.representations.settings import EMBEDDED
from aral.types import NO_IDS, ImageSet
from kept_rows import KeptRows
from train_step import CLASSES, SHAPES, Material, specified

NEEDS = {
    "margin": {Need.PROBABILITIES},
    "bald": {Need.MC_PROBABILITIES},
    "badge": {Need.PROBABILITIES, Need.FEATURES},
    "core-set": {Need.FEATURES},
}
"""Acquisitions, and what they read."""


def rate(work: Callable[[], int], seconds: float, device: torch.device) -> float:
    """Units of work a second: of repetitions after the first, until so many seconds have passed."""
    work()
    _finish(device)
    begun, done = time.perf_counter(), 0
    while time.perf_counter() - begun < seconds:
        done += work()
        _finish(device)
    return done / (time.perf_counter() - begun)


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def measure_training(rows: KeptRows, presets: list[str], seconds: float, device: torch.device) -> None:
    """Steps a second of each preset, objective and precision."""
    for preset in presets:
        material = Material(SHAPES[preset])
        for objective in ("paper", "released"):
            for precision in ("float32", "bfloat16"):
                stream = Stream.root(0)
                settings = specified(preset, objective, precision)
                learner = make_learner(settings, material.pool, CLASSES, stream.child("learner"), str(device))
                learner.set_pool(material.pool, stream.child("pool"))
                learner.set_labels(material.labelled)
                rest = material.pool.without(material.labelled.images.ids)
                learner.start_round(0, material.labelled, rest, stream.child("round"))
                position = iter(range(10**9))

                def ten(learner: Learner = learner, position: Iterator[int] = position) -> int:
                    for _ in range(10):
                        learner.step(next(position) % learner.steps_per_round)
                    return 10

                found = rate(ten, seconds, device)
                key = {"what": "training", "preset": preset, "objective": objective, "precision": precision}
                rows.keep(key, {"device": _name(device), "steps a second": round(found, 2)})


def measure_features(rows: KeptRows, seconds: float, device: torch.device) -> None:
    """Images a second through the embedded backbone."""
    backbone = make_backbone(RepresentationSettings(backbone=EMBEDDED)).on(device)
    side = backbone.framing.side
    squares = torch.randint(0, 256, (4 * backbone.batch, 3, side, side), dtype=torch.uint8)
    found = rate(lambda: len(backbone.features(squares)), seconds, device)
    rows.keep({"what": "features, framed"}, {"device": _name(device), "images a second": round(found, 1)})
    with TemporaryDirectory() as folder:
        names = [f"{number}.jpg" for number in range(256)]
        draw = np.random.default_rng(0)
        for name in names:
            small = Image.fromarray(draw.integers(0, 256, (32, 32, 3), dtype=np.uint8))
            content = io.BytesIO()
            small.resize((256, 256), Image.Resampling.BICUBIC).save(content, "JPEG", quality=85)
            (Path(folder) / name).write_bytes(content.getvalue())
        files = ImageFiles(Path(folder), names)
        found = rate(lambda: sum(1 for _ in features_in_order(files, backbone)), seconds, device)
    rows.keep({"what": "features, JPEG files"}, {"device": _name(device), "images a second": round(found, 1)})


def measure_queries(rows: KeptRows, count: int, device: torch.device) -> None:
    """Seconds of what acquisitions read of a pool, and of their choice."""
    stream = Stream.root(0)
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (count, 3, 32, 32), dtype=np.uint8))
    pool = ImageSet.of(pixels)
    learner = make_learner(
        specified("cifar10", "released", "float32"), pool, CLASSES, stream.child("learner"), str(device)
    )
    learner.predict(pool.subset(pool.ids[:500]), {Need.PROBABILITIES}, stream)
    for name, needs in NEEDS.items():
        begun = time.perf_counter()
        known = learner.predict(pool, needs, stream)
        read = time.perf_counter()
        view = PoolView(known, known.rows(NO_IDS), NO_IDS, CLASSES)
        make_acquisition(name)(view, 100, stream)
        rows.keep(
            {"what": "query", "acquisition": name, "pool": count},
            {
                "device": _name(device),
                "seconds of predictions": round(read - begun, 2),
                "seconds of the choice": round(time.perf_counter() - read, 2),
            },
        )


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)


def main() -> None:
    """Measure everything once."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--seconds", type=float, default=8.0, help="of each rate")
    parser.add_argument("--presets", nargs="+", default=["mnist", "cifar10", "celeba", "features"])
    parser.add_argument("--pool", type=int, default=50_000, help="images of the queries")
    parser.add_argument("--out", default="gpu")
    given = parser.parse_args()
    device = torch.device(given.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise SystemExit("PyTorch finds no GPU here. A trial on the processor: --device cpu --seconds 1")
    rows = KeptRows(given.out)
    measure_training(rows, given.presets, given.seconds, device)
    measure_features(rows, given.seconds, device)
    measure_queries(rows, given.pool, device)


if __name__ == "__main__":
    main()
