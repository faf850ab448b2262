from .ground_truth import GroundTruth
from .observer import Observer
from .oracle import Oracle
from .rows import AnswerRow, CheckpointRow, EventRow, MetricRow, RoundRow, Stage
from .session import Session
from .store import Store
from .strategy import Strategy, check_strategy
from .training import Pace
from .validation import Validation

__all__ = [
    "AnswerRow",
    "CheckpointRow",
    "EventRow",
    "GroundTruth",
    "MetricRow",
    "Observer",
    "Oracle",
    "Pace",
    "RoundRow",
    "Session",
    "Stage",
    "Store",
    "Strategy",
    "Validation",
    "check_strategy",
]
