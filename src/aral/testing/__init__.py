"""Fakes and planted data for tests of anything built on this package; nothing here trains for long."""

from aral.testing.acquisitions import check_acquisition, planted_predictions, planted_view
from aral.testing.learners import FakeLearner
from aral.testing.planted import planted_data, planted_pool, tiny_model

__all__ = [
    "FakeLearner",
    "check_acquisition",
    "planted_data",
    "planted_pool",
    "planted_predictions",
    "planted_view",
    "tiny_model",
]
