"""VAAL (Sinha et al. 2019): an unconditional VAE and a sampler that only choose images; a supervised classifier.

Eq. 1 to 4 of Mottaghi and Yeung (2019). The two halves share nothing but the labelled images.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch.nn.functional import mse_loss

from aral.learners.aral import (
    Codes,
    SamplerSees,
    VaeWeights,
    encode,
    encoder_generator_phase,
    sampler_phase,
    vae_terms,
)
from aral.learners.division import Divisible
from aral.learners.engine import Batch, Engine, Method, Phase, Term
from aral.learners.interface import Task
from aral.learners.nets import Nets
from aral.learners.settings import (
    AdversarialOptimisers,
    GenerativePrediction,
    LearnerSettings,
    Net,
    SemiSupervisedTraining,
)
from aral.learners.supervised import classifier_phase
from aral.losses import gaussian, sampler


class VaalWeights(VaeWeights):
    """Weights of eq. 3, and of the classifier's loss."""

    cls: float = Field(1.0, gt=0)  # λ_cls


class VaalSettings(LearnerSettings):
    """Settings of VAAL."""

    name: Literal["vaal"] = "vaal"
    optimisers: AdversarialOptimisers = AdversarialOptimisers()
    training: SemiSupervisedTraining = SemiSupervisedTraining()
    prediction: GenerativePrediction = GenerativePrediction()
    weights: VaalWeights = VaalWeights()
    sampler_sees: SamplerSees = "mean"  # of q(z|x), for both sets alike
    scaling: Literal["eq3", "authors"] = (
        "eq3"  # of the autoencoder's terms: eq. 3 with its λ, or VAAL's released code
    )

    VARIANTS: ClassVar[Mapping[str, Mapping[str, Any]]] = {"authors": {"scaling": "authors"}}

    @property
    def nets(self) -> frozenset[Net]:
        """E, its decoder G, S, and the classifier."""
        return frozenset({Net.ENCODER, Net.GENERATOR, Net.DISCRIMINATOR, Net.SAMPLER})

    def build(self, task: Task) -> Engine:
        """A new VAAL learner."""
        return Engine(Vaal(self), self, task)


class Vaal(Method):
    """The classifier, eq. 4 for the sampler, and eq. 3 for the autoencoder."""

    conditional = False

    def __init__(self, settings: VaalSettings) -> None:
        self.settings = settings

    def division(self) -> Divisible:
        """Means over images; the one sum over them is scaled by the number of parts."""
        return Divisible()

    def training_step(self, nets: Nets, batch: Batch) -> Iterator[Phase]:
        """C, then S, then E and G."""
        s = self.settings
        yield classifier_phase(nets, batch, s.weights.cls)
        codes = encode_unconditionally(nets, batch)
        yield sampler_phase(nets, codes, s.sampler_sees)
        if s.scaling == "authors":
            terms = authors_terms(nets, codes, s.sampler_sees, batch.part.count)
        else:
            terms = vae_terms(nets, codes, s.weights, s.networks.pixel_range, s.sampler_sees)
        yield encoder_generator_phase(nets, terms)


def authors_terms(nets: Nets, codes: Codes, sees: SamplerSees, parts: int = 1) -> list[Term]:
    """Eq. 3 as VAAL's released code scales it: every weight is 1, and each term is reduced in its own way.

    Reconstruction is the squared error, mean over pixels and images, of the labelled plus that of the unlabelled set.
    The divergence is summed over latent dimensions *and images*, so it outweighs the reconstruction by several
    thousand times, and the posterior tends to collapse. The adversarial term is that of eq. 2.

    Args:
        nets: with E and its decoder.
        codes: of the images.
        sees: what S reads of q(z|x).
        parts: into how many the step's batches are divided; the divergence is that of all, whose mean over parts is
            taken.
    """
    sizes = [codes.labelled_count, len(codes.images) - codes.labelled_count]

    def squared_error() -> torch.Tensor:
        made = nets.decode(codes.sample, codes.class_probs)
        halves = zip(torch.split(made, sizes), torch.split(codes.images, sizes), strict=True)
        return torch.stack([mse_loss(mean, image) for mean, image in halves]).sum()

    return [
        Term("reconstruction", 1.0, squared_error),
        Term(
            "divergence",
            1.0,
            lambda: parts * gaussian.divergence_from_standard_normal(codes.mean, codes.log_variance).sum(),
        ),
        Term(
            "encoder against S",
            1.0,
            lambda: sampler.encoder_loss(*torch.split(nets.sampler(codes.seen_by_sampler(sees)), sizes)),
        ),
    ]


def encode_unconditionally(nets: Nets, batch: Batch) -> Codes:
    """q(z|x) of the labelled, then the unlabelled images."""
    x = torch.cat([batch.labelled.images, batch.unlabelled.images])
    return encode(nets, batch, x, x.new_zeros(len(x), 0), len(batch.labelled.images))
