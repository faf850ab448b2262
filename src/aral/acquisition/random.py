"""Random queries: the baseline of every comparison."""

from __future__ import annotations

from aral.acquisition.interface import PoolView, Scores, TopScores
from aral.randomness import Stream


def random_scores(pool: PoolView, stream: Stream) -> Scores:
    """A number in [0, 1) for each image, a function of the stream and the image id only."""
    return stream.uniform(pool.unlabelled.ids)


RANDOM = TopScores("random", frozenset(), random_scores, lambda score: "drawn at random")
