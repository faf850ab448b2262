"""Strategies: which images to label next. Scores are apart from choosing; higher = label first."""

from aral.acquisition.catalogue import ACQUISITIONS, acquisition
from aral.acquisition.interface import (
    Acquisition,
    Need,
    PoolView,
    Predictions,
    Scores,
    TopScores,
    as_scores,
    check_query_size,
    top_scores,
)

__all__ = [
    "ACQUISITIONS",
    "Acquisition",
    "Need",
    "PoolView",
    "Predictions",
    "Scores",
    "TopScores",
    "acquisition",
    "as_scores",
    "check_query_size",
    "top_scores",
]
