"""A training step in parts: how a method allows it, which parts a process evaluates, and the mean over them.

The parts of one process are evaluated one after another (``learner.training.accumulate``), those of several processes
at once. Networks move when a phase was evaluated on all parts, so that phases alternate as on the whole batch.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from aral.errors import BadInput
from aral.learners.settings import LearnerSettings, Net, SemiSupervisedTraining
from aral.networks.layers import statistics_of
from aral.parallel import WHOLE, Group, Part
from aral.plural import counted


@dataclass(frozen=True)
class Divisible:
    """How the training step of a method can be divided into parts of its batches.

    Attributes:
        multiple: each part has a multiple of so many unlabelled images.
        statistics: terms that compare statistics of the batch: of all processes' parts, but of a part alone where
            parts are processed one after another.
    """

    multiple: int = 1
    statistics: tuple[str, ...] = ()


def parts_of(settings: LearnerSettings, division: Divisible | None, group: Group) -> list[Part]:
    """The parts of each batch that this process evaluates one after another.

    Args:
        settings: of the learner.
        division: how its method can be divided; ``None`` where it cannot.
        group: the processes that train it.

    Raises:
        BadInput: the method cannot be divided, or its batches cannot.
    """
    training = settings.training
    count = group.size * training.accumulate
    if count == 1:
        return [WHOLE]
    into = f"{counted(group.size, 'process', 'processes')} with learner.training.accumulate={training.accumulate}"
    if division is None:
        raise BadInput(
            f"A training step of '{settings.title}' depends on its whole batch and cannot be divided among {into}.",
            "Train it in one process with learner.training.accumulate=1, or choose aral, bgadl, no-co-training, "
            "pseudo-label, supervised or vaal.",
        )
    sizes = {"labelled_batch": (training.labelled_batch, count)}
    if isinstance(training, SemiSupervisedTraining):
        of_one = 2 if training.accumulate > 1 else 1  # batch norm needs two images in a part of its own
        sizes["unlabelled_batch"] = training.unlabelled_batch, count * max(division.multiple, of_one)
    for name, (size, multiple) in sizes.items():
        if size % multiple:
            raise BadInput(
                f"learner.training.{name} is {size}, which is not a multiple of {multiple} and cannot be divided "
                f"among {into}.",
                f"Use --set learner.training.{name}={-(-size // multiple) * multiple}",
            )
    first = group.rank * training.accumulate
    return [Part(first + number, count) for number in range(training.accumulate)]


def remark_on(settings: LearnerSettings, division: Divisible | None, networks: Iterable[nn.Module]) -> str:
    """Which statistics are of a part of a batch, where parts are processed one after another; empty if none is."""
    parts = settings.training.accumulate
    if parts == 1 or division is None:
        return ""
    found = [*division.statistics]
    if any(statistics_of(network) for network in networks):
        found.append("batch norm")
    if not found:
        return ""
    return (
        f"A batch is processed in {parts} parts (learner.training.accumulate). {' and '.join(found).capitalize()} "
        f"{'uses' if len(found) == 1 else 'use'} the statistics of one part, not of the whole batch."
    )


@dataclass(frozen=True, eq=False)
class Evaluated:
    """A phase on a part of a batch, or on all of it.

    Attributes:
        name: of the phase.
        trains: the networks that move.
        total: the weighted sum of the terms.
        values: each term's unweighted value by name.
        gradients: of the total, by parameter.
    """

    name: str
    trains: frozenset[Net]
    total: Float[Tensor, ""]
    values: dict[str, Float[Tensor, ""]]
    gradients: dict[nn.Parameter, Tensor]

    def over(self, group: Group) -> Evaluated:
        """The mean over the processes of a group: the same numbers in all of them."""
        if group.size == 1:
            return self
        tensors = group.average([self.total, *self.values.values(), *self.gradients.values()])
        count = 1 + len(self.values)
        values = dict(zip(self.values, tensors[1:count], strict=True))
        gradients = dict(zip(self.gradients, tensors[count:], strict=True))
        return Evaluated(self.name, self.trains, tensors[0], values, gradients)


def mean_of(parts: list[Evaluated]) -> Evaluated:
    """The mean of a phase over parts of a batch."""
    first, count = parts[0], len(parts)
    if count == 1:
        return first
    total = torch.stack([each.total for each in parts]).mean()
    values = {name: torch.stack([each.values[name] for each in parts]).mean() for name in first.values}
    gradients = {
        parameter: torch.stack([each.gradients[parameter] for each in parts]).mean(0)
        for parameter in first.gradients
    }
    return Evaluated(first.name, first.trains, total, values, gradients)
