"""Whose lead: over the second class, and over none of them."""

from __future__ import annotations

import pytest
import torch

from aral.margins import margin_of


def test_leads_by_hand() -> None:
    """Over the second class; over what the row lacks; behind what it lacks; of nothing over nothing."""
    rows = torch.tensor([[0.7, 0.2, 0.1], [0.5, 0.1, 0.0], [0.1, 0.2, 0.0], [0.5, 0.5, 0.0]])
    assert margin_of(rows).tolist() == pytest.approx([0.5, 0.1, -0.5, 0.0], abs=1e-6)
