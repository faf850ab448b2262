"""Networks, batches and lengths of training for any folder of images: chosen from size and count alone.

The cost of a convolution grows with the square of the side, so larger images get a stage more and begin with
fewer channels: from 28 to 128 pixels the work of a step grows about fourfold instead of twentyfold.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from aral.annotation.options import Effort, TrainingOptions
from aral.benchmarking import Method, RunSpec, resolve
from aral.networks import ImageShape

FACTORS: dict[Effort, float] = {"quick": 0.4, "normal": 1.0, "thorough": 2.5}
"""Training steps relative to those of the benchmarks."""

STEPS = 400
STEPS_BEFORE_LABELS = 1200
LEAST_BEFORE_LABELS = 200
MOST_PASSES = 60
"""Small folders are not looked at more often than this before the first label."""

IMITATION_SHARE = 1 / 3
"""Of the steps before labels, those that imitate communities."""

LEAST_QUERY, MOST_QUERY = 10, 100


@dataclass(frozen=True)
class Material:
    """What there is to learn from.

    Attributes:
        shape: channels, height and width of the squares.
        images: how many images the pool has.
        class_count: K.
        budget: how many labels are to be given; None without a limit.
    """

    shape: ImageShape
    images: int
    class_count: int
    budget: int | None


def spec_for(folder: Path, material: Material, options: TrainingOptions) -> RunSpec:
    """The whole specification of a project's training.

    Args:
        folder: of the project; any folder that is there.
        material: what there is to learn from.
        options: what people have decided; their single settings have the last word.

    Raises:
        BadInput: an option names something that does not exist.
    """
    chosen = chosen_settings(material, options.effort)
    size = query_size(material, options)
    return resolve(
        str(folder),
        Method.parse(options.method),
        [*chosen, f"rounds.query_size={size}", *options.settings],
        seed=options.seed,
        threads=options.threads or default_threads(),
        side=material.shape[1],
    )


def chosen_settings(material: Material, effort: Effort) -> list[str]:
    """Networks, batches and steps as single settings."""
    side = material.shape[1]
    batch = unlabelled_batch(side)
    factor = FACTORS[effort]
    passes = MOST_PASSES * material.images // batch
    before = round(factor * min(STEPS_BEFORE_LABELS, max(LEAST_BEFORE_LABELS, passes)))
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
    """Unlabelled images a step."""
    return 96 if side < 48 else 48 if side < 96 else 32


def query_size(material: Material, options: TrainingOptions) -> int:
    """Labels a round: a tenth of the budget, from 10 to 100, and never fewer than there are classes."""
    if options.query_size is not None:
        return options.query_size
    tenth = LEAST_QUERY if material.budget is None else material.budget // 10
    return min(MOST_QUERY, max(LEAST_QUERY, tenth, material.class_count))


def first_query_size(class_count: int, size: int) -> int:
    """Labels before the first training: two a class, as far as a round asks for so many."""
    return min(size, max(4, 2 * class_count))


def default_threads() -> int:
    """All processors but one, which the labelling page needs."""
    return max(1, len(os.sched_getaffinity(0)) - 1)
