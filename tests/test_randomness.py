"""Streams are functions of the seed and of names; an image's number does not depend on its company."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest

from aral.randomness import Stream

NAMES = st.lists(st.one_of(st.integers(0, 50), st.text(max_size=4)), min_size=1, max_size=3)
IDS = st.lists(st.integers(0, 2**62), min_size=1, max_size=30, unique=True)


def numbers(stream: Stream) -> tuple[float, ...]:
    """Draws of every kind."""
    return (
        *stream.numpy().normal(size=3),
        *torch.rand(3, generator=stream.torch()).tolist(),
        *stream.uniform(np.arange(3, dtype=np.int64)),
    )


@settings(deadline=None)
@given(seed=st.integers(0, 2**32), names=NAMES)
def test_same_names_give_the_same_numbers(seed: int, names: list[str | int]) -> None:
    one, other = Stream.root(seed).child(*names), Stream.root(seed).child(*names)
    first = numbers(one)
    assert numbers(other) == first
    assert numbers(one) == first  # drawing changes nothing: a stream has no state


def test_different_names_give_different_numbers() -> None:
    root = Stream.root(0)
    streams = [
        root,
        Stream.root(1),
        root.child("a"),
        root.child("b"),
        root.child("a", "b"),
        root.child("ab"),
        root.child("a").child("b"),
        root.child("b").child("a"),
        root.child("a", ""),
        root.child(1),
        root.child("1"),
        root.child(11),
        root.child(1, 1),
        *(root.child("step", step) for step in range(100)),
    ]
    assert len({stream.key for stream in streams}) == len(streams)
    for column in zip(*map(numbers, streams), strict=True):
        assert len(set(column)) == len(streams)


def test_keys_are_fixed_for_all_time() -> None:
    """A recorded run is repeated by a later version only if these stay."""
    stream = Stream.root(0).child("round", 3)
    assert stream.key == 10918357545278182274
    assert stream.numpy().random() == 0.410928796878977
    assert stream.uniform(np.array([5], dtype=np.int64))[0] == pytest.approx(0.91910735, abs=1e-8)


def splitmix(key: int, image: int) -> float:
    """The number of one image in Python's integers."""
    mask = 2**64 - 1
    x = (image * 0x9E3779B97F4A7C15 + key) & mask
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 & mask
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB & mask
    x ^= x >> 31
    return (x >> 11) / 2**53


@settings(deadline=None)
@given(ids=IDS, seed=st.integers(0, 100))
def test_uniform_agrees_with_whole_number_arithmetic(ids: list[int], seed: int) -> None:
    stream = Stream.root(seed)
    found = stream.uniform(np.array(ids, dtype=np.int64))
    assert found.tolist() == [splitmix(stream.key, image) for image in ids]
    assert ((found >= 0) & (found < 1)).all()


@settings(deadline=None)
@given(ids=IDS, data=st.data())
def test_uniform_is_independent_of_order_and_company(ids: list[int], data: st.DataObject) -> None:
    stream = Stream.root(3)
    alone = {image: stream.uniform(np.array([image], dtype=np.int64))[0] for image in ids}
    part = data.draw(st.permutations(ids))[: data.draw(st.integers(1, len(ids)))]
    together = stream.uniform(np.array(part, dtype=np.int64))
    assert together.tolist() == [alone[image] for image in part]


@pytest.mark.parametrize("seed", range(3))
def test_uniform_is_uniform_and_unlike_its_neighbours(seed: int) -> None:
    draws = Stream.root(seed).child("draws").uniform(np.arange(20_000, dtype=np.int64))
    assert kstest(draws, "uniform").pvalue > 0.001
    assert abs(np.corrcoef(draws[1:], draws[:-1])[0, 1]) < 0.03
    other = Stream.root(seed).child("others").uniform(np.arange(20_000, dtype=np.int64))
    assert abs(np.corrcoef(draws, other)[0, 1]) < 0.03
    across = np.array(
        [Stream.root(seed).child("step", i).uniform(np.zeros(1, np.int64))[0] for i in range(4000)]
    )
    assert kstest(across, "uniform").pvalue > 0.001


def test_generators_of_neighbouring_streams_are_unlike() -> None:
    for kind in ("numpy", "torch"):
        rows = []
        for step in range(6):
            stream = Stream.root(0).child("step", step)
            draws = stream.numpy().random(4000) if kind == "numpy" else None
            rows.append(draws if draws is not None else torch.rand(4000, generator=stream.torch()).numpy())
        for one, other in itertools.combinations(rows, 2):
            assert abs(np.corrcoef(one, other)[0, 1]) < 0.08


def test_governs_torch_decides_the_draws_and_restores_the_state() -> None:
    torch.manual_seed(123)
    expected = torch.rand(4)
    torch.manual_seed(123)
    stream = Stream.root(0).child("noise")
    with stream.governs_torch():
        inside = torch.rand(5)
    assert torch.rand(4).equal(expected)
    torch.manual_seed(999)
    with stream.governs_torch():
        assert torch.rand(5).equal(inside)
    with stream.child("other").governs_torch():
        assert not torch.rand(5).equal(inside)


def test_governs_torch_restores_the_state_after_an_error() -> None:
    before = torch.random.get_rng_state()
    with pytest.raises(KeyError), Stream.root(0).governs_torch():
        torch.rand(3)
        raise KeyError
    assert torch.random.get_rng_state().equal(before)
