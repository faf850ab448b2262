"""Arithmetic on plain numbers, written apart from PyTorch's functions, and slopes by central differences."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor

DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])


def near(value: float, dtype: torch.dtype) -> object:
    """Equal up to the rounding of the type; the hand's side is float64."""
    return pytest.approx(value, rel=2e-6 if dtype is torch.float32 else 1e-13)


def softplus(x: float) -> float:
    return math.log(1.0 + math.exp(x))


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def gradients(loss: Callable[..., Tensor], *inputs: Tensor) -> list[Tensor]:
    """Automatic derivatives of a loss by each of its inputs."""
    leaves = [value.clone().requires_grad_() for value in inputs]
    return list(torch.autograd.grad(loss(*leaves), leaves))


def slopes(loss: Callable[..., Tensor], *inputs: Tensor) -> list[Tensor]:
    """The same by central differences in float64."""
    found = []
    for place, value in enumerate(inputs):
        slope = torch.zeros_like(value)
        for index in range(value.numel()):
            ends = []
            for step in (1e-5, -1e-5):
                moved = [other.clone() for other in inputs]
                moved[place].view(-1)[index] += step
                ends.append(float(loss(*moved)))
            slope.view(-1)[index] = (ends[0] - ends[1]) / 2e-5
        found.append(slope)
    return found


def check_gradients(loss: Callable[..., Tensor], *inputs: Tensor) -> None:
    """Every derivative agrees with its central difference, and none is zero throughout."""
    for automatic, numerical in zip(gradients(loss, *inputs), slopes(loss, *inputs), strict=True):
        assert automatic.abs().max() > 1e-6
        torch.testing.assert_close(automatic, numerical, rtol=1e-6, atol=1e-8)
