"""Running means of the weights of some networks, which classify and sort in their stead.

An average that labels images itself keeps the batch norm statistics of what it labels. Those of the network it
follows are of what that is trained on; where images are mixed in pairs this is not what is to be classified later.
"""

from __future__ import annotations

from copy import deepcopy
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from aral.learners.nets import Nets
from aral.learners.spec import Net
from aral.networks.interface import Discriminator
from aral.networks.layers import own_statistics, statistics_of

AVERAGED = {Net.DISCRIMINATOR: "average", Net.PARTITION: "average partition"}
"""The networks that have an average beside them, and its name in a checkpoint."""


class Averages:
    """Exponential means of D̃'s and P's weights and statistics.

    Args:
        nets: the networks being trained.
        decay: share of the old mean that a step keeps; 0 for no averages.

    Attributes:
        modules: the averages by role; empty without averages.
    """

    def __init__(self, nets: Nets, decay: float) -> None:
        self._nets = nets
        self._decay = decay
        self.modules: dict[Net, nn.Module] = {
            net: deepcopy(nets.modules[net]).requires_grad_(False).eval()
            for net in AVERAGED
            if decay and net in nets.modules
        }
        self._has_labelled = False

    @property
    def named(self) -> dict[str, nn.Module]:
        """The averages by their names in a checkpoint."""
        return {AVERAGED[net]: module for net, module in self.modules.items()}

    @property
    def discriminator(self) -> Discriminator | None:
        """The averaged D̃ with C; ``None`` without averages."""
        return cast(Discriminator | None, self.modules.get(Net.DISCRIMINATOR))

    @torch.no_grad()
    def label(self, images: Float[Tensor, "n C H W"]) -> Float[Tensor, "n K"]:
        """Class logits of the averaged D̃ by the batch norm statistics of these very images, which it remembers.

        Raises:
            ValueError: nothing is averaged.
        """
        average = self.discriminator
        if average is None:
            raise ValueError("nothing is averaged that could label")
        self._has_labelled = True
        with own_statistics(average):
            return average(images)

    @torch.no_grad()
    def follow(self, age: int) -> None:
        """Move towards the networks, after ``age`` steps since they were initialised.

        In a step in which D̃'s average labelled, its batch norm statistics stay those of what it labelled.
        """
        # A young average forgets its random start sooner than the final decay would.
        decay = min(self._decay, age / (age + 10))
        for net, average in self.modules.items():
            newest = self._nets.modules[net].state_dict()
            labelled = self._has_labelled and net is Net.DISCRIMINATOR
            own = statistics_of(average) if labelled else frozenset[str]()
            for name, value in average.state_dict().items():
                if name in own:
                    continue
                if value.is_floating_point():
                    value.lerp_(newest[name], 1 - decay)
                else:
                    value.copy_(newest[name])
        self._has_labelled = False

    def state_dict(self) -> dict[str, Tensor]:
        """All averages, each name below that of its network."""
        return {
            f"{prefix}.{name}": value
            for prefix, module in self.named.items()
            for name, value in module.state_dict().items()
        }
