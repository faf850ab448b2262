"""The ablation without co-training, and the paper's ImageNet pipeline: three parts that share no gradient.

Queries are VAAL's: an unconditional VAE (E and its decoder) and S. A class-conditional GAN, G with its critic, is
trained separately as in S3GAN (Lučić et al. 2019): labels for a part of the images, the critic's own prediction for
the rest, hinge loss, projection, and rotation as self-supervision. The classifier C is trained on labelled images and
on G's.

The paper takes G from a finished S3GAN that has seen 10 % of ImageNet's labels. Here it sees the queried labels and no
others. It is trained in the same steps as C; ``weights.generated_ramp`` delays its images until they show something.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, cast

import torch
from pydantic import Field, model_validator
from torch import Tensor

from aral.learners.aral import SamplerSees, VaeWeights, sampler_phase, vae_terms
from aral.learners.division import Divisible
from aral.learners.engine import Batch, Engine, Method, Phase, Term
from aral.learners.interface import Task
from aral.learners.nets import Nets, eval_probabilities
from aral.learners.settings import (
    Adam,
    AdversarialOptimisers,
    GenerativePrediction,
    LearnerSettings,
    Net,
    Ramp,
    SemiSupervisedTraining,
)
from aral.learners.vaal import encode_unconditionally
from aral.losses import adversarial, hinge
from aral.losses.classification import cross_entropy
from aral.losses.pseudo_labels import hardened
from aral.losses.rotation import quarter_turns, turn_loss
from aral.networks.biggan import BigganDiscriminator
from aral.settings import Settings

VAE = frozenset({Net.ENCODER, Net.DECODER})
_DISCRIMINATOR_LOSS = {"logistic": adversarial.discriminator_loss, "hinge": hinge.discriminator_loss}
_GENERATOR_LOSS = {"logistic": adversarial.generator_loss, "hinge": hinge.generator_loss}


class SeparateOptimisers(AdversarialOptimisers):
    """Adam of the networks that only a separately trained GAN has."""

    decoder: Adam | None = None  # None: the generator's
    critic: Adam | None = None  # None: the discriminator's


class SeparateGan(Settings):
    """A class-conditional GAN trained separately from the classifier and from E (S3GAN; Lučić et al. 2019)."""

    loss: Literal["logistic", "hinge"] = "hinge"
    labels: Literal["hard", "soft"] = "hard"  # form of the critic's own prediction for an unlabelled image
    predictor: float = 1.0  # weight of the critic's cross-entropy on labelled images
    rotation: float = Field(0.0, ge=0)  # weight of rotation in the critic; S3GAN: 1.0; scale "biggan" only
    rotation_of_generated: float = Field(0.0, ge=0)  # the same in G; S3GAN: 0.2


class NoCoTrainingWeights(VaeWeights):
    """Weights of the VAE's terms, the GAN's and the classifier's."""

    gan: float = 1.0  # λ_gan
    cls: float = 1.0  # λ_cls: eq. 9
    generated: float = 1.0  # second term of eq. 9, relative to the first
    generated_ramp: Ramp = Ramp()
    labelled_share: float = Field(0.5, ge=0, le=1)  # of the real side of the GAN


class NoCoTrainingSettings(LearnerSettings):
    """Settings of the pipeline."""

    name: Literal["no-co-training"] = "no-co-training"
    optimisers: SeparateOptimisers = SeparateOptimisers()
    training: SemiSupervisedTraining = SemiSupervisedTraining()
    prediction: GenerativePrediction = GenerativePrediction()
    weights: NoCoTrainingWeights = NoCoTrainingWeights()
    sampler_sees: SamplerSees = "mean"  # of q(z|x), for both sets alike
    separate_gan: SeparateGan = SeparateGan()

    @model_validator(mode="after")
    def _has_a_rotation_head(self) -> NoCoTrainingSettings:
        gan = self.separate_gan
        if (gan.rotation or gan.rotation_of_generated) and self.networks.scale != "biggan":
            raise ValueError(
                f"networks of scale '{self.networks.scale}' have no rotation head: set separate_gan.rotation=0 and "
                "separate_gan.rotation_of_generated=0, or networks.scale='biggan'"
            )
        return self

    @property
    def nets(self) -> frozenset[Net]:
        """C, the VAE with S, and the GAN."""
        return VAE | {Net.SAMPLER, Net.DISCRIMINATOR, Net.GENERATOR, Net.CRITIC}

    def build(self, task: Task) -> Engine:
        """A new learner without co-training."""
        return Engine(NoCoTraining(self), self, task)


