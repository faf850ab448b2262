"""Every acquisition by name."""

from __future__ import annotations

from aral.acquisition.acs_fw import ACS_FW
from aral.acquisition.alfa_mix import ALFA_MIX
from aral.acquisition.badge import BADGE
from aral.acquisition.bald import BALD, BATCHBALD, POWER_BALD, SOFTMAX_BALD, SOFTRANK_BALD
from aral.acquisition.cluster_margin import CLUSTER_MARGIN
from aral.acquisition.committee import COMMITTEE, COMMITTEE_DIVERGENCE, MEAN_STD, VOTE_VARIATION_RATIO
from aral.acquisition.coverage import CORE_SET, PROBCOVER, ROBUST_CORE_SET
from aral.acquisition.dropquery import DROPQUERY
from aral.acquisition.gaal import GAAL
from aral.acquisition.herding import LINEAR_HERDING, MAXHERDING, UNCERTAINTY_HERDING
from aral.acquisition.interface import Acquisition
from aral.acquisition.random import RANDOM
from aral.acquisition.sampler import ARAL, ARAL_DIVERSE, ARAL_GRAPH, ARAL_TYPICAL, VAAL
from aral.acquisition.typicality import CENTROIDS, TYPICAL_CLUSTERS, TYPICAL_ENTROPY, TYPICAL_GRAPH, TYPICLUST
from aral.acquisition.uncertainty import ENTROPY, LEAST_CONFIDENCE, MARGIN, MAX_ENTROPY, VARIATION_RATIO
from aral.acquisition.user_defined import import_acquisition, is_user_defined
from aral.errors import BadInput, unknown_name

_BY_FAMILY: tuple[tuple[Acquisition, ...], ...] = (
    (RANDOM,),
    (LEAST_CONFIDENCE, MARGIN, ENTROPY),
    (MAX_ENTROPY, VARIATION_RATIO, VOTE_VARIATION_RATIO, MEAN_STD),
    (BALD, POWER_BALD, SOFTMAX_BALD, SOFTRANK_BALD, BATCHBALD, ACS_FW),
    (COMMITTEE, COMMITTEE_DIVERGENCE),
    (CORE_SET, ROBUST_CORE_SET, CENTROIDS, TYPICLUST, PROBCOVER, MAXHERDING),
    (BADGE, CLUSTER_MARGIN, UNCERTAINTY_HERDING, LINEAR_HERDING, DROPQUERY, ALFA_MIX),
    (VAAL, ARAL, ARAL_DIVERSE, ARAL_TYPICAL, ARAL_GRAPH),
    (TYPICAL_CLUSTERS, TYPICAL_ENTROPY, TYPICAL_GRAPH),
    (GAAL,),
)

ACQUISITIONS: dict[str, Acquisition] = {
    acquisition.name: acquisition for family in _BY_FAMILY for acquisition in family
}


def make_acquisition(name: str, user_defined: bool = False) -> Acquisition:
    """The acquisition of this name.

    Args:
        name: one of :data:`ACQUISITIONS`, or ``module:NAME``.
        user_defined: whether the user's own code may be imported. Never where the name was read from a
            folder, which another person may have made.

    Raises:
        BadInput: the name is unknown (the nearest is suggested), or the code may not be imported.
    """
    if is_user_defined(name):
        if not user_defined:
            raise BadInput(
                f"'{name}' is user code, which is not run because a folder names it.",
                "Name it on the command line: aral run or aral compare.",
            )
        return import_acquisition(name)
    if name not in ACQUISITIONS:
        raise unknown_name("acquisition", name, ACQUISITIONS)
    return ACQUISITIONS[name]
