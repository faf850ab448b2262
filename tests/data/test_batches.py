"""Batches: order of the ids, pixels, classes and ranges, as functions of the step."""

from __future__ import annotations

import dataclasses
import threading
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aral.data.batches import (
    Ahead,
    EpochOrder,
    LabelledBatches,
    UnlabelledBatches,
    chunks,
    gather,
    to_symmetric,
    to_unit,
)
from aral.randomness import Stream
from aral.types import ImageSet, LabelledSet, UnlabelledBatch

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


COUNT = 40
STREAM = Stream.root(0).child("batches")


def planted() -> ImageSet:
    """Image i holds the value 5·i in every pixel."""
    values = 5 * torch.arange(COUNT, dtype=torch.uint8)
    return ImageSet.of(values[:, None, None, None].expand(COUNT, 2, 3, 4).contiguous())


def class_of(ids: np.ndarray) -> np.ndarray:
    return (ids * 7) % 5


def labelled(*ids: int) -> LabelledSet:
    images = planted().subset(np.array(ids, dtype=np.int64))
    return LabelledSet(images, class_of(images.ids), 5)


def read_ids(images: torch.Tensor, symmetric: bool) -> list[int]:
    """The ids that the pixels encode."""
    unit = (images.double() + 1) / 2 if symmetric else images.double()
    assert images.flatten(1).std(dim=1).max() < 1e-6
    return (unit.flatten(1).mean(dim=1) * 255 / 5).round().int().tolist()


def test_ranges_are_exact() -> None:
    pixels = torch.tensor([0, 51, 255], dtype=torch.uint8)[:, None, None, None]
    unit, symmetric = to_unit(pixels), to_symmetric(pixels)
    assert unit.dtype == symmetric.dtype == torch.float32
    assert unit.flatten().tolist() == [0.0, pytest.approx(0.2), 1.0]
    assert symmetric.flatten().tolist() == [-1.0, pytest.approx(-0.6), 1.0]
    assert pixels.flatten().tolist() == [0, 51, 255]


@pytest.mark.parametrize("symmetric", [False, True])
def test_gather_keeps_order_and_repetitions(symmetric: bool) -> None:
    ids = np.array([30, 2, 30, 17], dtype=np.int64)
    images = gather(planted(), ids, symmetric)
    assert images.shape == (4, 2, 3, 4)
    assert read_ids(images, symmetric) == [30, 2, 30, 17]
    assert (images.min() < 0) == symmetric


@pytest.mark.parametrize("size", [1, 4, 7, 100])
def test_chunks_cover_a_subset_in_order_of_id(size: int) -> None:
    part = planted().subset(np.array([31, 4, 9, 26, 15, 11, 38], dtype=np.int64))
    pieces = list(chunks(part, size, symmetric=False))
    assert [len(ids) for ids, _ in pieces][:-1] == [size] * (len(pieces) - 1)
    assert np.concatenate([ids for ids, _ in pieces]).tolist() == [4, 9, 11, 15, 26, 31, 38]
    for ids, images in pieces:
        assert read_ids(images, symmetric=False) == ids.tolist()


@settings(deadline=None)
@given(
    ids=st.sets(st.integers(0, COUNT - 1), min_size=1),
    size=st.integers(1, 12),
    step=st.integers(0, 50),
    symmetric=st.booleans(),
)
def test_labelled_ids_match_pixels_and_classes(ids: set[int], size: int, step: int, symmetric: bool) -> None:
    batch = LabelledBatches(labelled(*ids), size, symmetric, STREAM)(step)
    assert batch.images.shape[0] == batch.class_probs.shape[0] == size
    assert set(batch.ids.tolist()) <= ids
    assert read_ids(batch.images, symmetric) == batch.ids.tolist()
    assert batch.class_probs.shape == (size, 5)
    assert batch.class_probs.sum(dim=1).tolist() == [1.0] * size
    assert batch.class_probs.argmax(dim=1).tolist() == class_of(batch.ids).tolist()


@settings(deadline=None)
@given(
    ids=st.sets(st.integers(0, COUNT - 1), min_size=1),
    size=st.integers(1, 12),
    step=st.integers(0, 50),
    symmetric=st.booleans(),
)
def test_unlabelled_ids_match_pixels(ids: set[int], size: int, step: int, symmetric: bool) -> None:
    images = planted().subset(np.array(list(ids), dtype=np.int64))
    batch = UnlabelledBatches(images, size, symmetric, STREAM)(step)
    assert len(batch.ids) == size and set(batch.ids.tolist()) <= ids
    assert read_ids(batch.images, symmetric) == batch.ids.tolist()


def test_a_small_labelled_set_is_repeated_equally_often() -> None:
    batches = LabelledBatches(labelled(3, 8, 20, 33), 12, False, STREAM)
    for step in range(5):
        assert Counter(batches(step).ids.tolist()) == {3: 3, 8: 3, 20: 3, 33: 3}
    uneven = LabelledBatches(labelled(3, 8, 20), 10, False, STREAM)
    assert Counter(int(image) for step in range(6) for image in uneven(step).ids) == {3: 20, 8: 20, 20: 20}


def test_one_epoch_visits_every_unlabelled_image_once() -> None:
    batches = UnlabelledBatches(planted(), 8, False, STREAM)
    assert sorted(int(image) for step in range(5) for image in batches(step).ids) == list(range(COUNT))


def test_a_step_is_a_function_of_its_number() -> None:
    """A resumed run sees the batches that the killed one would have seen."""
    first = LabelledBatches(labelled(*range(15)), 6, True, STREAM)
    steps = [first(step).ids.tolist() for step in range(6)]
    fresh = LabelledBatches(labelled(*range(15)), 6, True, STREAM)
    assert fresh(4).ids.tolist() == steps[4]
    assert fresh(1).ids.tolist() == steps[1]
    assert len({tuple(step) for step in steps}) == 6


def test_no_label_travels_with_an_unlabelled_batch() -> None:
    batch = UnlabelledBatches(planted(), 8, False, STREAM)(0)
    assert type(batch) is UnlabelledBatch
    assert {field.name for field in dataclasses.fields(batch)} == {"ids", "images"}
    assert set(vars(batch)) == {"ids", "images"}


def test_batches_ahead_are_the_same_and_the_next_one_is_begun_early() -> None:
    images = ImageSet.of(torch.arange(40, dtype=torch.uint8).reshape(10, 1, 2, 2))
    plain = UnlabelledBatches(images, 3, False, Stream.root(0))
    made: list[int] = []
    begun = threading.Event()

    def noted(step: int) -> UnlabelledBatch:
        made.append(step)
        if step == 1:
            begun.set()
        return plain(step)

    ahead = Ahead(noted, torch.device("cpu"))
    for step in (0, 1, 2, 7, 8):  # 7: a run that was resumed
        found, expected = ahead(step), plain(step)
        assert found.ids.tolist() == expected.ids.tolist() and torch.equal(found.images, expected.images)
        if step == 0:
            assert begun.wait(5), "the batch of the next step is made without being asked for"
    assert made[:8] == [0, 1, 2, 3, 7, 8, 9][: len(made[:8])]


def test_an_error_of_a_batch_ahead_arrives_at_its_step() -> None:
    def broken(step: int) -> UnlabelledBatch:
        raise MemoryError(f"step {step}")

    with pytest.raises(MemoryError, match="step 4"):
        Ahead(broken, torch.device("cpu"))(4)
