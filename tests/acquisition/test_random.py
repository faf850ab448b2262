"""Random queries are uniform over images, and a function of stream and id."""

from __future__ import annotations

from collections import Counter

import numpy as np

from aral.acquisition import Predictions
from aral.acquisition.random import RANDOM, random_scores
from aral.randomness import Stream

from .pools import id_array, view


def test_each_image_is_drawn_equally_often() -> None:
    pool = view(Predictions(id_array(2, 3, 5, 7, 11, 13)))
    counts = Counter(
        int(image) for seed in range(600) for image in RANDOM(pool, 2, Stream.root(0).child(seed)).ids
    )
    assert set(counts) == {2, 3, 5, 7, 11, 13}
    assert all(145 < count < 255 for count in counts.values())  # 200 ± 4.7 standard deviations


def test_reads_nothing_of_the_learner() -> None:
    assert RANDOM.needs == frozenset()


def test_a_number_belongs_to_the_image() -> None:
    stream = Stream.root(4)
    whole = random_scores(view(Predictions(id_array(8, 1, 6, 3))), stream)
    part = random_scores(view(Predictions(id_array(3, 8))), stream)
    assert part.tolist() == [whole[3], whole[0]]
    assert np.unique(whole).size == 4


def test_streams_choose_differently() -> None:
    pool = view(Predictions(np.arange(1000, dtype=np.int64)))
    one, other = (set(RANDOM(pool, 20, Stream.root(seed)).ids.tolist()) for seed in (0, 1))
    assert len(one & other) < 5
