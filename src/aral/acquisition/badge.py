"""BADGE: uncertain and diverse by the gradient of the last layer (Ash, Zhang, Krishnamurthy et al. 2020).

If the classifier's own best guess were the label, the loss would pull at the last layer's weights with

    g = (p − onehot(argmax p)) ⊗ f = a ⊗ f,   K×F.

The batch is drawn by k-means++ (Arthur & Vassilvitskii 2007) on the g: the first image has the longest g
(as in the authors' code), each next one is drawn with a chance proportional to D² = min over chosen c of
‖g − g_c‖². The g are never formed: ⟨a ⊗ f, a' ⊗ f'⟩ = ⟨a, a'⟩·⟨f, f'⟩. Labelled images play no part, as
in the paper.

Probabilities are N×K and features N×F; a score is D (for the first image ‖g‖) when chosen. It is what
made the draw likely, not an order: scores need not descend. Cost n·N·(K + F), memory N·(K + F).
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64

from aral.acquisition.distances import Features, features_of
from aral.acquisition.interface import Need, PoolView
from aral.acquisition.joint import Choice, JointBatch, first_of_best
from aral.randomness import Stream

Residuals = Float64[np.ndarray, "N K"]

ROUNDING = 1e-12
"""D² below this share of the largest ‖g‖² is a rounding error of zero."""


def residuals(probabilities: Float64[np.ndarray, "N K"]) -> Residuals:
    """a = p − onehot(argmax p), rows summing to zero; the lowest class number wins a tie."""
    result = probabilities.copy()
    result[np.arange(len(result)), probabilities.argmax(axis=1)] -= 1
    return result


def squared_gradient_norms(a: Residuals, f: Features) -> Float64[np.ndarray, " N"]:
    """‖a ⊗ f‖² = ‖a‖²·‖f‖², N."""
    return np.einsum("nk,nk->n", a, a) * np.einsum("nf,nf->n", f, f)


def squared_gradient_distances(a: Residuals, f: Features, row: int) -> Float64[np.ndarray, " N"]:
    """‖g_i − g_row‖² of every image i, N."""
    norms = squared_gradient_norms(a, f)
    distances = norms + norms[row] - 2 * (a @ a[row]) * (f @ f[row])
    return np.where(distances > ROUNDING * norms.max(), distances, 0.0)


def choose(pool: PoolView, n: int, stream: Stream) -> Choice:
    """n rows, drawn by k-means++."""
    a = residuals(pool.unlabelled.get(Need.PROBABILITIES).detach().double().numpy())
    f = features_of(pool.unlabelled)
    ids = pool.unlabelled.ids
    nearest = squared_gradient_norms(a, f)
    rows = [first_of_best(nearest, stream.child("ties").uniform(ids))]
    scores = [float(np.sqrt(nearest[rows[0]]))]
    nearest = np.full(len(a), np.inf)
    for step in range(1, n):
        nearest = np.minimum(nearest, squared_gradient_distances(a, f, rows[-1]))
        row = _draw(nearest, rows, stream.child("draw", step).uniform(ids))
        rows.append(row)
        scores.append(float(np.sqrt(nearest[row])))
    return Choice.of(rows, scores, "gradient {:.3g} away from the batch's".format)


def _draw(weights: Float64[np.ndarray, " N"], taken: list[int], uniform: Float64[np.ndarray, " N"]) -> int:
    """A row with a chance proportional to its weight: the first to ring of exponential clocks of those rates.

    When all weights left are zero (copies of chosen images), every row left has the same chance.
    """
    free = np.ones(len(weights), dtype=bool)
    free[taken] = False
    rates = weights if (weights[free] > 0).any() else np.ones(len(weights))
    ring = np.full(len(weights), np.inf)
    runs = free & (rates > 0)
    ring[runs] = -np.log1p(-uniform[runs]) / rates[runs]
    return int(np.flatnonzero(runs)[ring[runs].argmin()])


BADGE = JointBatch("badge", frozenset({Need.PROBABILITIES, Need.FEATURES}), choose)
