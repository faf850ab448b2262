"""Every epoch visits every id once, and a position is all that a place in the order needs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aral.data.batches import EpochOrder
from aral.randomness import Stream

IDS = st.lists(st.integers(0, 10_000), min_size=1, max_size=25, unique=True)


def order(ids: list[int], seed: int = 0) -> EpochOrder:
    return EpochOrder(np.array(ids, dtype=np.int64), Stream.root(seed))


@settings(deadline=None)
@given(ids=IDS, batch=st.integers(1, 40))
def test_each_epoch_visits_each_id_once_whatever_the_batch(ids: list[int], batch: int) -> None:
    visits = order(ids)
    batches = [visits.take(step * batch, batch) for step in range(-(-3 * len(ids) // batch))]
    assert all(len(one) == batch for one in batches)
    sequence = np.concatenate(batches)
    for epoch in range(3):
        assert sorted(sequence[epoch * len(ids) : (epoch + 1) * len(ids)].tolist()) == sorted(ids)


@settings(deadline=None)
@given(ids=IDS, start=st.integers(0, 80), count=st.integers(1, 60), data=st.data())
def test_take_is_a_slice_of_one_sequence(ids: list[int], start: int, count: int, data: st.DataObject) -> None:
    """Whatever was taken before, and however the ids were listed."""
    sequence = order(ids).take(0, 140)
    again = order(data.draw(st.permutations(ids)))
    again.take(data.draw(st.integers(0, 200)), 5)
    assert again.take(start, count).tolist() == sequence[start : start + count].tolist()


def test_epochs_and_seeds_differ() -> None:
    ids = list(range(50))
    epochs = [tuple(order(ids, seed).take(50 * epoch, 50)) for seed in range(3) for epoch in range(3)]
    assert len(set(epochs)) == 9
    assert tuple(ids) not in epochs


def test_all_permutations_of_three_occur_about_equally_often() -> None:
    visits = order([4, 8, 15])
    counts: dict[tuple[int, ...], int] = {}
    for epoch in range(1200):
        key = tuple(visits.take(3 * epoch, 3).tolist())
        counts[key] = counts.get(key, 0) + 1
    assert len(counts) == 6
    assert all(140 < count < 260 for count in counts.values())  # 200 ± 4.6 standard deviations


def test_common_ids_keep_their_relative_order_when_one_is_removed() -> None:
    """A permutation is decided id by id, so company changes nothing."""
    whole, part = order(list(range(20))).take(0, 20), order([i for i in range(20) if i != 7]).take(0, 19)
    assert [image for image in whole.tolist() if image != 7] == part.tolist()


def test_an_order_needs_an_id() -> None:
    with pytest.raises(ValueError, match="at least one id"):
        order([])
