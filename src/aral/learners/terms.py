"""The terms of eq. 11 to 13 as functions of a step's view: each takes its tensors and calls one loss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from jaxtyping import Float
from torch import Tensor

from aral.learners.spec import Model, Net, Ramp
from aral.learners.step import Part, Step
from aral.learners.view import View
from aral.losses import (
    adversarial,
    classification,
    feature_matching,
    gaussian,
    reconstruction,
    released,
    sampler,
)
from aral.networks.interface import PixelRange

ALWAYS = Ramp()
"""No ramp: the weight counts from the first step."""

Compute: TypeAlias = Callable[[View], Float[Tensor, ""]]


@dataclass(frozen=True)
class Term:
    """One term of a phase's loss.

    Attributes:
        name: as it appears in logs.
        compute: the unweighted value, nats per image.
        weight: λ.
        ramp: a factor that follows the age of the networks.
    """

    name: str
    compute: Compute
    weight: float = 1.0
    ramp: Ramp = ALWAYS


@dataclass(frozen=True)
class Phase:
    """One part of a training step: the networks it trains, by the sum of its terms; all else is frozen.

    Attributes:
        name: as it appears in logs.
        trains: the networks that receive gradient.
        terms: the weighted terms.
        sees: the images the judge passes over.
        judged_by: whose features, class logits and realness the terms use: D̃, or a critic's.
        apart: images that the judge reads with the batch norm of evaluation, so that they neither shift the
            statistics of the others nor are remembered; of no consequence to a judge without batch norm.
        every: the phase runs in every so many steps.
    """

    name: str
    trains: frozenset[Net]
    terms: tuple[Term, ...]
    sees: frozenset[Part] = frozenset()
    judged_by: Net = Net.DISCRIMINATOR
    apart: frozenset[Part] = frozenset()
    every: int = 1

    def view(self, step: Step) -> View:
        """A step as this phase sees it."""
        return View(step, self.trains, self.sees, self.judged_by, self.apart)


def reconstruct(pixel_range: PixelRange) -> Compute:
    """Eq. 5: −log p(x | z, y) on labelled and unlabelled images; to E and G."""
    distance = reconstruction.bernoulli if pixel_range is PixelRange.UNIT else reconstruction.gaussian
    return lambda view: distance(view.step.images, view.reconstructions)


def diverge(view: View) -> Float[Tensor, ""]:
    """Eq. 5: KL(q(z|x, y) ‖ N(0, I)), mean over images; to E."""
    return gaussian.divergence_from_standard_normal(*view.posterior).mean()


def hide_from_sampler(sees: Literal["mean", "sample"]) -> Compute:
    """Eq. 5: E wants every code to look labelled; to E."""
    return lambda view: sampler.encoder_loss(*view.sampler_logits(sees))


def tell_labelled(sees: Literal["mean", "sample"]) -> Compute:
    """Eq. 6 and 13: S tells labelled from unlabelled codes; to S."""
    return lambda view: sampler.sampler_loss(*view.sampler_logits(sees))


def tell_real(labelled_share: float) -> Compute:
    """Eq. 8: D tells real triples from generated ones; to D."""
    return lambda view: adversarial.discriminator_loss(
        *view.real_logits, view.generated_logits, labelled_share=labelled_share
    )


def tell_real_by_class_logits(view: View) -> Float[Tensor, ""]:
    """The released code's discriminator term, on the class logits; to D."""
    classify = view.judge.classify
    return released.discriminator_loss(
        classify(view.features[Part.UNLABELLED]), classify(view.features[Part.GENERATED])
    )


def fool(view: View) -> Float[Tensor, ""]:
    """Eq. 7: G wants its triples to look real; to G."""
    return adversarial.generator_loss(view.generated_logits)


def oppose(labelled_share: float) -> Compute:
    """Eq. 10 with the working sign: E wants real triples to look generated; to E."""
    return lambda view: adversarial.encoder_loss(*view.real_logits, labelled_share=labelled_share)


def match_features(norm: Literal["squared", "absolute"]) -> Compute:
    """Generated images have the mean features of unlabelled ones; to G."""
    distance = feature_matching.squared_distance if norm == "squared" else feature_matching.absolute_distance
    return lambda view: distance(view.features[Part.UNLABELLED], view.features[Part.GENERATED])


def classify(part: Part) -> Compute:
    """Cross-entropy on one part of the images and their classes; to D (or the critic), or to what made them."""
    return lambda view: classification.cross_entropy(
        view.judge.classify(view.features[part]), view.class_probs_of(part)
    )


def classify_labelled(view: View) -> Float[Tensor, ""]:
    """First term of eq. 9: cross-entropy on labelled images; to D."""
    return classify(Part.LABELLED)(view)


def classify_generated(view: View) -> Float[Tensor, ""]:
    """Second term of eq. 9: cross-entropy on generated images and the classes they were made for; to D."""
    return classify(Part.GENERATED)(view)


def variational_terms(model: Model) -> tuple[Term, ...]:
    """Eq. 3, and eq. 5 when E and G are conditional: what makes the codes worth sampling from."""
    w = model.weights
    return (
        Term("reconstruction", reconstruct(model.networks.pixel_range), w.trd),
        Term("divergence", diverge, w.trd * w.beta),
        Term("hide from sampler", hide_from_sampler(model.sampler_sees), w.adv),
    )


def sampler_phase(model: Model) -> Phase:
    """Eq. 13: S alone."""
    found = Term("tell labelled", tell_labelled(model.sampler_sees))
    return Phase("S", frozenset({Net.SAMPLER}), (found,), every=model.training.generate_every)
