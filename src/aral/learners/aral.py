"""ARAL (Mottaghi and Yeung 2019): E, G, D and S co-trained on labelled, unlabelled and generated images.

Symbols and equation numbers are the paper's, in the corrected form of docs/maths.md; a = softplus. One training step
is Algorithm 1's: D (eq. 12), then S (eq. 13), then E and G together (eq. 11). Queries are the pool images with the
lowest S(E(x, C(x))): see :mod:`aral.acquisition`.

Two objectives tell real from generated images. ``paper``: a joint head c_rf over (x, z, y), eq. 7 to 10. ``released``:
what the authors' code trains, where realness is read from the class logits and G learns by feature matching alone.
The paper's ablations (section 4.3) are settings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeAlias

import torch
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor

from aral.learners.division import Divisible
from aral.learners.engine import Batch, Engine, Method, Phase, Term
from aral.learners.interface import Task
from aral.learners.nets import Nets, eval_probabilities
from aral.learners.settings import (
    AdversarialOptimisers,
    GenerativePrediction,
    LearnerSettings,
    Net,
    Ramp,
    SemiSupervisedTraining,
)
from aral.losses import (
    adversarial,
    feature_matching,
    gaussian,
    reconstruction,
    released,
    sampler,
)
from aral.losses.classification import cross_entropy
from aral.losses.pseudo_labels import confident, cross_entropy_where, hardened
from aral.networks.interface import Discriminator, PixelRange
from aral.networks.layers import weights_computed_once
from aral.settings import Settings

D, E, G, S = Net.DISCRIMINATOR, Net.ENCODER, Net.GENERATOR, Net.SAMPLER
SamplerSees: TypeAlias = Literal["mean", "sample"]


class VaeWeights(Settings):
    """Weights of the terms of eq. 3 and 5."""

    trd: float = 0.001  # λ_trd: reconstruction and divergence
    beta: float = 1.0  # β: divergence relative to reconstruction
    adv: float = 0.001  # λ_adv: E makes all codes look labelled to S


class AralWeights(VaeWeights):
    """Weights of the terms of eq. 5, 8, 9 and 11 to 13."""

    gan: float = 1.0  # λ_gan: eq. 7, 8 and 10
    cls: float = 1.0  # λ_cls: eq. 9
    generated: float = 1.0  # second term of eq. 9, relative to the first
    generated_ramp: Ramp = Ramp()  # generated images are noise at first
    feature_matching: float = 1.0
    labelled_share: float = Field(0.5, ge=0, le=1)  # of the real side of eq. 8 and 10
    pseudo_labelled: float = Field(1.0, ge=0)  # relative to labelled images, where pseudo-labels are used
    pseudo_labelled_ramp: Ramp = Ramp()  # the first ones are often wrong


class AralSettings(LearnerSettings):
    """Settings of ARAL and its ablations."""

    name: Literal["aral"] = "aral"
    objective: Literal["paper", "released"] = "paper"
    values: Literal["chosen", "printed"] = (
        "chosen"  # rates, weights and noise of presets: chosen here, or as the paper prints them
    )
    sampler: bool = True  # False: no S and no adversarial term in eq. 5 ('no active learning')
    encoder: bool = True  # False: G and D only; c_rf is given z = 0
    unlabelled_in_discriminator: bool = True  # False: D sees unlabelled images only through G's
    optimisers: AdversarialOptimisers = AdversarialOptimisers()
    training: SemiSupervisedTraining = SemiSupervisedTraining()
    prediction: GenerativePrediction = GenerativePrediction()
    weights: AralWeights = AralWeights()
    matching_norm: Literal["squared", "absolute"] = "squared"  # of feature matching
    sampler_sees: SamplerSees = "mean"  # of q(z|x, y), for both sets alike
    prior: Literal["uniform", "labels"] = (
        "uniform"  # p(y) of generated images: uniform, or the labels' shares
    )
    pseudo_labels: bool = False  # C is trained on its own confident predictions, too; not in the paper
    confidence: float = Field(0.9, ge=0, le=1)  # a pseudo-label is used from this probability on
    agreement: bool = (
        False  # … and only where logistic regression on the labels predicts it, too; for features
    )

    VARIANTS: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {"objective": "paper"},
        "released": {"objective": "released"},
        "no-sampler": {"sampler": False},
        "no-encoder": {"encoder": False, "sampler": False},
        "generated-only": {"unlabelled_in_discriminator": False},
        "pseudo-labels": {"pseudo_labels": True},
        "printed": {"values": "printed"},
    }

    @model_validator(mode="after")
    def _fits_together(self) -> AralSettings:
        if self.sampler and not self.encoder:
            raise ValueError("the sampler reads the encoder's codes: encoder=false needs sampler=false")
        if not self.unlabelled_in_discriminator and self.objective == "released":
            raise ValueError("the released objective trains D on unlabelled images: choose objective='paper'")
        if not self.unlabelled_in_discriminator and self.pseudo_labels:
            raise ValueError("pseudo-labels train D on unlabelled images: pseudo_labels=false")
        return self

    @property
    def nets(self) -> frozenset[Net]:
        """D and G, and E and S unless left out."""
        return frozenset({D, G} | ({E} if self.encoder else set()) | ({S} if self.sampler else set()))

    def build(self, task: Task) -> Engine:
        """A new ARAL learner."""
        return Engine(Aral(self), self, task)


class Aral(Method):
    """One training step of Algorithm 1."""

    def __init__(self, settings: AralSettings) -> None:
        self.settings = settings

    def division(self) -> Divisible:
        """Means over images, but for feature matching."""
        return Divisible(statistics=("feature matching",) if self.settings.weights.feature_matching else ())

    def training_step(self, nets: Nets, batch: Batch) -> Iterator[Phase]:
        """D, then S, then E and G."""
        objectives = {"paper": self._paper_step, "released": self._released_step}
        return objectives[self.settings.objective](nets, batch)

    def _paper_step(self, nets: Nets, batch: Batch) -> Iterator[Phase]:
        """Eq. 11 to 13 with the joint head c_rf."""
        s, w, disc = self.settings, self.settings.weights, nets.discriminator
        x_l, y_l, x_u = batch.labelled.images, batch.labelled.class_probs, batch.unlabelled.images
        count = len(x_l)

        # D's pass over all it sees, for eq. 12; x_g, made once and shared with G, is detached.
        z_g, y_g = self._prior(nets, batch)
        x_g = nets.generate(z_g, y_g)
        seen, share = ([x_l, x_u], w.labelled_share) if s.unlabelled_in_discriminator else ([x_l], 1.0)
        with weights_computed_once():
            *h_seen, h_g = torch.split(
                disc.features(torch.cat([*seen, x_g.detach()])), [*(len(x) for x in seen), len(x_g)]
            )
            # ŷ, stop-gradient, and the codes: computed once and shared by the phases.
            y_u = eval_probabilities(disc, x_u)
        x, y = torch.cat([x_l, x_u]), torch.cat([y_l, y_u])
        codes = encode(nets, batch, x, y, count) if s.encoder else None
        z = codes.sample if codes else x.new_zeros(len(x), nets.latent_size)
        z_g = z_g if codes else torch.zeros_like(z_g)  # without E, c_rf judges (x, y) alone

        # D, eq. 12: z is detached.
        h_l, h_real = h_seen[0], torch.cat(h_seen)
        z_real, y_real = z[: len(h_real)].detach(), y[: len(h_real)]
        yield Phase(
            "D",
            frozenset({D}),
            (
                Term(  # eq. 8
                    "tell real from generated",
                    w.gan,
                    lambda: adversarial.discriminator_loss(
                        *_split(disc.realness(h_real, z_real, y_real), count),
                        disc.realness(h_g, z_g, y_g),
                        share,
                    ),
                ),
                Term("classify labelled", w.cls, lambda: cross_entropy(disc.classify(h_l), y_l)),  # eq. 9
                Term(  # eq. 9, second term
                    "classify generated",
                    w.cls * w.generated * w.generated_ramp.at(batch.age),
                    lambda: cross_entropy(disc.classify(h_g), y_g),
                ),
                *self._pseudo_labelled(disc, batch, lambda: h_seen[1], y_u),
            ),
        )

        # S, eq. 13: the codes are detached.
        if codes and s.sampler:
            yield sampler_phase(nets, codes, s.sampler_sees)

        # E and G, eq. 11: D is frozen. D̃(x) carries no gradient, D̃(G(z, y)) carries G's, z carries E's.
        with weights_computed_once():
            with torch.no_grad():
                h_real = disc.features(x)
            h_g = disc.features(x_g)
        terms = vae_terms(nets, codes, w, s.networks.pixel_range, s.sampler_sees) if codes else []  # eq. 5
        if codes:
            encoder_term = Term(  # eq. 10: E makes (x, E(x, y), y) look generated
                "encoder against D",
                w.gan,
                lambda: adversarial.encoder_loss(*_split(disc.realness(h_real, z, y), count), share),
            )
            terms.append(encoder_term)
        generator_term = Term(  # eq. 7: G makes (G(z, y), z, y) look real
            "generator against D",
            w.gan,
            lambda: adversarial.generator_loss(disc.realness(h_g, z_g, y_g)),
        )
        matching = matching_term(w.feature_matching, s.matching_norm, lambda: (h_real[count:], h_g))
        yield encoder_generator_phase(nets, [*terms, generator_term, matching])

    def _released_step(self, nets: Nets, batch: Batch) -> Iterator[Phase]:
        """The objective of the authors' code: realness from the class logits, G by feature matching alone."""
        s, w, disc = self.settings, self.settings.weights, nets.discriminator
        x_l, y_l, x_u = batch.labelled.images, batch.labelled.class_probs, batch.unlabelled.images
        x_g = nets.generate(*self._prior(nets, batch))  # shared by D and G

        # D: one pass over all images; x_g is detached.
        h_l, h_u, h_g = torch.split(
            disc.features(torch.cat([x_l, x_u, x_g.detach()])), [len(x_l), len(x_u), len(x_g)]
        )
        yield Phase(
            "D",
            frozenset({D}),
            (
                Term(
                    "tell real from generated",
                    w.gan,
                    lambda: released.discriminator_loss(disc.classify(h_u), disc.classify(h_g)),
                ),
                Term("classify labelled", w.cls, lambda: cross_entropy(disc.classify(h_l), y_l)),  # eq. 9
                *(
                    self._pseudo_labelled(disc, batch, lambda: h_u, eval_probabilities(disc, x_u))
                    if s.pseudo_labels
                    else ()
                ),
            ),
        )

        # S, eq. 13. Here ŷ, stop-gradient, is that of the C that has just moved.
        codes = None
        if s.encoder:
            x, y = torch.cat([x_l, x_u]), torch.cat([y_l, eval_probabilities(disc, x_u)])
            codes = encode(nets, batch, x, y, len(x_l))
        if codes and s.sampler:
            yield sampler_phase(nets, codes, s.sampler_sees)

        # E and G: eq. 5 and feature matching; D is frozen.
        with weights_computed_once():
            with torch.no_grad():
                h_u = disc.features(x_u)
            h_g = disc.features(x_g)
        terms = vae_terms(nets, codes, w, s.networks.pixel_range, s.sampler_sees) if codes else []  # eq. 5
        matching = matching_term(w.feature_matching, s.matching_norm, lambda: (h_u, h_g))
        yield encoder_generator_phase(nets, [*terms, matching])

    def _prior(self, nets: Nets, batch: Batch) -> tuple[Float[Tensor, "U Z"], Float[Tensor, "U K"]]:
        """z ~ N(0, I) and y ~ p(y)."""
        return batch.prior(nets, batch.class_shares if self.settings.prior == "labels" else None)

    def _pseudo_labelled(
        self, disc: Discriminator, batch: Batch, features: Callable[[], Tensor], class_probs: Tensor
    ) -> tuple[Term, ...]:
        """Cross-entropy of C on its own confident predictions (Lee 2013); not in the paper, hence a variant."""
        s, w = self.settings, self.settings.weights
        if not s.pseudo_labels:
            return ()
        used = confident(class_probs, s.confidence)
        if s.agreement:
            used = used & (batch.linear_classes(batch.unlabelled.images) == class_probs.argmax(dim=1))
        loss = Term(
            "classify pseudo-labelled",
            w.cls * w.pseudo_labelled * w.pseudo_labelled_ramp.at(batch.age),
            lambda: cross_entropy_where(disc.classify(features()), hardened(class_probs), used),
        )
        return (loss,)


