"""The networks of one learner, by role."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from aral.learners.spec import Net
from aral.networks.cluster_heads import ClusterHeads
from aral.networks.interface import Discriminator, Encoder, Generator, Sampler


class Nets:
    """The networks of one learner, by role; a learner may have only some of them.

    Args:
        modules: the networks.
        latent_size: Z.
        class_count: K.
        conditional: whether E and its decoder are given class probabilities.
    """

    def __init__(
        self, modules: Mapping[Net, nn.Module], latent_size: int, class_count: int, conditional: bool
    ):
        self.modules = dict(modules)
        self.latent_size = latent_size
        self.class_count = class_count
        self.conditional = conditional

    @property
    def encoder(self) -> Encoder:
        """E."""
        return cast(Encoder, self.modules[Net.ENCODER])

    @property
    def generator(self) -> Generator:
        """G."""
        return cast(Generator, self.modules[Net.GENERATOR])

    @property
    def decodes(self) -> Net:
        """The role that turns E's codes into images: G itself, or a decoder beside a GAN trained apart."""
        return Net.DECODER if Net.DECODER in self.modules else Net.GENERATOR

    @property
    def decoder(self) -> Generator:
        """The network in the role :attr:`decodes`."""
        return cast(Generator, self.modules[self.decodes])

    @property
    def discriminator(self) -> Discriminator:
        """D̃ with C and c_rf."""
        return self.judge(Net.DISCRIMINATOR)

    def judge(self, net: Net) -> Discriminator:
        """D̃, or the critic."""
        return cast(Discriminator, self.modules[net])

    @property
    def sampler(self) -> Sampler:
        """S."""
        return cast(Sampler, self.modules[Net.SAMPLER])

    @property
    def partition(self) -> ClusterHeads:
        """P."""
        return cast(ClusterHeads, self.modules[Net.PARTITION])

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return next(self.discriminator.parameters()).device

    def conditions(self, class_probs: Float[Tensor, "N K"]) -> Float[Tensor, "N c"]:
        """What E and its decoder are given of the class: the probabilities, or nothing at all (N×0)."""
        return class_probs if self.conditional else class_probs[:, :0]

    def generator_conditions(self, class_probs: Float[Tensor, "N K"]) -> Float[Tensor, "N c"]:
        """The same for G; a GAN that is trained apart is class-conditional in any case."""
        return class_probs if Net.CRITIC in self.modules else self.conditions(class_probs)
