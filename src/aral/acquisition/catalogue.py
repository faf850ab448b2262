"""Every acquisition by name."""

from __future__ import annotations

from aral.acquisition.acs_fw import ACS_FW
from aral.acquisition.badge import BADGE
from aral.acquisition.batchbald import BATCHBALD
from aral.acquisition.cluster_margin import CLUSTER_MARGIN
from aral.acquisition.committee import COMMITTEE, COMMITTEE_DIVERGENCE
from aral.acquisition.confidence import ENTROPY, LEAST_CONFIDENCE, MARGIN
from aral.acquisition.core_set import CORE_SET, ROBUST_CORE_SET
from aral.acquisition.dispersion import MEAN_STD, VARIATION_RATIO, VOTE_VARIATION_RATIO
from aral.acquisition.diverse import ARAL_DIVERSE
from aral.acquisition.gaal import GAAL
from aral.acquisition.groups import TYPICAL_OF_GROUPS
from aral.acquisition.interface import Acquisition
from aral.acquisition.own import is_own, own_acquisition
from aral.acquisition.prob_cover import PROBCOVER
from aral.acquisition.random import RANDOM
from aral.acquisition.sampler import ARAL, VAAL
from aral.acquisition.stochastic import POWER_BALD, SOFTMAX_BALD, SOFTRANK_BALD
from aral.acquisition.typical import TYPICLUST
from aral.acquisition.typical_doubts import ARAL_GRAPH, ARAL_TYPICAL, TYPICAL_ENTROPY, TYPICAL_GRAPH
from aral.acquisition.uncertainty import BALD, MAX_ENTROPY
from aral.errors import BadInput, unknown_name

_BY_FAMILY: tuple[tuple[Acquisition, ...], ...] = (
    (RANDOM,),
    (LEAST_CONFIDENCE, MARGIN, ENTROPY),
    (MAX_ENTROPY, VARIATION_RATIO, VOTE_VARIATION_RATIO, MEAN_STD),
    (BALD, POWER_BALD, SOFTMAX_BALD, SOFTRANK_BALD, BATCHBALD, ACS_FW),
    (COMMITTEE, COMMITTEE_DIVERGENCE),
    (CORE_SET, ROBUST_CORE_SET, TYPICLUST, PROBCOVER),
    (BADGE, CLUSTER_MARGIN),
    (VAAL, ARAL, ARAL_DIVERSE, ARAL_TYPICAL, ARAL_GRAPH),
    (TYPICAL_OF_GROUPS, TYPICAL_ENTROPY, TYPICAL_GRAPH),
    (GAAL,),
)

ACQUISITIONS: dict[str, Acquisition] = {
    acquisition.name: acquisition for family in _BY_FAMILY for acquisition in family
}


def make_acquisition(name: str, own: bool = False) -> Acquisition:
    """The acquisition of this name.

    Args:
        name: one of :data:`ACQUISITIONS`, or ``module:NAME``.
        own: whether code of the user's may be imported. Never where the name comes from a folder that somebody
            else may have made.

    Raises:
        BadInput: there is none, in which case the nearest name is suggested, or it may not be imported.
    """
    if is_own(name):
        if not own:
            raise BadInput(
                f"'{name}' is code of your own, which is not run because a folder asks for it.",
                "Name it on the command line: aral run or aral compare.",
            )
        return own_acquisition(name)
    if name not in ACQUISITIONS:
        raise unknown_name("acquisition", name, ACQUISITIONS)
    return ACQUISITIONS[name]
