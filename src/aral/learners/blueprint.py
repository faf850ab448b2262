"""Which networks a learner has, and how each of them is built."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
from torch import nn

from aral.errors import BadInput
from aral.learners.nets import Nets
from aral.learners.spec import Model, Net
from aral.learners.step import BOTH_POOLS, Part
from aral.networks.cluster_heads import ClusterHeads
from aral.networks.interface import Discriminator, ImageShape
from aral.randomness import Stream
from aral.types import LabelledSet


@dataclass(frozen=True)
class Blueprint:
    """Which networks a learner has, and what they are built from.

    Attributes:
        model: networks and settings of training.
        image_shape: channels, height and width.
        class_count: K.
        nets: the roles this learner needs. With a critic, G belongs to a class-conditional GAN apart.
        conditional: whether E and its decoder are given class probabilities.
        device: where to compute.
        encoded: the pools whose images E sees in training.
    """

    model: Model
    image_shape: ImageShape
    class_count: int
    nets: frozenset[Net]
    conditional: bool
    device: torch.device
    encoded: frozenset[Part] = BOTH_POOLS

    def build(self, stream: Stream) -> Nets:
        """New networks; each one's weights depend on its own stream, so all learners share a first D."""
        family, shape, latent_size = self.model.networks, self.image_shape, self.model.latent_size
        classifier = self.model.classifier or family
        conditions = self.class_count if self.conditional else 0
        of_generator = self.class_count if Net.CRITIC in self.nets else conditions
        factories: dict[Net, Callable[[], nn.Module]] = {
            Net.ENCODER: lambda: family.encoder(shape, conditions, latent_size),
            Net.GENERATOR: lambda: family.generator(shape, of_generator, latent_size),
            Net.DISCRIMINATOR: lambda: classifier.discriminator(shape, self.class_count, latent_size),
            Net.SAMPLER: lambda: family.sampler(latent_size),
            Net.DECODER: lambda: family.generator(shape, conditions, latent_size),
            Net.CRITIC: lambda: family.discriminator(shape, self.class_count, latent_size),
        }
        modules: dict[Net, nn.Module] = {}
        for net in sorted(self.nets - {Net.PARTITION}):
            with stream.child(net).governs_torch():
                modules[net] = factories[net]().to(self.device)
        if Net.PARTITION in self.nets:
            times = self.model.partitioning
            counts = (*times.groups_per_class, times.communities_per_class)
            feature_size = cast(Discriminator, modules[Net.DISCRIMINATOR]).feature_size
            with stream.child(Net.PARTITION).governs_torch():
                modules[Net.PARTITION] = ClusterHeads(
                    feature_size,
                    tuple(self.class_count * count for count in counts),
                    times.code_size if times.contrast else 0,
                ).to(self.device)
        return Nets(modules, latent_size, self.class_count, self.conditional)

    def check_fit(self, labelled: LabelledSet, learner: str) -> None:
        """Refuse data that these networks are not for.

        Raises:
            BadInput: another count of classes, or another shape of images.
        """
        if labelled.class_count != self.class_count:
            raise BadInput(
                f"The data have {labelled.class_count} classes, the networks of '{learner}' {self.class_count}.",
                "Make the learner with the data's count of classes.",
            )
        if labelled.images.shape != self.image_shape:
            raise BadInput(
                f"Images are {labelled.images.shape} (channels, height, width), the networks of '{learner}' "
                f"take {self.image_shape}.",
                "Make the learner with the data's shape, or resize the images.",
            )
