from .acquisitions import check_acquisition, planted_predictions, planted_view
from .learners import FakeLearner
from .planted import planted_data, planted_pool, tiny_settings

__all__ = [
    "FakeLearner",
    "check_acquisition",
    "planted_data",
    "planted_pool",
    "planted_predictions",
    "planted_view",
    "tiny_settings",
]