# --- Eq. 1 to 6: the codes, shared with VAAL and others ---------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Codes:
    """q(z|x, y) of the labelled images, then the unlabelled ones.

    Attributes:
        images: x.
        class_probs: y, one-hot for labelled images, ŷ for unlabelled ones.
        mean: μ.
        log_variance: log σ².
        sample: z ~ q(z|x, y), differentiable in both.
        labelled_count: how many of the rows are labelled images.
    """

    images: Float[Tensor, "B C H W"]
    class_probs: Float[Tensor, "B K"]
    mean: Float[Tensor, "B Z"]
    log_variance: Float[Tensor, "B Z"]
    sample: Float[Tensor, "B Z"]
    labelled_count: int

    def seen_by_sampler(self, sees: SamplerSees) -> Float[Tensor, "B Z"]:
        """What S reads, in the same way for both sets."""
        return self.mean if sees == "mean" else self.sample


def encode(
    nets: Nets,
    batch: Batch,
    images: Float[Tensor, "B C H W"],
    class_probs: Float[Tensor, "B K"],
    labelled_count: int,
) -> Codes:
    """E on labelled, then unlabelled images in one pass, so that batch norm treats both alike."""
    mean, log_variance = nets.encode(images, class_probs)
    noise = batch.normal("codes", *mean.shape)
    sample = gaussian.sample(mean, log_variance, noise)
    return Codes(images, class_probs, mean, log_variance, sample, labelled_count)


