"""Defaults of a project's training: representation and method, and networks, batches and steps for pixels.

All images but small grey ones are read through the embedded backbone. A linear classifier on its features is trained
anew within a second or two of the answers, and a slower learner is trained behind it
(:mod:`aral.annotation.refinement`).

Networks on pixels depend on size and number of the images. The cost of a convolution grows with the square of the image
side, so larger images get one more stage that begins with fewer channels: from 28 to 128 pixels a step costs about four
times as much, not twenty times.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import torch

from aral.annotation.training_options import Effort, TrainingOptions
from aral.benchmarking import Method, RunSpec, resolve, usable
from aral.benchmarking.auto import AUTO
from aral.errors import BadInput
from aral.networks import ImageShape
from aral.representations.settings import EMBEDDED, PIXELS, backbone_by_size

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

QUICK_METHOD = "linear+uncertainty-herding"
"""On features, where the method is ``auto``."""

QUICK_FIRST_QUERY = "centroids"

REFINED_METHOD = "pseudo-label+uncertainty-herding"
"""Trained behind the quick method."""


@dataclass(frozen=True)
class ProjectFacts:
    """What the defaults depend on: size and number of the images, classes, budget.

    Attributes:
        shape: channels, height and width of the images.
        images: how many images the pool has.
        class_count: K.
        budget: labels in all; None without a limit.
        representation: what the learner reads: pixels, or a backbone by name.
    """

    shape: ImageShape
    images: int
    class_count: int
    budget: int | None
    representation: str = PIXELS


def chosen_representation(options: TrainingOptions, side: int, channels: int) -> str:
    """The representation of a project: as its options have it, or chosen by size and colour of its images.

    Where these do not decide, as for large grey images, it is the embedded backbone: its first model takes seconds.

    Args:
        options: of the project.
        side: of its pixels for training, about that of the images themselves up to 128.
        channels: 3 for colour, 1 for grey.
    """
    if options.representation != AUTO:
        return options.representation
    if options.method != AUTO and not _reads_features(options.method):
        return PIXELS
    return backbone_by_size(side, channels) or EMBEDDED


def _reads_features(method: str) -> bool:
    """Whether a method was made for features: others are trained on pixels unless a representation is named."""
    return Method.parse(method).learner_name == "linear"


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
    if facts.representation != PIXELS:
        return _spec_on_features(folder, facts, options, device)
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


def _spec_on_features(
    folder: Path, facts: ProjectFacts, options: TrainingOptions, device: tuple[str, ...]
) -> RunSpec:
    quick = options.method == AUTO
    first = (f'rounds.first_query="{QUICK_FIRST_QUERY}"',)
    size = LEAST_QUERY if quick and options.query_size is None else query_size(facts, options)
    return resolve(
        str(folder),
        Method.parse(QUICK_METHOD if quick else options.method),
        [*first, f"rounds.query_size={size}", *device, *options.settings],
        seed=options.seed,
        threads=options.threads,
        representation={"backbone": facts.representation},
    )


def refined_spec(folder: Path, spec: RunSpec, effort: Effort) -> RunSpec | None:
    """The specification of the learner that is trained behind a quick one; None where a run is not quick.

    Args:
        folder: of the project; any folder that is there.
        spec: of the run.
        effort: of the project.
    """
    if spec.learner.name != "linear":
        return None
    method = Method.parse(REFINED_METHOD)

    def found(*settings: str) -> RunSpec:
        return resolve(
            str(folder),
            method,
            [f'device="{spec.device}"', *settings],
            seed=spec.seed,
            threads=spec.threads,
            representation=spec.representation,
        )

    steps = max(1, round(FACTORS[effort] * found().learner.training.steps))
    return found(f"learner.training.steps={steps}")


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


def first_centroids(class_count: int, budget: int | None) -> int:
    """Size of the first query of a quick run: two for each class, but at least 10 and at most a third of the budget."""
    most = MOST_QUERY if budget is None else max(LEAST_QUERY, budget // 3)
    return min(most, max(LEAST_QUERY, 2 * class_count))


def default_threads() -> int:
    """All processors but one, which the labelling page needs."""
    return max(1, len(os.sched_getaffinity(0)) - 1)
