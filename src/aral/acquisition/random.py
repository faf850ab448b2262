"""Uniformly random queries: the baseline every other strategy has to beat."""

from __future__ import annotations

from aral.acquisition.interface import PoolView, Scores, TopScores
from aral.randomness import Stream


def random_scores(pool: PoolView, stream: Stream) -> Scores:
    """A number in [0, 1) for each image, a function of the stream and the image's id alone."""
    return stream.uniform(pool.unlabelled.ids)


RANDOM = TopScores("random", frozenset(), random_scores, lambda score: "drawn at random")
