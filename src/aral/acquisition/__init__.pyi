from .catalogue import ACQUISITIONS, make_acquisition
from .interface import (
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
from .joint import Choice, JointBatch
from .own import is_own

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
    "as_scores",
    "check_query_size",
    "is_own",
    "make_acquisition",
    "top_scores",
]
