"""What holds for every strategy beyond the first six, and for a batch chosen as a whole."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aral.acquisition import ACQUISITIONS, Choice, JointBatch, Need, PoolView, Predictions
from aral.acquisition.joint import first_of_best, in_order_of_id
from aral.errors import BadInput
from aral.randomness import Stream

from .pools import id_array, predictions, view, view_of

ALL = """acs-fw aral-diverse aral-graph aral-typical badge batchbald cluster-margin committee committee-divergence
core-set entropy least-confidence margin mean-std power-bald probcover robust-core-set softmax-bald softrank-bald
typical-entropy typical-graph typical-groups variation-ratio vote-variation-ratio""".split()
COLD = ["core-set", "probcover", "robust-core-set"]
PER_IMAGE = [need for need in Need if need is not Need.SYNTHESISED]
STREAM = Stream.root(0).child("query")
every = pytest.mark.parametrize("name", ALL)


def test_names() -> None:
    assert set(ALL) <= set(ACQUISITIONS)


@every
@settings(max_examples=12, deadline=None)
@given(ids=st.lists(st.integers(0, 500), min_size=1, max_size=14, unique=True), data=st.data())
def test_the_listing_does_not_matter_and_all_are_different(
    name: str, ids: list[int], data: st.DataObject
) -> None:
    labelled = [1000 + i for i in range(data.draw(st.integers(0, 3)))]
    n = data.draw(st.integers(1, len(ids)))
    one = ACQUISITIONS[name](view_of(ids, labelled), n, STREAM)
    listed, known = data.draw(st.permutations(ids)), data.draw(st.permutations(labelled))
    other = ACQUISITIONS[name](view_of(listed, known), n, STREAM)
    assert one.ids.tolist() == other.ids.tolist()
    np.testing.assert_allclose(one.scores, other.scores, rtol=1e-9, atol=1e-12)
    assert len(set(one.ids.tolist())) == n and set(one.ids.tolist()) <= set(ids)
    assert one.acquisition == name and len(one.reasons) == n and all(one.reasons)


def copies(count: int) -> Predictions:
    """Images of which each is the same picture."""
    single = predictions(id_array(5))
    rows = torch.zeros(count, dtype=torch.int64)
    return Predictions(
        np.arange(count, dtype=np.int64)[::-1].copy(),
        {need: single.get(need)[rows] for need in PER_IMAGE},
    )


@every
def test_copies_of_one_image_are_chosen_by_chance(name: str) -> None:
    """Every one can be had, and neither the listing nor the order of ids decides which comes first."""
    strategy = ACQUISITIONS[name]
    assert sorted(strategy(view(copies(6)), 6, STREAM).ids.tolist()) == list(range(6))
    firsts = {int(strategy(view(copies(6)), 1, Stream.root(seed)).ids[0]) for seed in range(12)}
    assert len(firsts) > 2


@every
def test_two_classes(name: str) -> None:
    full = predictions(np.arange(9, dtype=np.int64))
    passes = full.get(Need.MC_PROBABILITIES)[:, :, :2] + 1e-3
    passes = passes / passes.sum(dim=2, keepdim=True)
    spread = full.get(Need.PROPAGATED)[:, :2]
    two = full.joined(
        {
            Need.MC_PROBABILITIES: passes,
            Need.PROBABILITIES: passes.mean(dim=1),
            Need.PROPAGATED: spread / spread.sum(dim=1, keepdim=True),
        }
    )
    pool = PoolView(two, Predictions(id_array()), id_array(), 2)
    assert np.unique(ACQUISITIONS[name](pool, 9, STREAM).ids).size == 9


@every
def test_impossible_queries_are_refused(name: str) -> None:
    with pytest.raises(BadInput, match="5 images but only 4"):
        ACQUISITIONS[name](view_of([3, 1, 4, 15], []), 5, STREAM)
    with pytest.raises(BadInput, match="at least one image"):
        ACQUISITIONS[name](view_of([3, 1, 4, 15], []), 0, STREAM)


@every
def test_needs_are_what_is_read(name: str) -> None:
    full = predictions(np.arange(8, dtype=np.int64))
    needs = ACQUISITIONS[name].needs
    bare = Predictions(full.ids, {need: full.get(need) for need in PER_IMAGE if need in needs})
    assert len(ACQUISITIONS[name](view(bare), 3, STREAM)) == 3
    with pytest.raises(ValueError, match="was not computed"):
        ACQUISITIONS[name](view(Predictions(full.ids)), 3, STREAM)


@pytest.mark.parametrize("name", COLD)
def test_cold_start_needs_nothing_but_features(name: str) -> None:
    """As in round 0: no label, features 0×F for the labelled images."""
    features = predictions(np.arange(20, dtype=np.int64)).get(Need.FEATURES)
    nothing = Predictions(id_array(), features=features[:0])
    pool = PoolView(Predictions(np.arange(20, dtype=np.int64), features=features), nothing, id_array(), 4)
    assert np.unique(ACQUISITIONS[name](pool, 7, STREAM).ids).size == 7


READS_FEATURES = """aral-diverse aral-typical badge cluster-margin typical-entropy typical-graph typical-groups
typiclust""".split()


@pytest.mark.parametrize("name", [*COLD, *READS_FEATURES])
def test_half_precision_features_are_read(name: str) -> None:
    """A learner that computes in bfloat16 hands out bfloat16 features, which NumPy does not know."""
    full = predictions(np.arange(12, dtype=np.int64))
    known = predictions(id_array(100, 101))
    half, known = (
        each.joined({Need.FEATURES: each.get(Need.FEATURES).bfloat16()}) for each in (full, known)
    )
    assert len(ACQUISITIONS[name](view(half, known), 4, STREAM)) == 4


def test_in_order_of_id_keeps_rows_with_their_ids() -> None:
    pool = in_order_of_id(view_of([30, 10, 20], [7, 5]))
    assert pool.unlabelled.ids.tolist() == [10, 20, 30] and pool.labelled.ids.tolist() == [5, 7]
    assert pool.labelled_classes.tolist() == [5 % 4, 7 % 4]
    straight = predictions(id_array(10, 20, 30))
    for need in PER_IMAGE:
        assert torch.equal(pool.unlabelled.get(need), straight.get(need))


def test_first_of_best() -> None:
    values, ties = np.array([1.0, 3.0, 2.9, 3.0]), np.array([0.1, 0.8, 0.2, 0.7])
    assert first_of_best(values, ties) == 3
    assert first_of_best(values, ties, tolerance=0.2) == 2


def test_a_strategy_of_ones_own() -> None:
    """One function is enough: here, the images in order of id."""

    def lowest(pool: PoolView, n: int, stream: Stream) -> Choice:
        return Choice.of(list(range(n)), [0.0] * n, "number {:.0f}".format)

    found = JointBatch("lowest", frozenset(), lowest)(view_of([9, 2, 5], []), 2, STREAM)
    assert found.ids.tolist() == [2, 5] and found.reasons == ("number 0", "number 0")
    with pytest.raises(ValueError, match="chose 1 images instead of 2"):
        JointBatch("short", frozenset(), lambda pool, n, stream: lowest(pool, 1, stream))(
            view_of([9, 2, 5], []), 2, STREAM
        )
