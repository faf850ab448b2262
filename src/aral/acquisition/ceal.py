"""Pseudo-labels for the images the classifier is surest of (CEAL; Wang, Zhang, Li, Zhang & Lin 2017).

CEAL asks people about the least certain images (``least-confidence``, ``margin`` or ``entropy``) and lets the
classifier label the most certain ones itself, for the next training only: they cost nothing, count for
nothing in the budget, stay in the pool and are found anew each round.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Int64

from aral.acquisition.interface import Need, PoolView
from aral.acquisition.uncertainty import entropy
from aral.errors import BadInput
from aral.types import Ids


def confident_pseudo_labels(pool: PoolView, threshold: float) -> tuple[Ids, Int64[np.ndarray, " N"]]:
    """The unlabelled images whose prediction has an entropy below ``threshold``, and their likeliest class.

    Args:
        pool: with one-pass probabilities, N×K.
        threshold: nats; CEAL starts at 0.05 and lowers it each round. Entropy is at most log K.

    Returns:
        ids in ascending order, and a class index 0..K−1 for each; both empty when no image is sure enough.

    Raises:
        BadInput: the threshold is not positive, so that no image could pass.
    """
    if not threshold > 0:
        raise BadInput(
            f"The entropy threshold of pseudo-labels is {threshold}, but no entropy lies below zero.",
            "Set it between 0 and the logarithm of the number of classes, such as 0.05.",
        )
    order = np.argsort(pool.unlabelled.ids)
    probabilities = pool.unlabelled.get(Need.PROBABILITIES).detach().double()
    confident = order[(entropy(probabilities) < threshold).numpy()[order]]
    return pool.unlabelled.ids[confident], probabilities.argmax(dim=1).numpy()[confident]
