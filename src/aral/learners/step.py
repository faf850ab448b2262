"""One training step: its batches, its random draws, and the tensors that several phases share.

Tensors are made on first use and kept for the step, so that D, S and then G and E see the same codes and the
same generated images, and each network runs forward once. Which of them may carry gradient is decided by a
:class:`View`, one a phase: what a network made is detached unless the phase trains that network.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import cached_property
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import softmax

from aral.learners.spec import Net
from aral.losses import gaussian
from aral.networks.interface import Discriminator, Encoder, Generator, Sampler
from aral.randomness import Stream
from aral.types import LabelledBatch, UnlabelledBatch


class Part(StrEnum):
    """The three kinds of images of a step."""

    LABELLED = "labelled"
    UNLABELLED = "unlabelled"
    GENERATED = "generated"


_REAL = (Part.LABELLED, Part.UNLABELLED)


class Nets:
    """The networks of one learner, by role; a learner may have only some of them."""

    def __init__(
        self, modules: Mapping[Net, nn.Module], latent_size: int, class_count: int, conditional: bool
    ):
        self.modules = dict(modules)
        self.latent_size = latent_size
        self.class_count = class_count
        self.conditional = conditional  # E and G are given class probabilities

    @property
    def encoder(self) -> Encoder:
        """E."""
        return cast(Encoder, self.modules[Net.ENCODER])

    @property
    def generator(self) -> Generator:
        """G."""
        return cast(Generator, self.modules[Net.GENERATOR])

    @property
    def discriminator(self) -> Discriminator:
        """D̃ with C and c_rf."""
        return cast(Discriminator, self.modules[Net.DISCRIMINATOR])

    @property
    def sampler(self) -> Sampler:
        """S."""
        return cast(Sampler, self.modules[Net.SAMPLER])

    def conditions(self, class_probs: Float[Tensor, "N K"]) -> Float[Tensor, "N c"]:
        """What E and G are given of the class: the probabilities, or nothing at all (N×0)."""
        return class_probs if self.conditional else class_probs[:, :0]


class Step:
    """What the phases of one training step share.

    Args:
        nets: the networks, in training mode.
        labelled: gives the step's labelled batch.
        unlabelled: gives the step's unlabelled batch.
        stream: decides the latents and classes of generated images and the codes' noise.
        age: training steps since the networks were initialised.
    """

    def __init__(
        self,
        nets: Nets,
        labelled: Callable[[], LabelledBatch],
        unlabelled: Callable[[], UnlabelledBatch],
        stream: Stream,
        age: int,
    ) -> None:
        self.nets = nets
        self.age = age
        self._labelled = labelled
        self._unlabelled = unlabelled
        self._stream = stream

    @cached_property
    def labelled(self) -> LabelledBatch:
        """x_L, y_L."""
        return self._labelled()

    @cached_property
    def unlabelled(self) -> UnlabelledBatch:
        """x_U."""
        return self._unlabelled()

    @cached_property
    def pseudo_labels(self) -> Float[Tensor, "U K"]:
        """ŷ = softmax(C(x_U)), without noise or dropout and without gradient."""
        discriminator = self.nets.discriminator
        discriminator.eval()
        with torch.no_grad():
            logits = discriminator(self.unlabelled.images)
        discriminator.train()
        return softmax(logits, dim=1)

    @cached_property
    def images(self) -> Float[Tensor, "B C H W"]:
        """Labelled images, then unlabelled ones: E sees both as one batch, normalised alike."""
        return torch.cat([self.labelled.images, self.unlabelled.images])

    @cached_property
    def class_probs(self) -> Float[Tensor, "B K"]:
        """Human labels, then pseudo-labels, in one form."""
        return torch.cat([self.labelled.class_probs, self.pseudo_labels])

    @cached_property
    def posterior(self) -> tuple[Float[Tensor, "B Z"], Float[Tensor, "B Z"]]:
        """Mean and log-variance of q(z|x, y) of labelled, then unlabelled images."""
        mean, log_variance = self.nets.encoder(self.images, self.nets.conditions(self.class_probs))
        return mean, log_variance

    @cached_property
    def codes(self) -> Float[Tensor, "B Z"]:
        """A draw from q(z|x, y) of each image."""
        mean, log_variance = self.posterior
        return gaussian.sample(mean, log_variance, self._normal("codes", len(mean)))

    @cached_property
    def reconstructions(self) -> Float[Tensor, "B C H W"]:
        """G(z, y) of the codes."""
        return self.nets.generator(self.codes, self.nets.conditions(self.class_probs))

    @cached_property
    def prior_latents(self) -> Float[Tensor, "G Z"]:
        """z ~ N(0, I), as many as there are unlabelled images."""
        return self._normal("prior", len(self.unlabelled.images))

    @cached_property
    def prior_classes(self) -> Float[Tensor, "G K"]:
        """y of the generated images, one-hot, uniform over classes."""
        classes = torch.randint(
            self.nets.class_count,
            (len(self.unlabelled.images),),
            generator=self._stream.child("prior classes").torch(),
        )
        return nn.functional.one_hot(classes, self.nets.class_count).float()

    @cached_property
    def generated(self) -> Float[Tensor, "G C H W"]:
        """G(z, y) of the prior."""
        return self.nets.generator(self.prior_latents, self.nets.conditions(self.prior_classes))

    def _normal(self, name: str, count: int) -> Float[Tensor, "count Z"]:
        return torch.randn(count, self.nets.latent_size, generator=self._stream.child(name).torch())


class View:
    """A step as one phase sees it: gradient reaches the networks the phase trains, and no others.

    Args:
        step: what the phases share.
        trains: the networks of the phase.
        sees: the images whose features D̃ computes in this phase, in one pass.
    """

    def __init__(self, step: Step, trains: frozenset[Net], sees: frozenset[Part]) -> None:
        self.step = step
        self.trains = trains
        self.nets = step.nets
        self._sees = sees

    @property
    def posterior(self) -> tuple[Float[Tensor, "B Z"], Float[Tensor, "B Z"]]:
        """Mean and log-variance of q(z|x, y)."""
        mean, log_variance = self.step.posterior
        return self._made_by(mean, Net.ENCODER), self._made_by(log_variance, Net.ENCODER)

    @property
    def codes(self) -> Float[Tensor, "B Z"]:
        """A draw from q(z|x, y)."""
        return self._made_by(self.step.codes, Net.ENCODER)

    @property
    def reconstructions(self) -> Float[Tensor, "B C H W"]:
        """G(E(x, y), y)."""
        return self._made_by(self.step.reconstructions, Net.ENCODER, Net.GENERATOR)

    @property
    def generated(self) -> Float[Tensor, "G C H W"]:
        """G(z, y) of the prior."""
        return self._made_by(self.step.generated, Net.GENERATOR)

    @cached_property
    def features(self) -> dict[Part, Float[Tensor, "n F"]]:
        """D̃ of the images the phase sees; real images get a gradient only when D is trained."""
        images = {part: self._real_images(part) for part in _REAL if part in self._sees}
        if Net.DISCRIMINATOR in self.trains:
            if Part.GENERATED in self._sees:
                images[Part.GENERATED] = self.generated
            return self._features_of(images)
        with torch.no_grad():
            features = self._features_of(images)
        if Part.GENERATED in self._sees:
            features[Part.GENERATED] = self.nets.discriminator.features(self.generated)
        return features

    def _features_of(self, images: dict[Part, Float[Tensor, "_ C H W"]]) -> dict[Part, Float[Tensor, "_ F"]]:
        sizes = [len(part) for part in images.values()]
        features = self.nets.discriminator.features(torch.cat(list(images.values())))
        return dict(zip(images, torch.split(features, sizes), strict=True))

    @cached_property
    def real_logits(self) -> tuple[Float[Tensor, " L"], Float[Tensor, " U"]]:
        """D(x, E(x, y), y) of labelled and of unlabelled images."""
        labelled, unlabelled = self.features[Part.LABELLED], self.features[Part.UNLABELLED]
        logits = self.nets.discriminator.realness(
            torch.cat([labelled, unlabelled]), self.codes, self.step.class_probs
        )
        of_labelled, of_unlabelled = torch.split(logits, [len(labelled), len(unlabelled)])
        return of_labelled, of_unlabelled

    @cached_property
    def generated_logits(self) -> Float[Tensor, " G"]:
        """D(G(z, y), z, y)."""
        generated = self.features[Part.GENERATED]
        return self.nets.discriminator.realness(generated, self.step.prior_latents, self.step.prior_classes)

    def sampler_logits(self, sees: str) -> tuple[Float[Tensor, " L"], Float[Tensor, " U"]]:
        """S of the labelled and of the unlabelled images' posterior mean, or of its sample."""
        latents = self.posterior[0] if sees == "mean" else self.codes
        count = len(self.step.labelled.images)
        labelled, unlabelled = torch.split(self.nets.sampler(latents), [count, len(latents) - count])
        return labelled, unlabelled

    def _real_images(self, part: Part) -> Float[Tensor, "n C H W"]:
        return self.step.labelled.images if part is Part.LABELLED else self.step.unlabelled.images

    def _made_by(self, value: Tensor, *makers: Net) -> Tensor:
        return value if self.trains.intersection(makers) else value.detach()
