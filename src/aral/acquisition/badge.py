"""BADGE: uncertain and diverse by the gradient of the last layer (Ash, Zhang, Krishnamurthy et al. 2020).

The gradient of the loss in the last layer's weights, if the most probable class were the label:

    g = (p − onehot(argmax p)) ⊗ f = a ⊗ f,   K×F.

The batch is drawn by k-means++ (Arthur & Vassilvitskii 2007) on the g: the first image has the longest g
(as in the authors' code), each next one is drawn with probability proportional to D² = min over chosen c of
‖g − g_c‖². The g are never computed: ⟨a ⊗ f, a' ⊗ f'⟩ = ⟨a, a'⟩·⟨f, f'⟩. As in the paper, the labelled images
are not used.

Probabilities are N×K and features N×F. A score is D (for the first image ‖g‖) when chosen, higher = label first;
images are drawn, so scores need not descend along the batch. Cost n·N·(K + F), memory N·(K + F).
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64

from aral.acquisition.geometry import Features, features_of
from aral.acquisition.interface import Choice, JointBatch, Need, PoolView, argmax_with_ties
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
    rows = [argmax_with_ties(nearest, stream.child("ties").uniform(ids))]
    scores = [float(np.sqrt(nearest[rows[0]]))]
    nearest = np.full(len(a), np.inf)
    for step in range(1, n):
        nearest = np.minimum(nearest, squared_gradient_distances(a, f, rows[-1]))
        row = _draw(nearest, rows, stream.child("draw", step).uniform(ids))
        rows.append(row)
        scores.append(float(np.sqrt(nearest[row])))
    return Choice.of(rows, scores, "distance of its gradient to those of the batch {:.3g}".format)


def _draw(weights: Float64[np.ndarray, " N"], taken: list[int], uniform: Float64[np.ndarray, " N"]) -> int:
    """A row with a probability proportional to its weight: the smallest of exponential variates with those rates.

    When all remaining weights are zero (duplicates of chosen images), the remaining rows are equally probable.
    """
    free = np.ones(len(weights), dtype=bool)
    free[taken] = False
    rates = weights if (weights[free] > 0).any() else np.ones(len(weights))
    positive = free & (rates > 0)
    times = -np.log1p(-uniform[positive]) / rates[positive]
    return int(np.flatnonzero(positive)[times.argmin()])


BADGE = JointBatch("badge", frozenset({Need.PROBABILITIES, Need.FEATURES}), choose)
