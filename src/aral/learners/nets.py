"""The networks of a learner by role, and how E and G are given the class."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import softmax

from aral.learners.interface import Task
from aral.learners.settings import LearnerSettings, Net
from aral.networks.interface import Discriminator, Encoder, Generator, Sampler
from aral.randomness import Stream

ExtraNets: TypeAlias = Callable[[Discriminator, int], Mapping[Net, nn.Module]]

_EXTRA_STREAM: str = type("Net", (str,), {})("partition")
"""Names the stream of the extra networks' initial weights; another name or type would change recorded results."""


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
    ) -> None:
        self.modules = dict(modules)
        self.latent_size = latent_size
        self.class_count = class_count
        self.conditional = conditional

    @classmethod
    def build(
        cls, settings: LearnerSettings, task: Task, stream: Stream, conditional: bool, extra: ExtraNets
    ) -> Nets:
        """New networks. Each one's weights depend on its own stream, so all learners share a first D.

        Args:
            settings: which networks, and their sizes.
            task: images, classes and device.
            stream: decides the weights.
            conditional: whether E and its decoder are given class probabilities.
            extra: makes networks on D̃'s features that belong to no family, given D and K.
        """
        family, shape, z, k = settings.networks, task.image_shape, settings.latent_size, task.class_count
        conditions = k if conditional else 0
        of_generator = k if Net.CRITIC in settings.nets else conditions
        factories: dict[Net, Callable[[], nn.Module]] = {
            Net.ENCODER: lambda: family.encoder(shape, conditions, z),
            Net.GENERATOR: lambda: family.generator(shape, of_generator, z),
            Net.DISCRIMINATOR: lambda: (settings.classifier or family).discriminator(shape, k, z),
            Net.SAMPLER: lambda: family.sampler(z),
            Net.DECODER: lambda: family.generator(shape, conditions, z),
            Net.CRITIC: lambda: family.discriminator(shape, k, z),
        }
        modules: dict[Net, nn.Module] = {}
        for net in sorted(settings.nets & factories.keys()):
            with stream.child(net).governs_torch():
                modules[net] = factories[net]().to(task.device)
        for net in sorted(settings.nets - factories.keys()):
            with stream.child(_EXTRA_STREAM).governs_torch():
                made = extra(cast(Discriminator, modules[Net.DISCRIMINATOR]), k)
                modules[net] = made[net].to(task.device)
        return cls(modules, z, k, conditional)

    @property
    def encoder(self) -> Encoder:
        """E."""
        return cast(Encoder, self.modules[Net.ENCODER])

    @property
    def generator(self) -> Generator:
        """G."""
        return cast(Generator, self.modules[Net.GENERATOR])

    @property
    def decoder(self) -> Generator:
        """The network that decodes E's codes: G itself, or a decoder beside a separately trained GAN."""
        return cast(Generator, self.modules.get(Net.DECODER, self.modules.get(Net.GENERATOR)))

    @property
    def discriminator(self) -> Discriminator:
        """D̃ with C and c_rf."""
        return cast(Discriminator, self.modules[Net.DISCRIMINATOR])

    @property
    def critic(self) -> Discriminator:
        """The discriminator of a separately trained GAN."""
        return cast(Discriminator, self.modules[Net.CRITIC])

    @property
    def sampler(self) -> Sampler:
        """S."""
        return cast(Sampler, self.modules[Net.SAMPLER])

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return next(self.discriminator.parameters()).device

    def encode(
        self, images: Float[Tensor, "N C H W"], class_probs: Float[Tensor, "N K"]
    ) -> tuple[Float[Tensor, "N Z"], Float[Tensor, "N Z"]]:
        """Mean and log-variance of q(z|x, y), or of q(z|x) where E is unconditional."""
        mean, log_variance = self.encoder(images, self._conditions(class_probs))
        return mean, log_variance

    def decode(
        self, latents: Float[Tensor, "N Z"], class_probs: Float[Tensor, "N K"]
    ) -> Float[Tensor, "N C H W"]:
        """The decoder's image of each code."""
        images: Tensor = self.decoder(latents, self._conditions(class_probs))
        return images

    def generate(
        self, latents: Float[Tensor, "N Z"], class_probs: Float[Tensor, "N K"]
    ) -> Float[Tensor, "N C H W"]:
        """G(z, y), or G(z) where G is unconditional; a separately trained GAN is always class-conditional."""
        given = class_probs if Net.CRITIC in self.modules else self._conditions(class_probs)
        images: Tensor = self.generator(latents, given)
        return images

    def _conditions(self, class_probs: Float[Tensor, "N K"]) -> Float[Tensor, "N c"]:
        return class_probs if self.conditional else class_probs[:, :0]


def eval_probabilities(
    discriminator: Discriminator, images: Float[Tensor, "n C H W"]
) -> Float[Tensor, "n K"]:
    """softmax(C(x)) without noise or dropout, by the running statistics of batch norm, and without gradient."""
    training = discriminator.training
    discriminator.eval()
    with torch.no_grad():
        probabilities = softmax(discriminator(images), dim=1)
    discriminator.train(training)
    return probabilities
