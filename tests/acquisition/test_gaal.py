"""The pool images that stand for synthesised ones, on a line of features."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from aral.acquisition import ACQUISITIONS, PoolView, Predictions
from aral.acquisition.gaal import GAAL
from aral.errors import BadInput
from aral.randomness import Stream

STREAM = Stream.root(0)


def line(ids: list[int], places: list[float], synthesised: list[float]) -> PoolView:
    array = np.array(ids, dtype=np.int64)
    made = torch.tensor(synthesised)[:, None]
    nothing = np.empty(0, dtype=np.int64)
    pool = Predictions(array, features=torch.tensor(places)[:, None], synthesised=made)
    return PoolView(pool, Predictions(nothing), nothing, 2)


def test_each_synthesised_image_takes_its_nearest_free_candidate() -> None:
    """4.9 (most uncertain) takes 5; 5.2 must then take 6; 0.3 takes 0. Listed by nearness."""
    pool = line([10, 11, 12, 13], [0.0, 5.0, 6.0, 9.0], [4.9, 5.2, 0.3])
    chosen = GAAL(pool, 3, STREAM)
    assert chosen.ids.tolist() == [11, 10, 12]
    assert chosen.scores == pytest.approx([-0.1, -0.3, -0.8], abs=1e-5)
    assert all(chosen.reasons)


def test_few_queries_serve_the_most_uncertain_first() -> None:
    pool = line([10, 11, 12, 13], [0.0, 5.0, 6.0, 9.0], [9.4, 0.0])
    assert GAAL(pool, 1, STREAM).ids.tolist() == [13]


def test_synthesised_images_take_turns() -> None:
    pool = line([3, 4, 5, 6, 7], [0.0, 1.0, 2.0, 9.0, 10.0], [0.0, 10.0])
    assert set(GAAL(pool, 4, STREAM).ids.tolist()) == {3, 4, 6, 7}
    assert sorted(GAAL(pool, 5, STREAM).ids.tolist()) == [3, 4, 5, 6, 7]
    with pytest.raises(BadInput):
        GAAL(pool, 6, STREAM)


def test_the_listing_does_not_matter_even_among_equals() -> None:
    ids, places = [3, 8, 1, 6, 2], [1.0, 1.0, 1.0, 1.0, 4.0]
    one = GAAL(line(ids, places, [1.0, 4.0]), 3, STREAM)
    order = [2, 4, 0, 3, 1]
    other = GAAL(line([ids[i] for i in order], [places[i] for i in order], [1.0, 4.0]), 3, STREAM)
    assert one.ids.tolist() == other.ids.tolist()
    firsts = {int(GAAL(line(ids, places, [1.0]), 1, Stream.root(seed)).ids[0]) for seed in range(30)}
    assert firsts == {3, 8, 1, 6}


def test_without_synthesised_images_it_says_so() -> None:
    array = np.arange(3, dtype=np.int64)
    pool = Predictions(array, features=torch.zeros(3, 1))
    with pytest.raises(ValueError, match="synthesised was not computed"):
        GAAL(PoolView(pool, Predictions(array[:0]), array[:0], 2), 2, STREAM)
    assert ACQUISITIONS["gaal"] is GAAL
