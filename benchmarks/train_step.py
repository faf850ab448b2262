"""Speed of a training step of ``aral`` beside the same step written plainly, on one core, in one process.

    python benchmarks/train_step.py
    python benchmarks/train_step.py --presets mnist cifar10 --objectives paper

The batches are random images of the preset's shape, the networks and batch sizes those of the preset. The package's
step, in float32 and in the precision chosen for the processor, and the plain step of ``plain_step.py`` take turns; the
median of their times counts. A row has for each: milliseconds, billions of floating-point operations of products and
convolutions, as PyTorch counts them, and their rate in percent of that of a square product, once by the time of the
whole step and once by the time within products and convolutions. Rows: ``train-step.json``; measured rows are not
measured again.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from functools import partial
from statistics import median
from typing import Any

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from aral.benchmarking import Method, make_learner, resolve
from aral.data.batches import LabelledBatches, UnlabelledBatches
from aral.learners.aral import Aral, AralSettings
from aral.learners.engine import Batch, Engine, Stage
from aral.learners.interface import Task
from aral.learners.nets import Nets
from aral.networks.interface import PixelRange
from aral.randomness import Stream
from aral.types import ImageSet, LabelledSet
from kept_rows import KeptRows
from plain_step import PlainStep

SHAPES = {
    "mnist": (1, 28, 28),
    "cifar10": (3, 32, 32),
    "celeba": (3, 64, 64),
    "features": (256, 1, 1),
}
"""Channels, height and width of the images of a preset."""

POOL, LABELS, CLASSES = 1000, 100, 10
PRODUCTS = ("addmm", "mm", "bmm", "mkldnn_convolution", "convolution_backward", "_slow_conv2d_forward")
"""PyTorch's operators that are counted as products."""


def specified(preset: str, objective: str, precision: str) -> AralSettings:
    """The settings of ``aral`` for a preset."""
    on = "mnist" if preset == "features" else preset
    settings = [f'learner.training.precision="{precision}"']
    if preset == "features":
        settings.append('representation.backbone="efficientnet-lite0-spatial"')
    learner = resolve(on, Method.parse(f"aral:{objective}+random"), settings, threads=1).learner
    assert isinstance(learner, AralSettings)
    return learner


class Material:
    """Random images and labels of one shape."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        rng = np.random.default_rng(0)
        if shape[1] == 1:
            pixels = torch.from_numpy(rng.standard_normal((POOL, *shape), dtype=np.float32))
        else:
            pixels = torch.from_numpy(rng.integers(0, 256, (POOL, *shape), dtype=np.uint8))
        self.pool = ImageSet.of(pixels)
        ids = np.arange(LABELS)
        self.labelled = LabelledSet(self.pool.subset(ids), ids % CLASSES, CLASSES)

    def stage(self, settings: AralSettings) -> Stage:
        """A round on the labels."""
        symmetric = settings.networks.pixel_range is PixelRange.SYMMETRIC
        rest, stream = self.pool.without(self.labelled.images.ids), Stream.root(0).child("round")
        training = settings.training
        return Stage(
            Aral(settings).training_step,
            training.steps,
            stream,
            UnlabelledBatches(rest, training.unlabelled_batch, symmetric, stream.child("unlabelled")),
            LabelledBatches(self.labelled, training.labelled_batch, symmetric, stream.child("labelled")),
        )

    def learner(self, settings: AralSettings) -> Engine:
        """New, at the start of its first round."""
        stream = Stream.root(0)
        learner = make_learner(settings, self.pool, CLASSES, stream.child("learner"))
        assert isinstance(learner, Engine)
        learner.set_pool(self.pool, stream.child("pool"))
        learner.set_labels(self.labelled)
        rest = self.pool.without(self.labelled.images.ids)
        learner.start_round(0, self.labelled, rest, stream.child("round"))
        return learner


def plain_steps(settings: AralSettings, material: Material) -> Iterator[None]:
    """Plain steps on new networks, without end."""
    stage, stream = material.stage(settings), Stream.root(0).child("learner")
    task = Task(material.pool.shape, CLASSES, stream)
    plain = PlainStep(settings, Nets.build(settings, task, stream, True, lambda *_: {}))
    index = 0
    while True:
        batch = Batch(stage, index % stage.steps, index, torch.device("cpu"), None, None)
        with batch.stream.child("layers").governs_torch():
            plain.step(batch)
        index += 1
        yield


def our_steps(learner: Engine) -> Iterator[None]:
    """Steps of the package, without end."""
    index = 0
    while True:
        learner.step(index % learner.steps_per_round)
        index += 1
        yield


def ceiling(precision: str) -> float:
    """Billions of operations a second in a square product, the best of several."""
    size, best = 1024, 0.0
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    a, b = (torch.randn(size, size).to(dtype) for _ in range(2))
    for _ in range(8):
        begun = time.perf_counter()
        a @ b
        best = max(best, 2 * size**3 / (time.perf_counter() - begun) / 1e9)
    return best


class Operations(TorchDispatchMode):
    """Counts the operations of products and convolutions within its block, by PyTorch's formulas.

    ``FlopCounterMode`` does the same and cannot be used with ``torch.autograd.grad`` (seen with PyTorch 2.14).
    """

    count = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run an operator and add its operations."""
        found = func(*args, **(kwargs or {}))
        if formula := flop_registry.get(func._overloadpacket):
            self.count += formula(*args, **(kwargs or {}), out_val=found)
        return found


