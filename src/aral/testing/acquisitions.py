"""The contract of all acquisitions, checked on small artificial pools: for tests of user-defined acquisitions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float64

from aral.acquisition import Acquisition, PoolView, Predictions
from aral.errors import BadInput
from aral.randomness import Stream
from aral.types import Ids

CLASSES = 4
CLUSTERS = 5
FEATURES = 3
_STREAM = Stream.root(7)


def planted_predictions(ids: Ids) -> Predictions:
    """All outputs of the images with these ids, each a function of the id; some probabilities are zero."""
    passes = _draws(ids, 5 * CLASSES, "passes").reshape(-1, 5, CLASSES).round(1) ** 3 + 0.0
    passes[..., 0] += 1e-3
    passes /= passes.sum(axis=2, keepdims=True)
    propagated = _draws(ids, CLASSES, "spread").round(1) ** 3 + 1e-3
    clusters = _draws(ids, CLUSTERS, "groups").round(1) + 1e-3
    synthesised = np.arange(3, dtype=np.int64)
    return Predictions(
        ids,
        probabilities=torch.from_numpy(passes.mean(axis=1)).float(),
        mc_probabilities=torch.from_numpy(passes).float(),
        features=torch.from_numpy(_draws(ids, FEATURES, "features")).float(),
        latents=torch.from_numpy(_draws(ids, 6, "latents") - 0.5).float(),
        sampler_logits=torch.from_numpy(4 * _draws(ids, 1, "sampler")[:, 0].round(1) - 2).float(),
        synthesised=torch.from_numpy(_draws(synthesised, FEATURES, "synthesised")).float(),
        propagated=torch.from_numpy(propagated / propagated.sum(axis=1, keepdims=True)).float(),
        representation=torch.from_numpy(_draws(ids, FEATURES, "places")).float(),
        mixing_changes=torch.from_numpy((CLASSES * _draws(ids, 5, "mixed")).astype(np.int64)),
        dropped_classes=torch.from_numpy((CLASSES * _draws(ids, 3, "dropped")).astype(np.int64)),
        clusters=torch.from_numpy(clusters / clusters.sum(axis=1, keepdims=True)).float(),
    )


def planted_view(unlabelled: Sequence[int], labelled: Sequence[int] = ()) -> PoolView:
    """A pool of images with these ids, in this order; the class of an image is its id mod 4."""
    candidates, known = (np.array(ids, dtype=np.int64) for ids in (unlabelled, labelled))
    nothing = Predictions(known)
    return PoolView(
        planted_predictions(candidates),
        planted_predictions(known) if known.size else nothing,
        known % CLASSES,
        CLASSES,
    )


def check_acquisition(acquisition: Acquisition) -> None:
    """Check the contract: n different images of the pool, whatever its order, from the declared needs only.

    Raises:
        AssertionError: names the rule that is broken.
    """
    for labelled in ((), (1000, 1001, 1002)):
        _check_query(acquisition, tuple(range(3, 43, 2)), labelled)
    _check_needs(acquisition)
    small = planted_view([3, 1, 4, 15])
    assert sorted(acquisition(small, 4, _STREAM).ids.tolist()) == [1, 3, 4, 15], (
        "a query can be as large as the pool"
    )
    for n in (5, 0):
        rule = f"a query for {n} of 4 images is refused with BadInput: call check_query_size"
        try:
            acquisition(small, n, _STREAM)
        except BadInput:
            continue
        except Exception as error:
            raise AssertionError(rule) from error
        raise AssertionError(rule)


def _check_query(acquisition: Acquisition, ids: tuple[int, ...], labelled: tuple[int, ...]) -> None:
    chosen = acquisition(planted_view(ids, labelled), 6, _STREAM)
    again = acquisition(planted_view(ids, labelled), 6, _STREAM)
    other = acquisition(planted_view(ids[::-1], labelled[::-1]), 6, _STREAM)
    assert len(set(chosen.ids.tolist())) == 6, "n different images are chosen"
    assert set(chosen.ids.tolist()) <= set(ids), "they are of the unlabelled pool"
    assert np.isfinite(chosen.scores).all(), "scores are finite"
    assert chosen.acquisition == acquisition.name, "the selection has the name of its acquisition"
    assert all(chosen.reasons), "each image has a reason"
    assert chosen.ids.tolist() == again.ids.tolist(), "the same stream selects the same images"
    assert chosen.ids.tolist() == other.ids.tolist(), "the order in which the pool is listed does not matter"


def _check_needs(acquisition: Acquisition) -> None:
    full = planted_predictions(np.arange(8, dtype=np.int64))
    only = Predictions(full.ids, {need: full.get(need) for need in acquisition.needs})
    nothing = np.empty(0, dtype=np.int64)
    view = PoolView(only, Predictions(nothing), nothing, CLASSES)
    assert len(acquisition(view, 3, _STREAM)) == 3, "declared needs are enough"


def _draws(ids: Ids, size: int, name: str) -> Float64[np.ndarray, "N {size}"]:
    """N×size numbers in [0, 1), each a function of the id and the column."""
    stream = _STREAM.child(name)
    return np.stack([stream.child(column).uniform(ids) for column in range(size)], axis=1)
