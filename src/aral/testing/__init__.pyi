from .acquisitions import check_acquisition, planted_predictions, planted_view
from .learners import FakeLearner
from .observers import RecordingObserver
from .planted import planted_data, planted_pool, tiny_settings
from .records import run_record, runs_with_gains

__all__ = [
    "FakeLearner",
    "RecordingObserver",
    "check_acquisition",
    "planted_data",
    "planted_pool",
    "planted_predictions",
    "planted_view",
    "run_record",
    "runs_with_gains",
    "tiny_settings",
]
