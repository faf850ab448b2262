"""Ablation 'no co-training', and the paper's ImageNet pipeline: three parts that share no gradient.

The queries are VAAL's: an unconditional VAE (E and its decoder) and S. A class-conditional GAN, G with its
critic, is trained apart in the manner of S3GAN (Lučić et al. 2019): labels for a part of the images, the
critic's own prediction for the rest, hinge loss, projection, and rotation as self-supervision. The
classifier C is trained on labelled images and on G's.

The paper takes G from a finished S3GAN that has seen 10 % of ImageNet's labels. Here it sees the labels that
have been bought and no others. It is trained in the same steps as C; a ramp on the weight of generated
images (``weights.generated_ramp``) gives it a start.
"""

from __future__ import annotations

import torch

from aral.errors import BadInput
from aral.learners import terms
from aral.learners.blueprint import Blueprint
from aral.learners.gan_terms import fool_pairs, parts_judged, tell_pairs, tell_turns
from aral.learners.phased import PhasedLearner
from aral.learners.spec import Model, Net
from aral.learners.step import Part
from aral.learners.terms import Phase, Term
from aral.networks.biggan import BigganFamily
from aral.networks.interface import ImageShape
from aral.randomness import Stream

VAE = frozenset({Net.ENCODER, Net.DECODER})
NETS = VAE | {Net.SAMPLER, Net.DISCRIMINATOR, Net.GENERATOR, Net.CRITIC}


def separate_gan_phases(model: Model) -> tuple[Phase, ...]:
    """The critic, then G, judged by the critic.

    Raises:
        BadInput: rotation is asked for, and the networks have no head for it.
    """
    gan, w = model.separate_gan, model.weights
    if (gan.rotation or gan.rotation_of_generated) and not isinstance(model.networks, BigganFamily):
        raise BadInput(
            f"Networks of scale '{model.networks.scale}' cannot tell rotations.",
            "Set model.separate_gan.rotation=0 and rotation_of_generated=0, or model.networks.scale='biggan'.",
        )
    generated, share = Part.GENERATED, w.labelled_share
    of_critic = (
        Term("tell real pairs", tell_pairs(gan.loss, generated, share, gan.labels == "hard"), w.gan),
        Term("predict labelled", terms.classify(Part.LABELLED), gan.predictor),
        Term("tell turns", tell_turns(Part.UNLABELLED), gan.rotation),
    )
    of_generator = (
        Term("fool critic", fool_pairs(gan.loss, generated), w.gan),
        Term("show turns", tell_turns(generated), gan.rotation_of_generated),
    )
    critic, seen = frozenset({Net.CRITIC}), parts_judged(share, generated) | {Part.LABELLED}
    return (
        Phase("critic", critic, of_critic, seen, Net.CRITIC),
        Phase("G", frozenset({Net.GENERATOR}), of_generator, frozenset({generated}), Net.CRITIC),
    )


def no_co_training_phases(model: Model) -> tuple[Phase, ...]:
    """Both terms of eq. 9 for C, eq. 4 for S, eq. 3 for the VAE, and the GAN."""
    w = model.weights
    of_classifier = (
        Term("classify labelled", terms.classify_labelled, w.cls),
        Term("classify generated", terms.classify_generated, w.cls * w.generated, w.generated_ramp),
    )
    seen = frozenset({Part.LABELLED, Part.GENERATED})
    return (
        Phase("C", frozenset({Net.DISCRIMINATOR}), of_classifier, seen),
        terms.sampler_phase(model),
        Phase("E+decoder", VAE, terms.variational_terms(model)),
        *separate_gan_phases(model),
    )


def no_co_training(
    model: Model, image_shape: ImageShape, class_count: int, stream: Stream, device: torch.device
) -> PhasedLearner:
    """A new learner of this kind; arguments as for :func:`aral.learners.aral.aral`."""
    phases = no_co_training_phases(model)
    blueprint = Blueprint(model, image_shape, class_count, NETS, conditional=False, device=device)
    return PhasedLearner("no-co-training", blueprint, phases, stream)
