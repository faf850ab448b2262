"""Default networks, batches and training steps for a folder of images, from their size and number.

The cost of a convolution grows with the square of the image side, so larger images get one more stage that begins
with fewer channels: from 28 to 128 pixels a step costs about four times as much, not twenty times.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import torch

from aral.annotation.training_options import Effort, TrainingOptions
from aral.benchmarking import Method, RunSpec, resolve, usable
from aral.errors import BadInput
from aral.networks import ImageShape

FACTORS: dict[Effort, float] = {"quick": 0.4, "normal": 1.0, "thorough": 2.5}
"""Training steps relative to those of the benchmarks."""

STEPS = 400
PRETRAINING_STEPS = 1200
LEAST_PRETRAINING = 200
MOST_EPOCHS = 60
"""Most pretraining epochs on a small folder."""

IMITATION_SHARE = 1 / 3
"""Share of the pretraining steps in which the cluster head imitates graph communities."""

LEAST_QUERY, MOST_QUERY = 10, 100


@dataclass(frozen=True)
class ProjectFacts:
    """What the defaults depend on: size and number of the images, classes, budget.

    Attributes:
        shape: channels, height and width of the images.
        images: how many images the pool has.
        class_count: K.
        budget: labels in all; None without a limit.
    """

    shape: ImageShape
    images: int
    class_count: int
    budget: int | None


def spec_for(folder: Path, facts: ProjectFacts, options: TrainingOptions) -> RunSpec:
    """The whole specification of a project's training.

    Args:
        folder: of the project; any folder that is there.
        facts: of the project.
        options: of the project; their single settings override everything else.

    Raises:
        BadInput: an option names something that does not exist, or a GPU where there is none.
    """
    if options.device == "cuda" and not torch.cuda.is_available():
        raise BadInput("There is no GPU that PyTorch can use.", "Choose the device auto or cpu.")
    device = () if options.device == "auto" else (f'device="{options.device}"',)
    method = Method.parse(options.method)
    # Settings that the method does not have are left out: supervised training has no pretraining, for instance.
    chosen = usable(str(folder), method, chosen_settings(facts, options.effort))
    size = query_size(facts, options)
    return resolve(
        str(folder),
        method,
        [*chosen, f"rounds.query_size={size}", *device, *options.settings],
        seed=options.seed,
        threads=options.threads or default_threads(),
        side=facts.shape[1],
    )


def chosen_settings(facts: ProjectFacts, effort: Effort) -> list[str]:
    """Networks, batches and steps as single settings."""
    side = facts.shape[1]
    batch = unlabelled_batch(side)
    factor = FACTORS[effort]
    epochs = MOST_EPOCHS * facts.images // batch
    before = round(factor * min(PRETRAINING_STEPS, max(LEAST_PRETRAINING, epochs)))
    return [
        'learner.networks.scale="compact"',
        f"learner.networks.widths={list(widths(side))}",
        f"learner.training.steps={round(factor * STEPS)}",
        f"learner.training.unlabelled_batch={batch}",
        f"learner.prediction.batch={max(50, 1000 * 28**2 // side**2)}",
        f"learner.pretraining.steps={before}",
        f"learner.pretraining.imitation_steps={round(IMITATION_SHARE * before)}",
    ]


def widths(side: int) -> tuple[int, ...]:
    """Channels of the stages of D̃; each stage but the first halves the side."""
    if side < 48:
        return 32, 64, 128
    if side < 96:
        return 16, 32, 64, 128
    return 12, 24, 48, 96, 128


def unlabelled_batch(side: int) -> int:
    """Unlabelled images in a training step."""
    return 96 if side < 48 else 48 if side < 96 else 32


def query_size(facts: ProjectFacts, options: TrainingOptions) -> int:
    """Labels a round: a tenth of the budget, from 10 to 100, and never fewer than there are classes."""
    if options.query_size is not None:
        return options.query_size
    tenth = LEAST_QUERY if facts.budget is None else facts.budget // 10
    return min(MOST_QUERY, max(LEAST_QUERY, tenth, facts.class_count))


def first_query_size(class_count: int, size: int) -> int:
    """Labels before the first training: two for each class, but at least 4 and at most one round's."""
    return min(size, max(4, 2 * class_count))


def default_threads() -> int:
    """All processors but one, which the labelling page needs."""
    return max(1, len(os.sched_getaffinity(0)) - 1)
