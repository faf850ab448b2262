"""What one phase sees of a training step, and which networks its gradient can reach."""

from __future__ import annotations

from functools import cached_property
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor

from aral.learners.spec import Net
from aral.learners.step import Part, Step
from aral.losses.pseudo_labels import hardened
from aral.losses.rotation import quarter_turns
from aral.networks.biggan import BigganDiscriminator
from aral.networks.interface import Discriminator
from aral.networks.layers import fixed_statistics

_REAL = (
    Part.LABELLED,
    Part.UNLABELLED,
    Part.WEAK_LABELLED,
    Part.STRONG_LABELLED,
    Part.STRONG_UNLABELLED,
    Part.STRONG_NEIGHBOUR,
    Part.MIXED,
)
_MADE = (Part.GENERATED, Part.RECONSTRUCTED)


class View:
    """A step as one phase sees it: gradient reaches the networks the phase trains, and no others.

    Args:
        step: what the phases share.
        trains: the networks of the phase.
        sees: the images whose features the judge computes in this phase.
        judged_by: D̃, or the critic of a GAN trained apart.
        apart: images that the judge reads with the batch norm of evaluation.
    """

    def __init__(
        self,
        step: Step,
        trains: frozenset[Net],
        sees: frozenset[Part],
        judged_by: Net = Net.DISCRIMINATOR,
        apart: frozenset[Part] = frozenset(),
    ) -> None:
        self.step = step
        self.trains = trains
        self.nets = step.nets
        self._sees = sees
        self._judged_by = judged_by
        self._apart = apart

    @property
    def judge(self) -> Discriminator:
        """The network whose features, class logits and realness the phase's terms use."""
        return self.nets.judge(self._judged_by)

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
        return self._made_by(self.step.reconstructions, Net.ENCODER, self.nets.decodes)

    @property
    def generated(self) -> Float[Tensor, "G C H W"]:
        """G(z, y) of the prior."""
        return self._made_by(self.step.generated, Net.GENERATOR)

    @cached_property
    def features(self) -> dict[Part, Float[Tensor, "n F"]]:
        """D̃ of the images the phase sees; real images get a gradient only when D is trained."""
        images = {part: self.step.real_images(part) for part in _REAL if part in self._sees}
        made = {part: self.images_made(part) for part in _MADE if part in self._sees}
        if self._judged_by in self.trains:
            return self._features_of(images | made)
        with torch.no_grad():
            features = self._features_of(images)
        for part, value in made.items():
            features |= self._features_of({part: value})
        return features

    def _features_of(self, images: dict[Part, Float[Tensor, "_ C H W"]]) -> dict[Part, Float[Tensor, "_ F"]]:
        together = {part: value for part, value in images.items() if part not in self._apart}
        found = {}
        if together:
            sizes = [len(value) for value in together.values()]
            features = self.judge.features(torch.cat(list(together.values())))
            found = dict(zip(together, torch.split(features, sizes), strict=True))
        with fixed_statistics(self.judge):
            return found | {
                part: self.judge.features(value) for part, value in images.items() if part in self._apart
            }

    @cached_property
    def real_logits(self) -> tuple[Float[Tensor, " L"], Float[Tensor, " U"]]:
        """D(x, E(x, y), y) of labelled and of unlabelled images; none of a pool that the phase does not see.

        Without an encoder, D judges images and classes alone: z is 0 here and in :attr:`generated_logits`.
        """
        count = len(self.step.labelled.images)
        found = {part: self.features[part] for part in (Part.LABELLED, Part.UNLABELLED) if part in self._sees}
        class_probs = self.step.class_probs if Part.UNLABELLED in found else self.step.labelled.class_probs
        features = torch.cat(list(found.values()))
        codes = self.codes[: len(features)] if self._has_encoder else self._no_codes(len(features))
        logits = self.nets.discriminator.realness(features, codes, class_probs)
        of_labelled, of_unlabelled = torch.split(logits, [count, len(logits) - count])
        return of_labelled, of_unlabelled

    @cached_property
    def generated_logits(self) -> Float[Tensor, " G"]:
        """D(G(z, y), z, y)."""
        generated = self.features[Part.GENERATED]
        latents = self.step.prior_latents if self._has_encoder else self._no_codes(len(generated))
        return self.nets.discriminator.realness(generated, latents, self.step.prior_classes)

    def pair_logits(self, part: Part, hard_labels: bool = False) -> Float[Tensor, " n"]:
        """The judge's realness of (x, y) with z = 0: the projection discriminator of a plain conditional GAN."""
        features, class_probs = self.features[part], self.class_probs_of(part)
        if hard_labels:
            class_probs = hardened(class_probs)
        return self.judge.realness(features, self._no_codes(len(features)), class_probs)

    def class_probs_of(self, part: Part) -> Float[Tensor, "n K"]:
        """The classes of a part: a person's, the judge's own opinion, or those it was generated for.

        Raises:
            ValueError: mixed images have no classes of their own.
        """
        if part is Part.GENERATED:
            return self.step.prior_classes
        if part is Part.UNLABELLED:
            of_critic = self._judged_by is Net.CRITIC
            return self.step.critic_labels if of_critic else self.step.pseudo_labels
        if part is Part.STRONG_UNLABELLED:
            return self.step.weak_pseudo_labels
        if part is Part.MIXED:
            raise ValueError("the classes of mixed images are the learner's to say")
        return self.step.labelled.class_probs

    def group_logits(self, part: Part, to_trunk: bool = True) -> tuple[Float[Tensor, "n _"], ...]:
        """Logits of the groups of a part's images, one tensor a head of P; gradient to D̃ only if ``to_trunk``."""
        features = self.features[part]
        heads: tuple[Tensor, ...] = self.nets.partition(features if to_trunk else features.detach())
        return heads

    def turn_logits(self, part: Part) -> Float[Tensor, "M 4"]:
        """The judge's logits of the quarter turns of the first quarter of a part's images."""
        images = self.images_made(part) if part in _MADE else self.step.real_images(part)
        judge = cast(BigganDiscriminator, self.judge)
        return judge.rotation(judge.features(quarter_turns(images[: -(-len(images) // 4)])))

    def sampler_logits(self, sees: str) -> tuple[Float[Tensor, " L"], Float[Tensor, " U"]]:
        """S of the labelled and of the unlabelled images' posterior mean, or of its sample."""
        latents = self.posterior[0] if sees == "mean" else self.codes
        count = len(self.step.labelled.images)
        labelled, unlabelled = torch.split(self.nets.sampler(latents), [count, len(latents) - count])
        return labelled, unlabelled

    def images_made(self, part: Part) -> Float[Tensor, "n C H W"]:
        """Generated images, or the reconstructions of the labelled ones."""
        if part is Part.GENERATED:
            return self.generated
        return self.reconstructions[: len(self.step.labelled.images)]

    @property
    def _has_encoder(self) -> bool:
        return Net.ENCODER in self.nets.modules

    def _no_codes(self, count: int) -> Float[Tensor, "count Z"]:
        return torch.zeros(count, self.nets.latent_size, device=self.nets.device)

    def _made_by(self, value: Tensor, *makers: Net) -> Tensor:
        return value if self.trains.intersection(makers) else value.detach()
