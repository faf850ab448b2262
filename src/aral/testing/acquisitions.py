"""What holds for every acquisition, on planted pools: for tests of strategies of your own."""

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
GROUPS = 5
FEATURES = 3
_STREAM = Stream.root(7)


def planted_predictions(ids: Ids) -> Predictions:
    """All outputs of the images with these ids, each a function of its id; some probabilities are exact zeros."""
    passes = _draws(ids, 5 * CLASSES, "passes").reshape(-1, 5, CLASSES).round(1) ** 3 + 0.0
    passes[..., 0] += 1e-3
    passes /= passes.sum(axis=2, keepdims=True)
    spread = _draws(ids, CLASSES, "spread").round(1) ** 3 + 1e-3
    groups = _draws(ids, GROUPS, "groups").round(1) + 1e-3
    made = np.arange(3, dtype=np.int64)
    return Predictions(
        ids,
        probabilities=torch.from_numpy(passes.mean(axis=1)).float(),
        mc_probabilities=torch.from_numpy(passes).float(),
        features=torch.from_numpy(_draws(ids, FEATURES, "features")).float(),
        latents=torch.from_numpy(_draws(ids, 6, "latents") - 0.5).float(),
        sampler_logits=torch.from_numpy(4 * _draws(ids, 1, "sampler")[:, 0].round(1) - 2).float(),
        synthesised=torch.from_numpy(_draws(made, FEATURES, "synthesised")).float(),
        propagated=torch.from_numpy(spread / spread.sum(axis=1, keepdims=True)).float(),
        representation=torch.from_numpy(_draws(ids, FEATURES, "places")).float(),
        clusters=torch.from_numpy(groups / groups.sum(axis=1, keepdims=True)).float(),
    )


def planted_view(unlabelled: Sequence[int], labelled: Sequence[int] = ()) -> PoolView:
    """A pool of images with these ids, in the order in which they are listed; an image's class is its id mod 4."""
    candidates, known = (np.array(ids, dtype=np.int64) for ids in (unlabelled, labelled))
    nothing = Predictions(known)
    return PoolView(
        planted_predictions(candidates),
        planted_predictions(known) if known.size else nothing,
        known % CLASSES,
        CLASSES,
    )


def check_acquisition(acquisition: Acquisition) -> None:
    """Check the contract: n different images of the pool, the same for any listing, from the declared needs alone.

    Raises:
        AssertionError: says what does not hold.
    """
    for labelled in ((), (1000, 1001, 1002)):
        _check_query(acquisition, tuple(range(3, 43, 2)), labelled)
    _check_needs(acquisition)
    small = planted_view([3, 1, 4, 15])
    assert sorted(acquisition(small, 4, _STREAM).ids.tolist()) == [1, 3, 4, 15], (
        "a whole pool can be asked for"
    )
    for n in (5, 0):
        said = f"a query for {n} of 4 images is refused with BadInput: call check_query_size"
        try:
            acquisition(small, n, _STREAM)
        except BadInput:
            continue
        except Exception as error:
            raise AssertionError(said) from error
        raise AssertionError(said)


def _check_query(acquisition: Acquisition, ids: tuple[int, ...], labelled: tuple[int, ...]) -> None:
    chosen = acquisition(planted_view(ids, labelled), 6, _STREAM)
    again = acquisition(planted_view(ids, labelled), 6, _STREAM)
    other = acquisition(planted_view(ids[::-1], labelled[::-1]), 6, _STREAM)
    assert len(set(chosen.ids.tolist())) == 6, "n different images are chosen"
    assert set(chosen.ids.tolist()) <= set(ids), "they are of the unlabelled pool"
    assert np.isfinite(chosen.scores).all(), "scores are finite"
    assert chosen.acquisition == acquisition.name, "the selection names its strategy"
    assert all(chosen.reasons), "each image has a reason"
    assert chosen.ids.tolist() == again.ids.tolist(), "the same stream asks the same"
    assert chosen.ids.tolist() == other.ids.tolist(), "the order in which a pool is listed does not matter"


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
