"""Whose lead: over the second class, and over none of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from aral.margins import margin_of, two_highest


def test_leads_by_hand() -> None:
    """Over the second class; over what the row lacks; behind what it lacks; of nothing over nothing."""
    rows = torch.tensor([[0.7, 0.2, 0.1], [0.5, 0.1, 0.0], [0.1, 0.2, 0.0], [0.5, 0.5, 0.0]])
    assert margin_of(rows).tolist() == pytest.approx([0.5, 0.1, -0.5, 0.0], abs=1e-6)


@given(st.lists(st.lists(st.integers(0, 3), min_size=4, max_size=4), min_size=1, max_size=6))
def test_the_two_highest_are_the_last_of_the_sorted_row(rows: list[list[int]]) -> None:
    """With few different values most rows have equal ones, whose margin is 0."""
    first, second = two_highest(torch.tensor(rows, dtype=torch.float64))
    expected = np.sort(rows, axis=1)[:, [-1, -2]]
    assert np.array_equal(np.stack([first.numpy(), second.numpy()], axis=1), expected)
