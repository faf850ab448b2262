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
from aral.acquisition.joint import Choice, JointBatch
from aral.acquisition.own import is_own

__all__ = [
    "ACQUISITIONS",
    "Acquisition",
    "Choice",
    "JointBatch",
    "Need",
    "PoolView",
    "Predictions",
    "Scores",
    "TopScores",
    "acquisition",
    "as_scores",
    "check_query_size",
    "is_own",
    "top_scores",
]
