"""The exponential moving average (EMA) of the classifier, with which it is evaluated."""

from __future__ import annotations

from copy import deepcopy
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import softmax

from aral.learners.nets import Nets
from aral.learners.settings import Net
from aral.networks.interface import Discriminator
from aral.networks.layers import own_statistics, statistics_of


class Ema:
    """Exponential moving averages of the weights of D̃ with C and of the cluster heads, used for evaluation.

    Args:
        nets: the networks being trained.
        decay: share of the old average that a step keeps; 0 for no averages.

    Attributes:
        modules: the averages by role; empty without averages.
    """

    def __init__(self, nets: Nets, decay: float) -> None:
        self._nets = nets
        self._decay = decay
        self.modules: dict[Net, nn.Module] = {
            net: deepcopy(nets.modules[net]).requires_grad_(False).eval()
            for net in (Net.DISCRIMINATOR, Net.CLUSTERS)
            if decay and net in nets.modules
        }
        self._was_teacher = False
        self._pairs: dict[
            tuple[Net, bool], tuple[list[Tensor], list[Tensor], list[tuple[Tensor, Tensor]]]
        ] = {}

    @torch.no_grad()
    def teach(self, images: Float[Tensor, "n C H W"]) -> Float[Tensor, "n K"]:
        """softmax(C(x)) of the averaged classifier, without gradient.

        Batch norm uses the statistics of these very images and keeps them: those of the trained network come
        from what it is trained on, which may be mixed images.
        """
        average = cast(Discriminator, self.modules[Net.DISCRIMINATOR])
        self._was_teacher = True
        with own_statistics(average):
            return softmax(average(images), dim=1)

    @torch.no_grad()
    def update(self, age: int) -> None:
        """Move towards the networks, after ``age`` steps since they were initialised.

        After a step in which the averaged classifier was the teacher, its batch norm statistics are left alone.
        """
        # A young average forgets its random start sooner than the final decay would.
        decay = min(self._decay, age / (age + 10))
        for net in self.modules:
            averages, newest, counts = self._tensors(net, self._was_teacher and net is Net.DISCRIMINATOR)
            torch._foreach_lerp_(averages, newest, 1 - decay)
            for kept, new in counts:
                kept.copy_(new)
        self._was_teacher = False

    def _tensors(
        self, net: Net, keep_statistics: bool
    ) -> tuple[list[Tensor], list[Tensor], list[tuple[Tensor, Tensor]]]:
        """Averages and the newest values of a network, in pairs, and pairs of what is counted, not averaged.

        Found once: collecting them in every step takes longer than averaging small networks.
        """
        key = net, keep_statistics
        if key not in self._pairs:
            average, newest = self.modules[net], _tensors_of(self._nets.modules[net])
            own = statistics_of(average) if keep_statistics else frozenset[str]()
            pairs = [(value, newest[name]) for name, value in _tensors_of(average).items() if name not in own]
            averaged = [pair for pair in pairs if pair[0].is_floating_point()]
            counted = [pair for pair in pairs if not pair[0].is_floating_point()]
            self._pairs[key] = [kept for kept, _ in averaged], [new for _, new in averaged], counted
        return self._pairs[key]


def _tensors_of(module: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers themselves: those of a state dict lose them when normalised weights are assigned."""
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}
