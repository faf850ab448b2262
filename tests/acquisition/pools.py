"""Planted pools: every output is a function of the image's id, so that any listing shows the same pool."""

from __future__ import annotations

import numpy as np
import torch

from aral.acquisition import PoolView, Predictions
from aral.randomness import Stream

CLASSES = 4
GROUPS = 5


def id_array(*ids: int) -> np.ndarray:
    return np.array(ids, dtype=np.int64)


def draws(ids: np.ndarray, size: int, name: str) -> np.ndarray:
    """N×size numbers in [0, 1), each a function of the id and the column."""
    stream = Stream.root(7).child(name)
    return np.stack([stream.child(column).uniform(ids) for column in range(size)], axis=1)


def predictions(ids: np.ndarray) -> Predictions:
    """All outputs of the images with these ids, with some exact zeros among the probabilities."""
    passes = draws(ids, 5 * CLASSES, "passes").reshape(-1, 5, CLASSES).round(1) ** 3 + 0.0
    passes[..., 0] += 1e-3
    passes /= passes.sum(axis=2, keepdims=True)
    spread = draws(ids, CLASSES, "spread").round(1) ** 3 + 1e-3
    groups = draws(ids, GROUPS, "groups").round(1) + 1e-3
    return Predictions(
        ids,
        probabilities=torch.from_numpy(passes.mean(axis=1)).float(),
        mc_probabilities=torch.from_numpy(passes).float(),
        features=torch.from_numpy(draws(ids, 3, "features")).float(),
        latents=torch.from_numpy(draws(ids, 6, "latents") - 0.5).float(),
        sampler_logits=torch.from_numpy(4 * draws(ids, 1, "sampler")[:, 0].round(1) - 2).float(),
        spread=torch.from_numpy(spread / spread.sum(axis=1, keepdims=True)).float(),
        groups=torch.from_numpy(groups / groups.sum(axis=1, keepdims=True)).float(),
    )


def view(unlabelled: Predictions, labelled: Predictions | None = None) -> PoolView:
    known = Predictions(id_array()) if labelled is None else labelled
    return PoolView(unlabelled, known, known.ids % CLASSES, CLASSES)


def view_of(unlabelled: list[int], labelled: list[int]) -> PoolView:
    """A pool as listed."""
    known = predictions(id_array(*labelled)) if labelled else None
    return view(predictions(id_array(*unlabelled)), known)
