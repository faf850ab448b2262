"""Queries of shards: the exact ones equal those of the whole pool, for any partition; files and refusals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aral.acquisition import ACQUISITIONS, JointBatch, Need, PoolView, Predictions, TopScores, select
from aral.acquisition.bald import BatchBald
from aral.acquisition.cluster_margin import ClusterMargin
from aral.acquisition.sharded import SHARDED, Summary, merge, needs_sample, summarise
from aral.errors import BadInput
from aral.randomness import Stream
from aral.types import Selection

from .pools import id_array, predictions, view_of

STREAM = Stream.root(0).child("select")
EXACT = sorted(name for name, note in SHARDED.items() if note == "exact")


def shard_of(pool: PoolView, ids: Sequence[int]) -> PoolView:
    """The part of a pool with these ids, in this order."""
    place = {image: row for row, image in enumerate(pool.unlabelled.ids.tolist())}
    rows = np.array([place[image] for image in ids], dtype=np.int64)
    return PoolView(pool.unlabelled.rows(rows), pool.labelled, pool.labelled_classes, pool.class_count)


def in_shards(strategy: str | TopScores | JointBatch, shards: Sequence[PoolView], n: int) -> Selection:
    return merge(strategy, [summarise(strategy, shard, n, STREAM) for shard in shards], n, STREAM)


def check_equal(found: Selection, expected: Selection) -> None:
    assert found.ids.tolist() == expected.ids.tolist()
    assert found.scores.tolist() == expected.scores.tolist()
    assert found.reasons == expected.reasons and found.acquisition == expected.acquisition


# Exact


@st.composite
def partitions(draw: st.DrawFn) -> tuple[list[list[int]], list[int], int]:
    """Disjoint lists of ids, some empty; labelled ids; and n."""
    ids = draw(st.lists(st.integers(0, 500), min_size=1, max_size=30, unique=True))
    count = draw(st.integers(1, 6))
    at = draw(st.lists(st.integers(0, count - 1), min_size=len(ids), max_size=len(ids)))
    shards = [
        [image for image, place in zip(ids, at, strict=True) if place == shard] for shard in range(count)
    ]
    labelled = [1000 + image for image in range(draw(st.integers(0, 3)))]
    return shards, labelled, draw(st.integers(1, len(ids)))


@pytest.mark.parametrize("name", EXACT)
@settings(max_examples=15, deadline=None)
@given(partition=partitions())
def test_any_partition_equals_the_whole(name: str, partition: tuple[list[list[int]], list[int], int]) -> None:
    """Planted outputs are rounded, so that many scores are equal."""
    shards, labelled, n = partition
    whole = view_of([image for shard in shards for image in shard], labelled)
    found = in_shards(name, [shard_of(whole, shard) for shard in shards], n)
    check_equal(found, ACQUISITIONS[name](whole, n, STREAM))


@pytest.mark.parametrize("name", EXACT)
@settings(max_examples=6, deadline=None)
@given(partition=partitions())
def test_copies_of_one_image_in_any_partition(
    name: str, partition: tuple[list[list[int]], list[int], int]
) -> None:
    shards, _, n = partition
    ids = np.array([image for shard in shards for image in shard], dtype=np.int64)
    single = predictions(id_array(5))
    outputs = {
        need: single.get(need)[torch.zeros(ids.size, dtype=torch.int64)] for need in ACQUISITIONS[name].needs
    }
    whole = PoolView(Predictions(ids, outputs), Predictions(id_array()), id_array(), 4)
    found = in_shards(name, [shard_of(whole, shard) for shard in shards], n)
    check_equal(found, ACQUISITIONS[name](whole, n, STREAM))


@pytest.mark.parametrize(
    "acquisition",
    [
        JointBatch("cluster-margin", ACQUISITIONS["cluster-margin"].needs, ClusterMargin(2, 3, 8)),
        JointBatch("batchbald", ACQUISITIONS["batchbald"].needs, BatchBald(64, 7)),
    ],
    ids=lambda acquisition: acquisition.name,
)
@pytest.mark.parametrize("shards", [1, 2, 7, 60])
def test_candidates_fewer_than_the_pool(acquisition: JointBatch, shards: int) -> None:
    """The batch is chosen among a part of the pool; reasons say the same of it."""
    whole = view_of(range(60), [])
    parts = [shard_of(whole, range(start, 60, shards)) for start in range(shards)]
    for n in (1, 4, 20):
        check_equal(in_shards(acquisition, parts, n), acquisition(whole, n, STREAM))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_other_precisions(dtype: torch.dtype) -> None:
    numbers = np.random.default_rng(3)
    passes = torch.from_numpy(numbers.dirichlet(np.full(10, 0.4), size=(400, 6)))
    outputs = {
        Need.MC_PROBABILITIES: passes.to(dtype),
        Need.PROBABILITIES: passes.mean(dim=1).to(dtype),
        Need.FEATURES: torch.from_numpy(numbers.normal(size=(400, 9))).to(dtype),
        Need.SAMPLER_LOGITS: torch.from_numpy(numbers.normal(size=400)).to(dtype),
    }
    whole = PoolView(Predictions(np.arange(400), outputs), Predictions(id_array()), id_array(), 10)
    parts = [shard_of(whole, part.tolist()) for part in np.split(numbers.permutation(400), [3, 50, 50, 333])]
    for name in EXACT:
        check_equal(in_shards(name, parts, 30), ACQUISITIONS[name](whole, 30, STREAM))


def test_it_is_the_selection_of_select() -> None:
    numbers = np.random.default_rng(0)
    features, probabilities = numbers.normal(size=(50, 4)), numbers.dirichlet(np.ones(3), size=50)
    expected = select(features, 5, probabilities=probabilities, strategy="margin", seed=7)
    stream = Stream.root(7).child("select")
    shards = [
        PoolView(
            Predictions(rows, probabilities=torch.from_numpy(probabilities[rows])),
            Predictions(id_array()),
            id_array(),
            3,
        )
        for rows in np.array_split(np.arange(50), 4)
    ]
    found = merge("margin", [summarise("margin", shard, 5, stream) for shard in shards], 5, stream)
    check_equal(found, expected)


def test_scores_of_single_images_are_exact_but_for_ranks() -> None:
    of_single_images = {name for name, each in ACQUISITIONS.items() if isinstance(each, TopScores)}
    assert of_single_images - set(EXACT) == {"softrank-bald"}
    assert set(EXACT) - of_single_images == {"batchbald", "cluster-margin"}


# Refusals


def by_rank(pool: PoolView, stream: Stream) -> np.ndarray:
    return np.argsort(np.argsort(pool.unlabelled.get(Need.SAMPLER_LOGITS).numpy())).astype(np.float64)


def test_scores_that_depend_on_the_rest_of_the_pool_are_refused_when_they_are_found() -> None:
    ranked = TopScores("mine", frozenset({Need.SAMPLER_LOGITS}), by_rank)
    with pytest.raises(BadInput, match="'mine' cannot be computed by shards: the score of an image depends"):
        summarise(ranked, view_of(range(20), []), 6, STREAM)


@pytest.mark.parametrize("name", sorted(ACQUISITIONS.keys() - SHARDED.keys()))
def test_the_others_are_refused_by_name(name: str) -> None:
    for call in (lambda: summarise(name, view_of(range(9), []), 2, STREAM), lambda: needs_sample(name)):
        with pytest.raises(BadInput, match=f"'{name}' cannot be computed by shards") as error:
            call()
        assert "entropy" in error.value.hint


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"strategy": "margin"}, "Summary 1 is of strategy 'margin', not 'entropy'"),
        ({"n": 4}, "Summary 1 is of a query of 4 images, not 3"),
        ({"key": 1}, "Summary 1 is of another seed"),
        ({"labelled": "0"}, "Summary 1 is of other labelled images"),
    ],
)
def test_a_summary_of_another_query_is_refused(change: dict[str, object], said: str) -> None:
    one, other = (summarise("entropy", view_of(ids, [900]), 3, STREAM) for ids in ([1, 2, 3, 4], [5, 6, 7]))
    other = replace(other, query=replace(other.query, **change))
    with pytest.raises(BadInput, match=said):
        merge("entropy", [one, other], 3, STREAM)


def test_a_shard_given_twice_and_too_few_images_are_refused() -> None:
    one = summarise("entropy", view_of([1, 2, 3, 4], []), 6, STREAM)
    with pytest.raises(BadInput, match="An image is in two summaries"):
        merge("entropy", [one, one], 6, STREAM)
    with pytest.raises(BadInput, match="6 images but only 4"):
        merge("entropy", [one], 6, STREAM)
    with pytest.raises(BadInput, match="at least one image"):
        summarise("entropy", view_of([1, 2], []), 0, STREAM)
    with pytest.raises(BadInput, match="1 image but only 0"):
        merge("entropy", [], 1, STREAM)


# Files


@pytest.mark.parametrize("name", ["entropy", "cluster-margin"])
@pytest.mark.parametrize("ids", [[], [4, 3, 9]])
def test_a_summary_is_read_as_it_was_written(name: str, ids: list[int], tmp_path: Path) -> None:
    shards = [view_of(ids, [1000]), view_of([1, 2, 5], [1000])]
    summaries = [summarise(name, shard, 2, STREAM) for shard in shards]
    summaries[0].save(tmp_path / "one.npz")
    read = Summary.load(tmp_path / "one.npz")
    assert read.query == summaries[0].query and read.images == len(ids)
    assert {key: values.dtype for key, values in read.outputs.items()} == {
        key: values.dtype for key, values in summaries[0].outputs.items()
    }
    check_equal(merge(name, [read, summaries[1]], 2, STREAM), merge(name, summaries, 2, STREAM))
    with np.load(tmp_path / "one.npz", allow_pickle=False) as file:
        assert all(file[key].dtype != object for key in file.files)


def test_a_file_that_is_no_summary_is_refused(tmp_path: Path) -> None:
    whole = tmp_path / "whole.npz"
    summarise("entropy", view_of([1, 2, 5], []), 2, STREAM).save(whole)
    (tmp_path / "cut.npz").write_bytes(whole.read_bytes()[:-40])
    (tmp_path / "text.npz").write_text("no archive")
    np.savez(tmp_path / "pickled.npz", header=np.array([{}], dtype=object))
    np.savez(tmp_path / "other.npz", values=np.arange(3))
    for name in ("cut", "text", "pickled", "other", "missing"):
        with pytest.raises(BadInput, match=f"{name}.npz cannot be read as a summary"):
            Summary.load(tmp_path / f"{name}.npz")
