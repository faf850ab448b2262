"""BADGE: uncertain and diverse by the gradient of the last layer (Ash, Zhang, Krishnamurthy et al. 2020).

The gradient of the loss in the last layer's weights, if the most probable class were the label:

    g = (p − onehot(argmax p)) ⊗ f = a ⊗ f,   K×F.

The batch is drawn by k-means++ (Arthur & Vassilvitskii 2007) on the g: the first image has the longest g
(as in the authors' code), each next one is drawn with probability proportional to D² = min over chosen c of
‖g − g_c‖². The g are never computed: ⟨a ⊗ f, a' ⊗ f'⟩ = ⟨a, a'⟩·⟨f, f'⟩. As in the paper, the labelled images
are not used.

Probabilities are N×K and features N×F. A score is D (for the first image ‖g‖) when chosen, higher = label first;
images are drawn, so scores need not descend along the batch. Cost N·(K + F) and n draws for N images; D² of an image
is computed again only when it may be drawn, which changes no draw. Memory N·K and one block of features.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64, Int64

from aral.acquisition.geometry import Features, row_blocks, vectors_of
from aral.acquisition.interface import Choice, JointBatch, Need, PoolView, argmax_with_ties
from aral.randomness import Stream

Residuals = Float64[np.ndarray, "N K"]

_MOST_REFRESHED = 4096

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
    ids = pool.unlabelled.ids
    gradients = _Gradients(pool)
    rows = [argmax_with_ties(gradients.squared_norms, stream.child("ties").uniform(ids))]
    scores = [float(np.sqrt(gradients.squared_norms[rows[0]]))]
    for step in range(1, n):
        gradients.add(rows[-1])
        row = _draw(gradients, stream.child("draw", step).uniform(ids))
        rows.append(row)
        scores.append(float(np.sqrt(gradients.nearest[row])))
    return Choice.of(rows, scores, "distance of its gradient to those of the batch {:.3g}".format)


class _Gradients:
    """The gradients of a pool, and D² of those rows for which it was asked.

    Attributes:
        squared_norms: ‖g‖², N.
        nearest: D² to the chosen rows, N; where chosen rows were added since, an upper limit of it; 0 of chosen rows.
    """

    def __init__(self, pool: PoolView) -> None:
        self._features = vectors_of(pool.unlabelled, Need.FEATURES)
        self._residuals = residuals(pool.unlabelled.get(Need.PROBABILITIES).detach().double().numpy())
        count, width = self._features.shape
        self.squared_norms = np.empty(count)
        for block in row_blocks(count, width):
            self.squared_norms[block] = squared_gradient_norms(self._residuals[block], self._features[block])
        self._rounding = ROUNDING * self.squared_norms.max()
        self.nearest = np.full(count, np.inf)
        self._chosen: list[int] = []
        self._seen = np.zeros(count, dtype=np.int64)

    def add(self, row: int) -> None:
        """Choose a row; the first one is compared with all others."""
        self._chosen.append(row)
        if len(self._chosen) == 1:
            for block in row_blocks(*self._features.shape):
                self.refresh(np.arange(len(self._seen))[block])
        self.nearest[row] = 0.0

    def is_current(self, row: int) -> bool:
        """Whether D² of the row takes all chosen rows into account."""
        return bool(self._seen[row] == len(self._chosen))

    def refresh(self, rows: Int64[np.ndarray, " m"]) -> None:
        """Take all chosen rows into account for some rows."""
        since = int(self._seen[rows].min())
        chosen = np.array(self._chosen[since:], dtype=np.int64)
        a, f = self._residuals[rows], self._features[rows]
        products = (a @ self._residuals[chosen].T) * (f @ self._features[chosen].T)
        distances = self.squared_norms[rows, None] + self.squared_norms[chosen] - 2 * products
        distances[distances <= self._rounding] = 0.0
        self.nearest[rows] = np.minimum(self.nearest[rows], distances.min(axis=1))
        self._seen[rows] = len(self._chosen)

    def free(self) -> Int64[np.ndarray, " m"]:
        """The rows that are not chosen."""
        is_free = np.ones(len(self._seen), dtype=bool)
        is_free[self._chosen] = False
        return np.flatnonzero(is_free)


def _draw(gradients: _Gradients, uniform: Float64[np.ndarray, " N"]) -> int:
    """A row with a probability proportional to its D²: the smallest of exponential variates with those rates.

    D² only falls, so a time that was computed with an earlier D² is too early, and only the rows with the earliest
    times are compared with the rows chosen since. When all remaining D² are zero (duplicates of chosen images), the
    remaining rows are equally probable.
    """
    exponential = -np.log1p(-uniform)
    with np.errstate(divide="ignore"):
        times = np.where(gradients.nearest > 0, exponential / gradients.nearest, np.inf)
    while True:
        row = int(times.argmin())
        if times[row] == np.inf:
            free = gradients.free()
            return int(free[exponential[free].argmin()])
        if gradients.is_current(row):
            return row
        early = np.flatnonzero(times <= 4 * times[row])[:_MOST_REFRESHED]
        gradients.refresh(early)
        with np.errstate(divide="ignore"):
            nearest = gradients.nearest[early]
            times[early] = np.where(nearest > 0, exponential[early] / nearest, np.inf)


BADGE = JointBatch("badge", frozenset({Need.PROBABILITIES, Need.FEATURES}), choose)
