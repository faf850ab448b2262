"""How a session chooses: one acquisition for the first query, one for all others."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from aral.acquisition import Acquisition, Need
from aral.errors import BadInput
from aral.learners.interface import Learner


@dataclass(frozen=True)
class Strategy:
    """How images are chosen.

    Attributes:
        acquisition: every query but the first.
        first: the first query, before any label; it is given what a pretrained learner supplies, or else
            principal components of the pixels.
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
            "Choose another acquisition, or a learner with those parts.",
        )
    extra = strategy.first.needs - (learner.supplies if learner.pretraining_steps else {Need.FEATURES})
    if extra:
        raise BadInput(
            f"'{strategy.first.name}' cannot make the first query: it needs {_in_words(extra)}, and "
            f"'{learner.name}' has not trained yet.",
            "Use 'random' or 'typiclust' for the first query.",
        )


def _in_words(needs: Iterable[Need]) -> str:
    return ", ".join(sorted(needs)).replace("_", " ")