def sampler_phase(nets: Nets, codes: Codes, sees: SamplerSees) -> Phase:
    """Eq. 4, 6 and 13: S alone; the codes are detached."""
    read = codes.seen_by_sampler(sees).detach()
    loss = Term(
        "tell labelled from unlabelled",
        1.0,
        lambda: sampler.sampler_loss(*_split(nets.sampler(read), codes.labelled_count)),
    )
    return Phase("S", frozenset({S}), (loss,))


def vae_terms(
    nets: Nets,
    codes: Codes,
    weights: VaeWeights,
    pixel_range: PixelRange,
    sees: SamplerSees,
    reconstructions: Tensor | None = None,
) -> list[Term]:
    """Eq. 1 to 3, and eq. 5 where E and G are conditional; the adversarial term only where there is an S.

    Args:
        nets: with E and its decoder.
        codes: of the step's images.
        weights: of the terms.
        pixel_range: Bernoulli likelihood for [0, 1], Gaussian for [-1, 1].
        sees: what S reads of q(z|x, y).
        reconstructions: the decoder's images of the codes, where they were computed already.
    """

    def reconstructed() -> Tensor:
        made = reconstructions
        return nets.decode(codes.sample, codes.class_probs) if made is None else made

    distance = reconstruction.bernoulli if pixel_range is PixelRange.UNIT else reconstruction.gaussian
    terms = [
        Term(  # −log p(x|z, y); to E and G
            "reconstruction",
            weights.trd,
            lambda: distance(codes.images, reconstructed()),
        ),
        Term(  # KL(q(z|x, y) ‖ N(0, I)), mean over images; to E
            "divergence",
            weights.trd * weights.beta,
            lambda: gaussian.divergence_from_standard_normal(codes.mean, codes.log_variance).mean(),
        ),
    ]
    if S in nets.modules:
        adversarial_term = Term(  # eq. 2 and 5: E makes both sets look labelled to the S that has just moved
            "encoder against S",
            weights.adv,
            lambda: sampler.encoder_loss(
                *_split(nets.sampler(codes.seen_by_sampler(sees)), codes.labelled_count)
            ),
        )
        terms.append(adversarial_term)
    return terms


def encoder_generator_phase(nets: Nets, terms: list[Term]) -> Phase:
    """E and G together, or G alone where there is no E."""
    trains = frozenset({E, G}.intersection(nets.modules))
    return Phase("E+G" if E in trains else "G", trains, tuple(terms))


def matching_term(
    weight: float, norm: Literal["squared", "absolute"], features: Callable[[], tuple[Tensor, Tensor]]
) -> Term:
    """Feature matching (Salimans et al. 2016): G's images have the mean D̃ features of unlabelled ones; to G."""
    distance = feature_matching.squared_distance if norm == "squared" else feature_matching.absolute_distance
    return Term("feature matching", weight, lambda: distance(*features()))


def _split(logits: Tensor, labelled_count: int) -> tuple[Tensor, Tensor]:
    """Logits of labelled and of unlabelled images."""
    return logits[:labelled_count], logits[labelled_count:]
