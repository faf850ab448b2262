from .catalogue import ACQUISITIONS, make_acquisition
from .interface import (
    Acquisition,
    Choice,
    JointBatch,
    Need,
    PoolView,
    Predictions,
    Scores,
    TopScores,
    as_scores,
    check_query_size,
    top_scores,
)
from .selecting import select
from .user_defined import is_user_defined

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
    "is_user_defined",
    "make_acquisition",
    "select",
    "top_scores",
]