class NoCoTraining(Method):
    """Both terms of eq. 9 for C, eq. 4 for S, eq. 3 for the VAE, then the critic and G."""

    conditional = False

    def __init__(self, settings: NoCoTrainingSettings) -> None:
        self.settings = settings

    def division(self) -> Divisible:
        """Means over images; of the first quarter of the batch, where images are rotated."""
        gan = self.settings.separate_gan
        return Divisible(multiple=4 if gan.rotation or gan.rotation_of_generated else 1)

    def training_step(self, nets: Nets, batch: Batch) -> Iterator[Phase]:
        """C, S, E with its decoder, the critic, G."""
        s, w, disc = self.settings, self.settings.weights, nets.discriminator
        x_l, y_l = batch.labelled.images, batch.labelled.class_probs
        z_g, y_g = batch.prior(nets)
        x_g = nets.generate(z_g, y_g)  # shared by C and the critic, which see it detached, and G

        h_l, h_g = torch.split(disc.features(torch.cat([x_l, x_g.detach()])), [len(x_l), len(x_g)])
        yield Phase(
            "C",
            frozenset({Net.DISCRIMINATOR}),
            (
                Term("classify labelled", w.cls, lambda: cross_entropy(disc.classify(h_l), y_l)),
                Term(
                    "classify generated",
                    w.cls * w.generated * w.generated_ramp.at(batch.age),
                    lambda: cross_entropy(disc.classify(h_g), y_g),
                ),
            ),
        )

        codes = encode_unconditionally(nets, batch)
        yield sampler_phase(nets, codes, s.sampler_sees)
        terms = vae_terms(nets, codes, w, s.networks.pixel_range, s.sampler_sees)
        yield Phase("E+decoder", VAE, tuple(terms))
        yield self._critic_phase(nets, batch, x_g.detach(), y_g)
        yield self._generator_phase(nets, x_g, y_g)

    def _critic_phase(self, nets: Nets, batch: Batch, x_g: Tensor, y_g: Tensor) -> Phase:
        """The critic tells real pairs (x, y) from generated ones; an unlabelled image has the y it predicts."""
        gan, w, critic = self.settings.separate_gan, self.settings.weights, nets.critic
        x_l, y_l, x_u = batch.labelled.images, batch.labelled.class_probs, batch.unlabelled.images
        real = [x_l] if w.labelled_share == 1.0 else [x_l, x_u]
        h_l, *h_rest = torch.split(
            critic.features(torch.cat([*real, x_g])), [*(len(x) for x in real), len(x_g)]
        )
        h_u = h_rest[0] if len(real) == 2 else h_l[:0]

        def realness(h: Tensor, y: Tensor) -> Tensor:
            return critic.realness(h, h.new_zeros(len(h), nets.latent_size).float(), y)

        def real_against_generated() -> Tensor:
            y_u = eval_probabilities(critic, x_u) if len(h_u) else y_l[:0]
            y_u = hardened(y_u) if gan.labels == "hard" else y_u
            return _DISCRIMINATOR_LOSS[gan.loss](
                realness(h_l, y_l), realness(h_u, y_u), realness(h_rest[-1], y_g), w.labelled_share
            )

        return Phase(
            "critic",
            frozenset({Net.CRITIC}),
            (
                Term("tell real from generated", w.gan, real_against_generated),
                Term("predict labelled", gan.predictor, lambda: cross_entropy(critic.classify(h_l), y_l)),
                Term("rotation", gan.rotation, lambda: rotation_loss(critic, x_u)),
            ),
        )

    def _generator_phase(self, nets: Nets, x_g: Tensor, y_g: Tensor) -> Phase:
        """G against the critic, which is frozen."""
        gan, critic = self.settings.separate_gan, nets.critic
        h_g = critic.features(x_g.clone())  # a copy: summed before the gradient of rotation is added
        no_code = h_g.new_zeros(len(h_g), nets.latent_size).float()
        return Phase(
            "G",
            frozenset({Net.GENERATOR}),
            (
                Term(
                    "generator against critic",
                    self.settings.weights.gan,
                    lambda: _GENERATOR_LOSS[gan.loss](critic.realness(h_g, no_code, y_g)),
                ),
                Term("rotation of generated", gan.rotation_of_generated, lambda: rotation_loss(critic, x_g)),
            ),
        )


def rotation_loss(critic: torch.nn.Module, images: Tensor) -> Tensor:
    """Cross-entropy of the quarter turns of the first quarter of the images; to the critic, or to their G."""
    judge = cast(BigganDiscriminator, critic)
    turned = quarter_turns(images[: -(-len(images) // 4)])
    return turn_loss(judge.rotation(judge.features(turned)))
