"""Queries of shards: the exact ones equal those of the whole pool, for any partition; files and refusals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aral.acquisition import ACQUISITIONS, JointBatch, Need, PoolView, Predictions, TopScores, select
from aral.acquisition.bald import BatchBald
from aral.acquisition.cluster_margin import ClusterMargin
from aral.acquisition.geometry import unit_length
from aral.acquisition.herding import Herding
from aral.acquisition.sharded import (
    SHARDED,
    Sample,
    Shared,
    Summary,
    merge,
    needs_sample,
    sample,
    share,
    summarise,
)
from aral.errors import BadInput
from aral.randomness import Stream
from aral.types import Selection

from .pools import id_array, predictions, view_of

STREAM = Stream.root(0).child("select")
EXACT = sorted(name for name, note in SHARDED.items() if note == "exact")
BOUNDED = sorted(SHARDED.keys() - set(EXACT))


def shard_of(pool: PoolView, ids: Sequence[int]) -> PoolView:
    """The part of a pool with these ids, in this order."""
    place = {image: row for row, image in enumerate(pool.unlabelled.ids.tolist())}
    rows = np.array([place[image] for image in ids], dtype=np.int64)
    return PoolView(pool.unlabelled.rows(rows), pool.labelled, pool.labelled_classes, pool.class_count)


def in_shards(strategy: str | TopScores | JointBatch, shards: Sequence[PoolView], n: int) -> Selection:
    shared = None
    if needs_sample(strategy):
        samples = [sample(strategy, shard, n, STREAM) for shard in shards]
        shared = share(strategy, samples, shards[0], n, STREAM)
    summaries = [summarise(strategy, shard, n, STREAM, shared) for shard in shards]
    return merge(strategy, summaries, n, STREAM, shared)


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


# Bounded


@pytest.mark.parametrize("name", sorted(SHARDED))
@settings(max_examples=8, deadline=None)
@given(ids=st.lists(st.integers(0, 500), min_size=1, max_size=25, unique=True), data=st.data())
def test_one_shard_is_the_acquisition_itself(name: str, ids: list[int], data: st.DataObject) -> None:
    labelled = [1000 + image for image in range(data.draw(st.integers(0, 6)))]
    n = data.draw(st.integers(1, len(ids)))
    whole = view_of(ids, labelled)
    empty = shard_of(whole, [])
    check_equal(in_shards(name, [empty, whole, empty], n), ACQUISITIONS[name](whole, n, STREAM))


@pytest.mark.parametrize("name", BOUNDED)
@settings(max_examples=12, deadline=None)
@given(partition=partitions(), data=st.data())
def test_n_different_images_whatever_the_order_of_the_shards(
    name: str, partition: tuple[list[list[int]], list[int], int], data: st.DataObject
) -> None:
    shards, labelled, n = partition
    whole = view_of([image for shard in shards for image in shard], labelled)
    found = in_shards(name, [shard_of(whole, shard) for shard in shards], n)
    assert len(found) == n == len(set(found.ids.tolist()))
    assert set(found.ids.tolist()) <= set(whole.unlabelled.ids.tolist())
    listed = data.draw(st.permutations(shards))
    check_equal(in_shards(name, [shard_of(whole, shard[::-1]) for shard in listed], n), found)


def points_view(
    points: np.ndarray,
    labelled: np.ndarray,
    probabilities: np.ndarray | None = None,
    classes: Sequence[int] | None = None,
) -> PoolView:
    """Images with these vectors as features and representation; ids are their rows."""

    def of(ids: np.ndarray, values: np.ndarray) -> Predictions:
        vectors = torch.from_numpy(values)
        return Predictions(ids, features=vectors, representation=vectors)

    unlabelled = of(np.arange(len(points)), points)
    if probabilities is not None:
        unlabelled = unlabelled.joined({Need.PROBABILITIES: torch.from_numpy(probabilities)})
    known = np.zeros(len(labelled), dtype=np.int64) if classes is None else np.array(classes, dtype=np.int64)
    return PoolView(unlabelled, of(1000 + np.arange(len(labelled)), labelled), known, 3)


def radius(points: np.ndarray, centres: np.ndarray) -> float:
    """The largest distance of a point from its nearest centre."""
    return float(np.linalg.norm(points[:, None] - centres[None], axis=2).min(axis=1).max())


def random_shards(whole: PoolView, count: int, numbers: np.random.Generator) -> list[PoolView]:
    at = numbers.integers(count, size=whole.unlabelled.ids.size)
    return [shard_of(whole, whole.unlabelled.ids[at == shard].tolist()) for shard in range(count)]


@pytest.mark.parametrize("labels", [0, 2])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_core_set_radius_is_within_four_times_the_smallest(labels: int, n: int) -> None:
    """Against all choices of n of 11 images; in level one each shard is within twice the smallest."""
    numbers = np.random.default_rng(10 * labels + n)
    for _ in range(12):
        points = numbers.normal(size=(11, 2)) * numbers.choice([0.1, 1, 5], size=(11, 1))
        known = numbers.normal(size=(labels, 2))
        whole = points_view(points, known)
        smallest = min(
            radius(points, np.concatenate([known, points[list(chosen)]]))
            for chosen in combinations(range(11), n)
        )
        shards = random_shards(whole, int(numbers.integers(2, 5)), numbers)
        for shard in shards:
            rows = shard.unlabelled.ids
            candidates = summarise("core-set", shard, n, STREAM).ids
            if rows.size:
                reached = radius(points[rows], np.concatenate([known, points[candidates]]))
                assert reached <= 2 * smallest + 1e-12
        found = in_shards("core-set", shards, n)
        assert radius(points, np.concatenate([known, points[found.ids]])) <= 4 * smallest + 1e-12


def test_core_set_by_hand() -> None:
    """On a line with a label at 0, two shards {1, 5, 10} and {6, 9, −2}, two images.

    The first shard gives 10, then 5 (5 from both 0 and 10); the second 9, then 6 (3 from 9; −2 is 2 from 0). Of 10, 5,
    9 and 6 the farthest from 0 is 10, then 5. One level chooses the same: −2 is 2 from the label.
    """
    points = np.array([[1.0], [5], [10], [6], [9], [-2]])
    whole = points_view(points, np.zeros((1, 1)))
    shards = [shard_of(whole, [0, 1, 2]), shard_of(whole, [3, 4, 5])]
    assert summarise("core-set", shards[0], 2, STREAM).ids.tolist() == [2, 1]
    assert summarise("core-set", shards[1], 2, STREAM).ids.tolist() == [4, 3]
    found = in_shards("core-set", shards, 2)
    assert found.ids.tolist() == [2, 1] and found.scores.tolist() == [10.0, 5.0]
    assert found.reasons[0] == (
        "distance 10 to the nearest labelled or chosen image; among 4 candidates of 2 shards"
    )


def coverage(points: np.ndarray, centres: np.ndarray, weights: np.ndarray, width: float) -> float:
    """Mean over points of weight times the kernel to the nearest centre, vectors divided by their length."""
    points, centres = unit_length(points), unit_length(centres)
    squared = ((points[:, None] - centres[None]) ** 2).sum(axis=2)
    return float((weights * np.exp(-squared / width**2).max(axis=1, initial=0.0)).mean())


@pytest.mark.parametrize("name", ["maxherding", "uncertainty-herding"])
@pytest.mark.parametrize("labels", [0, 2])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_coverage_reaches_its_bound(name: str, labels: int, n: int) -> None:
    """Against all choices of n of 10 images; scores are increases of the coverage of the whole pool."""
    numbers = np.random.default_rng(10 * labels + n)
    for _ in range(8):
        points, known = numbers.normal(size=(10, 3)), numbers.normal(size=(labels, 3))
        probabilities = numbers.dirichlet(np.full(3, 0.4), size=10)
        whole = points_view(points, known, probabilities)
        weights, width = np.ones(10), 1.0
        if name == "uncertainty-herding":
            highest = np.sort(probabilities, axis=1)
            weights = 1 - (highest[:, -1] - highest[:, -2])
            if labels:
                width = float(np.linalg.norm(np.diff(unit_length(known), axis=0)))
        before = coverage(points, known, weights, width)
        best = max(
            coverage(points, np.concatenate([known, points[list(chosen)]]), weights, width) - before
            for chosen in combinations(range(10), n)
        )
        shards = random_shards(whole, int(numbers.integers(2, 5)), numbers)
        found = in_shards(name, shards, n)
        reached = coverage(points, np.concatenate([known, points[found.ids]]), weights, width) - before
        assert found.scores.sum() == pytest.approx(reached, abs=1e-9)
        assert reached >= (1 - 1 / np.e) / min(len(shards), n) * best - 1e-12


def test_the_best_shard_is_taken_where_it_covers_more() -> None:
    """Ten images at −40° and ten at 40° in one shard, one image at 0° in the other; two are chosen.

    k(0°, 40°) = exp(−0.468) = 0.626 and k(−40°, 40°) = exp(−1.653) = 0.191. Greedy takes 0° first, 20·0.626 + 1 = 13.5
    against 10 + 1.9 + 0.6 = 12.5, and ends with 10 + 6.26 + 1 = 17.3. The first shard's two cover 20 + 0.626.
    """
    angles = np.deg2rad([-40] * 10 + [40] * 10 + [0])
    points = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    whole = points_view(points, np.empty((0, 2)))
    shards = [shard_of(whole, range(20)), shard_of(whole, [20])]
    found = in_shards("maxherding", shards, 2)
    assert sorted(found.ids // 10) == [0, 1]
    near = np.exp(2 * np.cos(np.deg2rad(40)) - 2)
    assert found.scores.sum() == pytest.approx((20 + near) / 21)
    one_level = ACQUISITIONS["maxherding"](whole, 2, STREAM)
    assert one_level.ids[0] == 20 and one_level.scores.sum() == pytest.approx((11 + 10 * near) / 21)


def test_a_best_shard_with_few_images_is_filled_up() -> None:
    """Two of three images are of the best shard (its scores are raised for that); the third is what covers most."""
    points = np.random.default_rng(2).normal(size=(12, 3))
    whole = points_view(points, np.empty((0, 3)))
    shards = [shard_of(whole, [7, 3]), shard_of(whole, [*range(3), *range(4, 7), *range(8, 12)])]
    samples = [sample("maxherding", shard, 3, STREAM) for shard in shards]
    shared = share("maxherding", samples, whole, 3, STREAM)
    best, other = (summarise("maxherding", shard, 3, STREAM, shared) for shard in shards)
    found = merge("maxherding", [replace(best, scores=best.scores + 1), other], 3, STREAM, shared)
    assert found.ids[:2].tolist() == best.ids.tolist()
    before = coverage(points, points[best.ids], np.ones(12), 1.0)
    gains = [coverage(points, points[[*best.ids, image]], np.ones(12), 1.0) - before for image in other.ids]
    assert found.ids[2] == other.ids[np.argmax(gains)] and found.scores[2] == pytest.approx(max(gains))


@pytest.mark.parametrize("name", ["maxherding", "uncertainty-herding", "linear-herding"])
@pytest.mark.parametrize("shards", [1, 3])
def test_shards_are_compared_with_the_images_of_one_level(name: str, shards: int) -> None:
    """60 of 200 images, drawn by id: the same whatever the partition; so are their weights and the width."""
    numbers = np.random.default_rng(4)
    points, known = numbers.normal(size=(200, 4)) + 1, numbers.normal(size=(9, 4)) * 2
    known[:, 0] += np.arange(9) % 3 * 3
    whole = points_view(points, known, numbers.dirichlet(np.ones(3), size=200), [0, 1, 2] * 3)
    original = ACQUISITIONS[name]
    assert isinstance(original, JointBatch) and isinstance(original.choose, Herding)
    few = replace(original, choose=replace(original.choose, most_compared=60))
    expected = share(few, [sample(few, whole, 5, STREAM)], whole, 5, STREAM)
    parts = [shard_of(whole, range(start, 200, shards)) for start in range(shards)]
    found = share(few, [sample(few, part, 5, STREAM) for part in parts], parts[0], 5, STREAM)
    assert found.images == 200 and found.target.points.shape == (60, 4)
    assert found.target.points.tolist() == expected.target.points.tolist()
    np.testing.assert_allclose(found.target.weights, expected.target.weights, rtol=1e-6)
    assert found.target.width == expected.target.width
    chosen = in_shards(few, parts, 5)
    assert all("(of 60 random images)" in reason for reason in chosen.reasons)
    if shards == 1:
        check_equal(chosen, few(whole, 5, STREAM))
    else:
        assert all(reason.endswith("; among 15 candidates of 3 shards") for reason in chosen.reasons)
        assert chosen.scores.sum() >= 0.9 * few(whole, 5, STREAM).scores.sum()


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
    with pytest.raises(BadInput, match="An image is in two shards"):
        merge("entropy", [one, one], 6, STREAM)
    with pytest.raises(BadInput, match="6 images but only 4"):
        merge("entropy", [one], 6, STREAM)
    with pytest.raises(BadInput, match="at least one image"):
        summarise("entropy", view_of([1, 2], []), 0, STREAM)
    with pytest.raises(BadInput, match="1 image but only 0"):
        merge("entropy", [], 1, STREAM)


def test_what_shards_are_compared_with_is_asked_for_and_checked() -> None:
    one, other = view_of([1, 2, 3], [900, 901]), view_of([4, 5, 6], [900, 901])
    with pytest.raises(BadInput, match="'maxherding' compares all shards with the same images") as error:
        summarise("maxherding", one, 2, STREAM)
    assert "Call sample for each shard" in error.value.hint
    for call in (lambda: sample("entropy", one, 2, STREAM), lambda: share("core-set", [], one, 2, STREAM)):
        with pytest.raises(BadInput, match="needs no sample"):
            call()
    samples = [sample("maxherding", shard, 2, STREAM) for shard in (one, other)]
    shared = share("maxherding", samples, one, 2, STREAM)
    with pytest.raises(BadInput, match="Sample 1 is of another seed"):
        share("maxherding", [samples[0], sample("maxherding", other, 2, Stream.root(5))], one, 2, STREAM)
    with pytest.raises(BadInput, match="The shared part is of a query of 2 images, not 3"):
        summarise("maxherding", one, 3, STREAM, shared)
    summaries = [summarise("maxherding", shard, 2, STREAM, shared) for shard in (one, other)]
    partly = share("maxherding", samples[:1], one, 2, STREAM)
    with pytest.raises(BadInput, match="Summary 0 was computed with another shared part"):
        merge("maxherding", summaries, 2, STREAM, partly)
    with pytest.raises(BadInput, match="compares all shards"):
        merge("maxherding", summaries, 2, STREAM)


# Files


@pytest.mark.parametrize("name", ["uncertainty-herding", "linear-herding"])
def test_samples_and_what_is_shared_are_read_as_they_were_written(name: str, tmp_path: Path) -> None:
    shards = [view_of(range(start, 30, 3), range(1000, 1006)) for start in range(3)]
    samples, again = [], []
    for place, shard in enumerate([*shards, view_of([], range(1000, 1006))]):
        samples.append(sample(name, shard, 4, STREAM))
        samples[-1].save(tmp_path / f"{place}.npz")
        again.append(Sample.load(tmp_path / f"{place}.npz"))
    shared = share(name, again, shards[0], 4, STREAM)
    assert shared.digest == share(name, samples, shards[0], 4, STREAM).digest
    shared.save(tmp_path / "shared.npz")
    assert Shared.load(tmp_path / "shared.npz").digest == shared.digest
    with pytest.raises(BadInput, match=r"shared.npz is no sample of a sharded query but a shared part"):
        Sample.load(tmp_path / "shared.npz")


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
