"""A slower learner behind the quick one of a project: it takes over where cross-validation says that it is better.

Both learners are trained on the same parts of the training labels and compared on the rest. Only where the slower one
classifies more of the labels that it has not seen correctly (or as many, with the smaller cross-entropy), it is trained
on all of them and its model replaces the quick one's. Its logits are divided by the temperature with the smallest
cross-entropy of the labels that were left out: learners from their own pseudo-labels are too confident. The estimate
set is never looked at.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from aral.acquisition import Need
from aral.benchmarking import make_learner
from aral.learners.interface import Learner
from aral.learners.settings import LearnerSettings
from aral.logistic import best_temperature
from aral.randomness import Stream
from aral.types import ImageSet, LabelledSet

FOLDS = 3
TEMPERATURES = (1.0, 5.0)
"""Limits of the temperature; with few labels a larger one makes probabilities too even (docs/benchmarks.md)."""

LEAST_LABELS = 10
"""With fewer, cross-validation says nothing."""


@dataclass(frozen=True)
class Score:
    """A learner on labels that it was not trained on.

    Attributes:
        correct: how many it classifies correctly.
        cross_entropy: their mean −log probability, nats.
    """

    correct: int
    cross_entropy: float


@dataclass(frozen=True)
class Comparison:
    """Two learners on the same labels, by cross-validation.

    Attributes:
        count: labels that were left out once.
        quick: the quick learner's score.
        slow: the slower one's.
    """

    count: int
    quick: Score
    slow: Score

    @property
    def slow_is_better(self) -> bool:
        """More correct, or as many with the smaller cross-entropy."""
        if self.slow.correct != self.quick.correct:
            return self.slow.correct > self.quick.correct
        return self.slow.cross_entropy < self.quick.cross_entropy

    def sentence(self, quick_name: str, slow_name: str) -> str:
        """The result for people."""
        quick, slow = (f"{each.correct} of {self.count}" for each in (self.quick, self.slow))
        chosen = slow_name if self.slow_is_better else quick_name
        return (
            f"By cross-validation on the training labels {quick_name} classifies {quick} correctly, "
            f"{slow_name} {slow}: {chosen} is used."
        )


@dataclass(frozen=True, eq=False)
class Refined:
    """The result of a refinement.

    Attributes:
        comparison: what it was decided by.
        learner: trained on all labels; None where the quick one is better.
    """

    comparison: Comparison
    learner: Learner | None


@dataclass(frozen=True, eq=False)
class Refinement:
    """The comparison of two learners on a pool.

    Attributes:
        pool: all images that may be trained on.
        quick: settings of the quick learner.
        slow: settings of the slower one.
        device: where to compute, as PyTorch names it.
    """

    pool: ImageSet
    quick: LearnerSettings
    slow: LearnerSettings
    device: str = "cpu"

    def can_compare(self, classes: Int64[np.ndarray, " n"]) -> bool:
        """Whether there are enough labels: :data:`LEAST_LABELS`, and two of each of two classes."""
        return classes.size >= LEAST_LABELS and int((np.bincount(classes) > 1).sum()) >= 2

    def work(self, labelled: LabelledSet, stream: Stream) -> Generator[float, None, Refined]:
        """Compare, and train on all labels where that is worth it; to be stepped through.

        Args:
            labelled: at least as many labels as :meth:`can_compare` wants.
            stream: decides the folds and everything random in training.

        Yields:
            the share of the work that is done, after every training step.

        Returns:
            the comparison and, where the slower learner is better, its weights.
        """
        parts = folds(labelled.classes, FOLDS, stream.child("folds"))
        count = len(parts) + 1
        logs: dict[str, list[Tensor]] = {"quick": [], "slow": []}
        truth = []
        for number, held in enumerate(parts):
            rest, out = _without(labelled, held), labelled.images.ids[held]
            truth.append(torch.from_numpy(labelled.classes[held]))
            for name, settings in (("quick", self.quick), ("slow", self.slow)):
                learner, steps = self._started(settings, rest, stream.child(name, number))
                for index in range(steps):
                    learner.step(index)
                    yield (number + index / steps) / count
                found = learner.predict(
                    self.pool.subset(out), {Need.PROBABILITIES}, stream.child("passes")
                ).get(Need.PROBABILITIES)
                logs[name].append(found.clamp(min=1e-12).log())
        classes = torch.cat(truth)
        of_slow = torch.cat(logs["slow"])
        temperature = best_temperature(of_slow.double().numpy(), classes.numpy(), TEMPERATURES)
        slow = _score((of_slow / temperature).log_softmax(dim=1), classes)
        comparison = Comparison(len(classes), _score(torch.cat(logs["quick"]), classes), slow)
        if not comparison.slow_is_better:
            return Refined(comparison, None)
        learner, steps = self._started(self.slow, labelled, stream.child("all"))
        for index in range(steps):
            learner.step(index)
            yield (len(parts) + index / steps) / count
        learner.divide_logits(temperature)
        return Refined(comparison, learner)

    def _started(
        self, settings: LearnerSettings, labelled: LabelledSet, stream: Stream
    ) -> tuple[Learner, int]:
        learner = make_learner(
            settings, self.pool, labelled.class_count, stream.child("learner"), self.device
        )
        learner.set_pool(self.pool, stream.child("pool"))
        learner.set_labels(labelled)
        learner.start_round(0, labelled, self.pool.without(labelled.images.ids), stream.child("round"))
        return learner, learner.steps_per_round


def folds(classes: Int64[np.ndarray, " n"], count: int, stream: Stream) -> list[Int64[np.ndarray, " m"]]:
    """Positions that are left out together: stratified by class, each position in one part.

    A class with a single label is left out nowhere: a learner that has not seen a class cannot predict it.

    Args:
        classes: of the labels.
        count: of the parts; fewer where no class has as many labels.
        stream: decides which labels.
    """
    order = np.argsort(stream.uniform(np.arange(classes.size, dtype=np.int64)))
    sizes = np.bincount(classes)
    several = order[sizes[classes[order]] > 1]
    several = several[np.argsort(classes[several], kind="stable")]
    parts = [several[start::count] for start in range(min(count, several.size))]
    return [np.sort(part) for part in parts]


def _without(labelled: LabelledSet, positions: Int64[np.ndarray, " m"]) -> LabelledSet:
    kept = np.ones(len(labelled.classes), dtype=bool)
    kept[positions] = False
    ids = labelled.images.ids[kept]
    return LabelledSet(labelled.images.subset(ids), labelled.classes[kept], labelled.class_count)


def _score(log_probs: Tensor, classes: Tensor) -> Score:
    correct = int((log_probs.argmax(dim=1) == classes).sum())
    return Score(correct, float(-log_probs[torch.arange(len(classes)), classes].mean()))
