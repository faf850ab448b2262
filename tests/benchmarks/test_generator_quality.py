"""The Fréchet distance of features, against values worked out by hand and invariances."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    return importlib.import_module("generator_quality")


def whitened(features: np.ndarray) -> np.ndarray:
    """Mean 0 and covariance I exactly."""
    centred = features - features.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov(centred, rowvar=False))
    return centred @ vectors / np.sqrt(values)


def test_of_gaussians_with_known_moments(script: ModuleType) -> None:
    """N(0, I) and N(m, diag(s²)): |m|² + Σ (1 − s)²."""
    base = whitened(np.random.default_rng(0).normal(size=(400, 3)))
    moved = base * np.array([1.0, 2.0, 0.5]) + np.array([3.0, 0.0, -1.0])
    assert script.frechet_distance(base, moved) == pytest.approx(9 + 1 + 1 + 0.25, rel=1e-6)
    assert script.frechet_distance(base, base) == pytest.approx(0, abs=1e-6)


def test_it_is_symmetric_and_does_not_change_with_rotations(script: ModuleType) -> None:
    rng = np.random.default_rng(1)
    one, other = rng.normal(size=(300, 4)) @ rng.normal(size=(4, 4)), rng.normal(size=(200, 4)) + 1
    rotation = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    found = script.frechet_distance(one, other)
    assert found > 1
    assert script.frechet_distance(other, one) == pytest.approx(found, rel=1e-6)
    assert script.frechet_distance(one @ rotation, other @ rotation) == pytest.approx(found, rel=1e-6)


def test_features_that_never_vary_are_allowed(script: ModuleType) -> None:
    """A ReLU may be 0 for all images: the covariance is singular."""
    rng = np.random.default_rng(2)
    one = np.c_[whitened(rng.normal(size=(100, 2))), np.zeros(100)]
    assert script.frechet_distance(one, one + np.array([1.0, 0.0, 0.0])) == pytest.approx(1, rel=1e-6)
