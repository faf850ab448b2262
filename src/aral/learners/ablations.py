"""The paper's ablations of ARAL (section 4.3), each what is left of its phases when parts are taken out.

*No active learning*: no S and no term by which E hides from S; meant for random queries. *No encoder*: G and D
only; meant for BALD. *Generated only* is ours: unlabelled images reach the classifier through G's images alone.
The third ablation of the paper is :func:`aral.learners.no_co_training.no_co_training`.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from aral.learners.aral import ARAL_NETS, D, E, S, aral_phases
from aral.learners.blueprint import Blueprint
from aral.learners.phased import PhasedLearner
from aral.learners.spec import Model, Net, Objective
from aral.learners.step import Part
from aral.learners.terms import Phase
from aral.networks.interface import ImageShape
from aral.randomness import Stream

PREFIX = {Objective.RELEASED: "aral", Objective.PAPER: "aral-paper"}
"""Of the ablations' names; 'aral' alone is the released objective, as in the method's short name."""
OF_SAMPLER = frozenset({"hide from sampler"})
OF_ENCODER = OF_SAMPLER | {"reconstruction", "divergence", "oppose discriminator"}


def leave_out(phases: tuple[Phase, ...], nets: frozenset[Net], terms: frozenset[str]) -> tuple[Phase, ...]:
    """The phases without some networks and terms; a phase that is left with nothing to train disappears.

    Args:
        phases: of a complete method.
        nets: roles taken out.
        terms: names of the terms taken out.

    Raises:
        ValueError: no phase has a term of one of these names.
    """
    unknown = terms - {term.name for phase in phases for term in phase.terms}
    if unknown:
        raise ValueError(f"no phase has a term {', '.join(sorted(unknown))}")
    rest = [
        replace(
            phase,
            name="+".join(sorted(_letter(net) for net in phase.trains - nets)),
            trains=phase.trains - nets,
            terms=tuple(term for term in phase.terms if term.name not in terms),
        )
        for phase in phases
    ]
    return tuple(phase for phase in rest if phase.trains and phase.terms)


def _letter(net: Net) -> str:
    return net[0].upper()


def no_active_learning_phases(model: Model, objective: Objective) -> tuple[Phase, ...]:
    """Eq. 11 and 12 without the adversarial part of eq. 5, and no eq. 13."""
    return leave_out(aral_phases(model, objective), frozenset({S}), OF_SAMPLER)


def no_encoder_phases(model: Model, objective: Objective) -> tuple[Phase, ...]:
    """Eq. 12, and of eq. 11 what concerns G; D judges (x, y) alone, as there is no code to an image."""
    phases = aral_phases(model, objective)
    present = {term.name for phase in phases for term in phase.terms}
    return leave_out(phases, frozenset({E, S}), OF_ENCODER & present)


def generated_only_phases(model: Model) -> tuple[Phase, ...]:
    """Eq. 11 to 13 in which D̃ is trained on labelled and generated images only.

    The whole real side of eq. 8 and 10 falls to the labelled images. Unlabelled ones still train E, S and G,
    by eq. 5, eq. 6 and feature matching with D frozen, so the classifier learns from them through the images
    that G makes: the sense the paper gives the second term of eq. 9.
    """
    weights = model.weights.model_copy(update={"labelled_share": 1.0})
    phases = aral_phases(model.model_copy(update={"weights": weights}), Objective.PAPER)
    return tuple(
        replace(phase, sees=phase.sees - {Part.UNLABELLED}) if D in phase.trains else phase
        for phase in phases
    )


def no_active_learning(
    model: Model,
    objective: Objective,
    image_shape: ImageShape,
    class_count: int,
    stream: Stream,
    device: torch.device,
) -> PhasedLearner:
    """ARAL without S; arguments as for :func:`aral.learners.aral.aral`."""
    blueprint = Blueprint(model, image_shape, class_count, ARAL_NETS - {S}, conditional=True, device=device)
    phases = no_active_learning_phases(model, objective)
    return PhasedLearner(f"{PREFIX[objective]}-no-active", blueprint, phases, stream)


def no_encoder(
    model: Model,
    objective: Objective,
    image_shape: ImageShape,
    class_count: int,
    stream: Stream,
    device: torch.device,
) -> PhasedLearner:
    """ARAL without E and S; arguments as for :func:`aral.learners.aral.aral`."""
    nets = ARAL_NETS - {E, S}
    blueprint = Blueprint(model, image_shape, class_count, nets, conditional=True, device=device)
    phases = no_encoder_phases(model, objective)
    return PhasedLearner(f"{PREFIX[objective]}-no-encoder", blueprint, phases, stream)


def generated_only(
    model: Model, image_shape: ImageShape, class_count: int, stream: Stream, device: torch.device
) -> PhasedLearner:
    """ARAL whose classifier never sees an unlabelled image; arguments as for :func:`aral.learners.aral.aral`."""
    blueprint = Blueprint(model, image_shape, class_count, ARAL_NETS, conditional=True, device=device)
    return PhasedLearner("generated-only", blueprint, generated_only_phases(model), stream)
