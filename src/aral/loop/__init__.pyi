from .label_log import AnswerRow, LabelLog
from .labels import CurrentLabels, LabelChanges, LabelSource
from .observer import Observer, Observers
from .oracles import GroundTruth, Oracle, OracleSettings, SimulatedAnnotator
from .run_store import CheckpointRow, EventRow, MetricRow, RoundRow, Stage, Store
from .session import Session, SessionOptions
from .strategy import Strategy, check_strategy
from .training import Pace
from .validation import Validation

__all__ = [
    "AnswerRow",
    "CheckpointRow",
    "CurrentLabels",
    "EventRow",
    "GroundTruth",
    "LabelChanges",
    "LabelLog",
    "LabelSource",
    "MetricRow",
    "Observer",
    "Observers",
    "Oracle",
    "OracleSettings",
    "Pace",
    "RoundRow",
    "Session",
    "SessionOptions",
    "SimulatedAnnotator",
    "Stage",
    "Store",
    "Strategy",
    "Validation",
    "check_strategy",
]
