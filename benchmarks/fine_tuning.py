"""What fine-tuning the end of the embedded backbone adds to ``pseudo-label`` on its features.

    python benchmarks/fine_tuning.py data/photos/trash data/photos/sign-digits

A quarter of the pool is held out and measured on. Labels are the first query of ``centroids``, another one for each
seed. The teacher is ``pseudo-label`` with the preset of features. The student is the backbone from block 13 of 16
on, with a linear layer on its standardised features, which begins as logistic regression on the labels (linear probing,
then fine-tuning: Kumar et al. 2022). It is trained on labelled images with their classes and on the pool with the
teacher's probabilities (distillation: Hinton et al. 2015), mirrored at random; running averages of batch norm stay as
they are. A row has the accuracy of the teacher, of the student before and after training, and of the mean of both
probabilities. Rows: ``fine-tuning.json``; the same command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import ImageOps
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, cross_entropy

from aral.acquisition import Need, select
from aral.benchmarking import Method, load_data, resolve
from aral.data import DataSet
from aral.logistic import fit_logistic
from aral.randomness import Stream
from aral.representations import Backbone, ImageFiles, RepresentationSettings, make_backbone
from aral.representations.efficientnet_lite import EfficientNetLite0
from aral.representations.settings import EMBEDDED
from aral.types import LabelledSet
from kept_rows import KeptRows
from one_training import trained
from photo_goals import held_out, on

FIRST_BLOCKS, RATES = (13,), (1e-4, 3e-4)
STEPS, LABELLED_BATCH, POOL_BATCH = 100, 32, 64
INVERSE_PENALTY = 0.05
_QUARTERED = 14


@dataclass(frozen=True, eq=False)
class Inner:
    """What the first trained block reads, of each image and its mirror image: float16, N×2×C×H×W."""

    pool: Tensor
    test: Tensor


class Features(nn.Module):
    """The backbone from a block on: what that block reads → features."""

    def __init__(self, trunk: EfficientNetLite0, first: int) -> None:
        super().__init__()
        self.early = trunk.blocks[first : _QUARTERED + 1]
        self.late, self.head = trunk.blocks[_QUARTERED + 1 :], trunk.head

    def forward(self, inner: Tensor) -> Tensor:
        """Pooled features, then those of quarters."""
        quartered = self.early(inner)
        pooled = self.head(self.late(quartered)).mean((2, 3))
        return torch.cat((pooled, adaptive_avg_pool2d(quartered, 2).flatten(1)), 1)


class Standardised(nn.Module):
    """Features with mean 0 and deviation 1 over the pool, as they were before training."""

    mean: Tensor
    std: Tensor

    def __init__(self, features: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", features.mean(0))
        self.register_buffer("std", features.std(0).clamp(min=1e-6))

    def forward(self, features: Tensor) -> Tensor:
        """The same features in other units."""
        return (features - self.mean) / self.std


def trunk_of(backbone: Backbone) -> EfficientNetLite0:
    """Its network."""
    assert isinstance(backbone.trunk, EfficientNetLite0)
    return backbone.trunk


@torch.inference_mode()
def inner_of(folder: Path, files: Sequence[str], backbone: Backbone, first: int) -> Tensor:
    """What a block reads of each image and of its mirror image."""
    images, module, trunk = ImageFiles(folder, files), backbone.module(), trunk_of(backbone)
    found = []
    for position in range(len(files)):
        image = images.open(position, backbone.framing.enough).image
        both = [backbone.framing.frame(each) for each in (image, ImageOps.mirror(image))]
        pixels = (torch.from_numpy(np.stack(both)).float() - module.mean) / module.std
        found.append(trunk.blocks[:first](trunk.stem(pixels)).half())
    return torch.stack(found)


def split(inner: Tensor) -> Inner:
    """As :func:`photo_goals.held_out` parts the pool."""
    order = np.random.default_rng(1000).permutation(len(inner))
    test, pool = (np.sort(part) for part in (order[: order.size // 4], order[order.size // 4 :]))
    return Inner(inner[torch.from_numpy(pool)], inner[torch.from_numpy(test)])


@torch.inference_mode()
def outputs(module: nn.Module, inner: Tensor) -> Tensor:
    """Of the images themselves, some at a time."""
    return torch.cat([module(part[:, 0].float()) for part in inner.split(64)])


def student(
    inner: Inner, labelled: LabelledSet, teacher: Tensor, first: int, rate: float, seed: int
) -> tuple[Tensor, Tensor]:
    """Probabilities of the test images before and after training; the backbone is read anew and may be changed."""
    torch.manual_seed(seed)
    trunk = trunk_of(make_backbone(RepresentationSettings(backbone=EMBEDDED)))
    features, rows = Features(trunk, first), torch.from_numpy(labelled.images.ids)
    of_pool_before = outputs(features, inner.pool)
    standardised = Standardised(of_pool_before)
    linear = nn.Linear(of_pool_before.shape[1], labelled.class_count)
    known = standardised(of_pool_before[rows]).double().numpy()
    weights, bias = fit_logistic(known, labelled.classes, labelled.class_count, INVERSE_PENALTY)
    with torch.no_grad():
        linear.weight.copy_(torch.from_numpy(weights))
        linear.bias.copy_(torch.from_numpy(bias))
    # In evaluation mode throughout: batch norm keeps its running averages.
    end = nn.Sequential(features, standardised, linear).eval()
    before = outputs(end, inner.test).softmax(1)
    end.requires_grad_(True)
    optimiser = torch.optim.Adam(end.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: 0.5 * (1 + math.cos(math.pi * step / STEPS))
    )
    classes = torch.from_numpy(labelled.classes)
    for _ in range(STEPS):
        of_labels = torch.randint(len(rows), (LABELLED_BATCH,))
        of_pool = torch.randint(len(inner.pool), (POOL_BATCH,))
        chosen = torch.cat((rows[of_labels], of_pool))
        mirrored = torch.randint(2, (len(chosen),))
        logits = end(inner.pool[chosen, mirrored].float())
        loss = cross_entropy(logits[:LABELLED_BATCH], classes[of_labels])
        loss = loss + cross_entropy(logits[LABELLED_BATCH:], teacher[of_pool])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return before, outputs(end, inner.test).softmax(1)


def measured(data: DataSet, inner: dict[int, Inner], folder: str, count: int, seed: int) -> dict[str, float]:
    """The row of one draw of labels."""
    settings = resolve(
        folder, Method.parse("pseudo-label+random"), on(EMBEDDED), seed=seed, threads=1
    ).learner
    ids = np.sort(select(data.pool.pixels.flatten(1), count, strategy="centroids", seed=seed).ids)
    labelled = LabelledSet(data.pool.subset(ids), data.pool_classes[ids], data.class_count)
    stream = Stream.root(seed).child("fine tuning")
    learner = trained(settings, data, labelled, stream)
    of_pool, of_test = (
        learner.predict(images, {Need.PROBABILITIES}, stream.child("passes")).get(Need.PROBABILITIES).float()
        for images in (data.pool, data.test.images)
    )
    truth = torch.from_numpy(data.test.classes)

    def accuracy(probabilities: Tensor) -> float:
        return round(float((probabilities.argmax(1) == truth).float().mean()), 4)

    found = {"teacher": accuracy(of_test)}
    for first, images in inner.items():
        for rate in RATES:
            before, after = student(images, labelled, of_pool, first, rate, seed)
            name = f"block {first}, rate {rate:g}"
            found |= {
                "linear": accuracy(before),
                name: accuracy(after),
                f"{name}, mean": accuracy(after + of_test),
            }
    return found


def table(rows: Sequence[dict[str, object]]) -> str:
    """Differences from the teacher in points, mean ± standard error over seeds, as Markdown."""
    names = [f"block {first}, rate {rate:g}" for first in FIRST_BLOCKS for rate in RATES]
    lines = [
        "| folder | labels | seeds | `pseudo-label` | " + " | ".join(names) + " |",
        "|" + "---|" * (4 + len(names)),
    ]
    for folder, count in sorted({(str(row["folder"]), int(str(row["labels"]))) for row in rows}):
        of = [row for row in rows if (row["folder"], row["labels"]) == (folder, count)]
        teacher = 100 * np.array([float(str(row["teacher"])) for row in of])
        cells = []
        for name in names:
            parts = []
            for suffix in ("", ", mean"):
                change = 100 * np.array([float(str(row[name + suffix])) for row in of]) - teacher
                parts.append(f"{change.mean():+.1f} ± {change.std(ddof=1) / len(of) ** 0.5:.1f}")
            cells.append(f"{parts[0]} ({parts[1]})".replace("-", "−"))
        mean = f"{teacher.mean():.1f} ± {teacher.std(ddof=1):.1f}"
        lines.append(f"| {folder} | {count} | {len(of)} | {mean} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Measure what has no row yet, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--labels", nargs="+", type=int, default=[100, 200])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", default="fine-tuning", help="name of the file of rows, or a path of one")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    kept = KeptRows(arguments.out)
    for folder in arguments.folders:
        ready: tuple[DataSet, dict[int, Inner]] | None = None
        for seed in range(arguments.seeds):
            for count in arguments.labels:
                key = {"folder": folder.name, "labels": count, "seed": seed}
                if kept.has(key):
                    continue
                if ready is None:
                    spec = resolve(str(folder), Method.parse("linear+random"), on(EMBEDDED), threads=1)
                    whole = load_data(spec)
                    backbone = make_backbone(RepresentationSettings(backbone=EMBEDDED))
                    inner = {
                        first: split(inner_of(folder, whole.pool_files, backbone, first))
                        for first in FIRST_BLOCKS
                    }
                    ready = held_out(whole), inner
                kept.keep(key, measured(*ready, str(folder), count, seed))
    print(table(kept.rows))


if __name__ == "__main__":
    main()
