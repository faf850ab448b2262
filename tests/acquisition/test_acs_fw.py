"""ACS-FW: the vectors by two routes, Frank-Wolfe by hand and by what it must achieve."""

from __future__ import annotations

from math import log, sqrt

import numpy as np
import pytest
import torch

from aral.acquisition import ACQUISITIONS, Need, Predictions
from aral.acquisition.acs_fw import FrankWolfe, log_likelihood_vectors
from aral.randomness import Stream

from .pools import id_array, view, view_of

STREAM = Stream.root(0)


def test_vectors_by_hand() -> None:
    """Mean (½, ½); KL(½, ½ ‖ ¾, ¼) = −log 2 − ½·log(3/16), and the same for the other pass."""
    passes = torch.tensor([[[0.75, 0.25], [0.25, 0.75]], [[0.9, 0.1], [0.9, 0.1]]]).double()
    divergence = -log(2) - 0.5 * log(3 / 16)
    found = log_likelihood_vectors(passes)
    np.testing.assert_allclose(found, np.array([[-divergence / sqrt(2)] * 2, [0.0, 0.0]]), atol=1e-12)


def test_vectors_are_centred_expected_log_likelihoods() -> None:
    """(E over y ~ mean p of log p_m(y) + H[mean p]) / √M, term by term."""
    passes = np.random.default_rng(0).dirichlet(np.ones(3), size=(6, 4))
    for image, found in zip(passes, log_likelihood_vectors(torch.from_numpy(passes)).tolist(), strict=True):
        mean = image.mean(axis=0)
        entropy = -sum(p * log(p) for p in mean)
        expected = [(sum(mean * np.log(one)) + entropy) / 2 for one in image]
        assert found == pytest.approx(expected)


def test_an_impossible_class_keeps_vectors_finite() -> None:
    passes = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]]).double()
    assert np.isfinite(log_likelihood_vectors(passes)).all()


def search(vectors: list[list[float]]) -> FrankWolfe:
    return FrankWolfe(np.array(vectors, dtype=np.float64), np.linspace(0, 0.9, len(vectors)))


def test_frank_wolfe_by_hand() -> None:
    """Rows (−3, 0), (0, −2), (−1, 0): L = (−4, −2), σ = 6, unit_length −e₁, −e₂, −e₁.

    First the alignments are 4, 2, 4: row 0, line search 6·4 / 36 = 2/3, so L(w) = (−4, 0). Then (0, −2) is
    residual: row 1 with alignment 2. The way is (4, −6), so the step is 12/52 of it. Of the new ones row 2 is left.
    """
    wolfe = search([[-3, 0], [0, -2], [-1, 0]])
    wolfe.step(only_new=False)
    assert wolfe.residual.tolist() == pytest.approx([0, -2])
    wolfe.step(only_new=False)
    assert wolfe.residual.tolist() == pytest.approx([-48 / 52, -2 + 72 / 52])
    assert wolfe.chosen == [0, 1] and wolfe.scores == pytest.approx([4, 2])
    wolfe.step(only_new=True)
    assert wolfe.chosen == [0, 1, 2] and wolfe.scores[2] == pytest.approx(48 / 52)


def test_each_step_comes_closer_to_the_pool() -> None:
    wolfe = search((-np.random.default_rng(1).exponential(size=(60, 8))).tolist())
    distances = [float(np.linalg.norm(wolfe.residual))]
    for _ in range(200):
        wolfe.step(only_new=False)
        distances.append(float(np.linalg.norm(wolfe.residual)))
    assert (np.diff(distances) <= 1e-9).all()
    assert distances[-1] < 0.01 * distances[0]


def test_two_groups_of_passes_are_both_answered() -> None:
    """Images 0–9 are disputed by one pass, 10–14 by another: the first two choices are one of each."""
    passes = torch.full((15, 4, 2), 0.5)
    passes[:10, 0] = torch.tensor([0.95, 0.05])
    passes[10:, 1] = torch.tensor([0.95, 0.05])
    found = ACQUISITIONS["acs-fw"](view(Predictions(np.arange(15), mc_probabilities=passes)), 2, STREAM)
    assert found.ids[0] < 10 <= found.ids[1]


def test_agreed_images_come_last_and_more_than_passes_can_be_had() -> None:
    pool = view_of(list(range(12)), [])
    passes = pool.unlabelled.get(Need.MC_PROBABILITIES)
    passes[[3, 8]] = passes[[3, 8]].mean(dim=1, keepdim=True).expand(-1, 5, -1)
    found = ACQUISITIONS["acs-fw"](pool, 12, STREAM)
    assert sorted(found.ids.tolist()) == list(range(12))
    assert set(found.ids[-2:].tolist()) == {3, 8}


def test_one_image() -> None:
    pool = view(Predictions(id_array(7), mc_probabilities=torch.tensor([[[0.8, 0.2], [0.3, 0.7]]])))
    assert ACQUISITIONS["acs-fw"](pool, 1, STREAM).ids.tolist() == [7]