def operations(step: Callable[[], object]) -> float:
    """Billions of operations of products and convolutions in one step."""
    with Operations() as counter:
        step()
    return counter.count / 1e9


def seconds_in_products(step: Callable[[], object], repeats: int) -> float:
    """Of one step, within the operators of products and convolutions."""
    with profile(activities=[ProfilerActivity.CPU]) as found:
        for _ in range(repeats):
            step()
    names = {f"aten::{name}" for name in PRODUCTS}
    return sum(each.self_cpu_time_total for each in found.key_averages() if each.key in names) / repeats / 1e6


def measured(preset: str, objective: str, seconds: float) -> dict[str, dict[str, float]]:
    """The row of a preset and an objective."""
    material = Material(SHAPES[preset])
    automatic = specified(preset, objective, "auto").training.precision
    precisions = {"float32": "float32"} | ({automatic: automatic} if automatic != "float32" else {})
    steps: dict[str, Iterator[None]] = {}
    for name, precision in precisions.items():
        steps[name] = our_steps(material.learner(specified(preset, objective, precision)))
    steps["plain"] = plain_steps(specified(preset, objective, "float32"), material)
    for each in steps.values():
        next(each), next(each)
    times: dict[str, list[float]] = {name: [] for name in steps}
    begun = time.perf_counter()
    while time.perf_counter() - begun < seconds * len(steps) or len(times["plain"]) < 3:
        for name, each in steps.items():
            started = time.perf_counter()
            next(each)
            times[name].append(time.perf_counter() - started)
    row = {}
    for name, each in steps.items():
        best = ceiling("bfloat16" if name == "bfloat16" else "float32")
        step = partial(next, each)
        count, spent = operations(step), median(times[name])
        within = seconds_in_products(step, 5)
        row[name] = {
            "milliseconds": round(1e3 * spent, 2),
            "steps a second": round(1 / spent, 2),
            "gigaflop": round(count, 3),
            "ceiling, gigaflop a second": round(best, 1),
            "% of ceiling, whole step": round(100 * count / spent / best, 1),
            "% of ceiling, in products": round(100 * count / within / best, 1),
        }
    for name in precisions:
        ratio = row["plain"]["milliseconds"] / row[name]["milliseconds"]
        row[name]["times as fast as the plain step"] = round(ratio, 2)
    return row


def main() -> None:
    """Measure what has no row yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--presets", nargs="+", default=["mnist", "cifar10", "features"], choices=SHAPES)
    parser.add_argument("--objectives", nargs="+", default=["paper", "released"])
    parser.add_argument("--seconds", type=float, default=10.0, help="of measurement, for each step")
    parser.add_argument("--out", default="train-step", help="name of the file of rows, or a path of one")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    kept = KeptRows(arguments.out)
    for preset in arguments.presets:
        for objective in arguments.objectives:
            key = {"preset": preset, "objective": objective}
            if not kept.has(key):
                kept.keep(key, measured(preset, objective, arguments.seconds))


if __name__ == "__main__":
    main()
