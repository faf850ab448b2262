"""Planted pools: every output is a function of the image's id, so that any listing shows the same pool."""

from __future__ import annotations

import numpy as np

from aral.acquisition import PoolView, Predictions
from aral.testing.acquisitions import CLASSES, planted_predictions, planted_view

predictions, view_of = planted_predictions, planted_view


def id_array(*ids: int) -> np.ndarray:
    return np.array(ids, dtype=np.int64)


def view(unlabelled: Predictions, labelled: Predictions | None = None) -> PoolView:
    known = Predictions(id_array()) if labelled is None else labelled
    return PoolView(unlabelled, known, known.ids % CLASSES, CLASSES)
