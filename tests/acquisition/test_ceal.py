"""Pseudo-labels: which images are sure enough, and with which class."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from aral.acquisition import Predictions, confident_pseudo_labels
from aral.errors import BadInput

from .pools import id_array, view

# Entropies: 0.056, 0.693, 0.010, 0.325 nats.
POOL = view(
    Predictions(
        id_array(8, 2, 5, 3),
        probabilities=torch.tensor([[0.01, 0.99], [0.5, 0.5], [0.9985, 0.0015], [0.1, 0.9]]),
    )
)


@pytest.mark.parametrize(
    ("threshold", "ids", "classes"),
    [(0.005, [], []), (0.05, [5], [0]), (0.06, [5, 8], [0, 1]), (0.33, [3, 5, 8], [1, 0, 1])],
)
def test_ids_ascend_and_classes_go_with_them(threshold: float, ids: list[int], classes: list[int]) -> None:
    found_ids, found_classes = confident_pseudo_labels(POOL, threshold)
    assert found_ids.tolist() == ids and found_classes.tolist() == classes


def test_a_higher_threshold_keeps_what_a_lower_one_had() -> None:
    kept = [set(confident_pseudo_labels(POOL, t)[0].tolist()) for t in np.linspace(0.01, 0.8, 20)]
    assert all(low <= high for low, high in pairwise(kept))
    assert kept[-1] == {2, 3, 5, 8}


@pytest.mark.parametrize("threshold", [0.0, -1.0, float("nan")])
def test_a_threshold_that_nothing_passes_is_refused(threshold: float) -> None:
    with pytest.raises(BadInput, match="threshold"):
        confident_pseudo_labels(POOL, threshold)
