"""How a session chooses: one acquisition for the first query, one for all others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from aral.acquisition import Acquisition, Need
from aral.errors import BadInput
from aral.learners.interface import Learner

_INSTEAD: Mapping[Need, str] = {
    Need.MC_PROBABILITIES: "Its classifier has no dropout or noise, so all Monte-Carlo passes would be equal. Choose "
    "entropy, margin, least-confidence or badge, which need one pass, or networks with dropout or noise: scale mlp, "
    "features, conv32 or resnet, or biggan with block_dropout above 0 (--set learner.networks.block_dropout=0.5).",
    Need.DROPPED_CLASSES: "It needs networks that read features: train on a representation, such as --representation "
    "efficientnet-lite0-spatial, or choose learner 'linear'.",
}
"""What to choose where a learner does not supply a need, if there is more to say than in general."""


UNTRAINED = frozenset({Need.REPRESENTATION})
"""What a learner that supplies it can supply before any training."""


@dataclass(frozen=True)
class Strategy:
    """How images are chosen.

    Attributes:
        acquisition: every query but the first.
        first: the first query, before any label; it is given what a pretrained learner supplies, or else
            principal components of the pixels and, if the learner has a neighbour graph, the vectors of the graph.
    """

    acquisition: Acquisition
    first: Acquisition


def check_strategy(strategy: Strategy, learner: Learner) -> None:
    """Refuse, before any training, an acquisition that needs what the learner cannot supply.

    Raises:
        BadInput: names the acquisition, the learner and what is missing.
    """
    missing = strategy.acquisition.needs - learner.supplies
    if missing:
        raise BadInput(
            f"Acquisition '{strategy.acquisition.name}' needs {_in_words(missing)}, which learner "
            f"'{learner.name}' does not supply.",
            next(
                (_INSTEAD[need] for need in sorted(missing) if need in _INSTEAD),
                "Choose another acquisition, or a learner with those parts.",
            ),
        )
    before_training = {Need.FEATURES} | (UNTRAINED & learner.supplies)
    extra = strategy.first.needs - (learner.supplies if learner.pretraining_steps else before_training)
    if extra:
        raise BadInput(
            f"'{strategy.first.name}' cannot make the first query: it needs {_in_words(extra)}, and "
            f"'{learner.name}' has not trained yet.",
            "Use 'random', 'centroids' or 'typiclust' for the first query.",
        )


def _in_words(needs: Iterable[Need]) -> str:
    return ", ".join(sorted(needs)).replace("_", " ")
