"""What holds for every strategy: ids travel, the listing does not matter, impossible queries are refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aral.acquisition import ACQUISITIONS, Need, PoolView, Predictions, check_query_size, make_acquisition
from aral.errors import BadInput
from aral.randomness import Stream
from aral.testing import check_acquisition
from aral.types import Selection

from .pools import id_array, predictions, view, view_of

STREAM = Stream.root(0).child("query")
every = pytest.mark.parametrize("name", sorted(ACQUISITIONS))
POOL = st.lists(st.integers(0, 500), min_size=4, max_size=16, unique=True)


def test_names() -> None:
    for name, strategy in ACQUISITIONS.items():
        assert strategy.name == name
        assert make_acquisition(name) is strategy


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("bold", "bald"), ("randon", "random"), ("max_entropy", "max-entropy"), ("typclust", "typiclust")],
)
def test_unknown_name_suggests_the_nearest(typed: str, meant: str) -> None:
    with pytest.raises(BadInput, match=f"Did you mean '{meant}'"):
        make_acquisition(typed)


@every
@settings(max_examples=8, deadline=None)
@given(ids=POOL, data=st.data())
def test_n_different_images_whatever_the_listing_of_the_pool(
    name: str, ids: list[int], data: st.DataObject
) -> None:
    """The same ids and scores, whatever the order of the unlabelled and of the labelled images."""
    labelled = [1000 + i for i in range(data.draw(st.integers(0, 3)))]
    n = data.draw(st.integers(1, len(ids)))
    one = ACQUISITIONS[name](view_of(ids, labelled), n, STREAM)
    listed, known = data.draw(st.permutations(ids)), data.draw(st.permutations(labelled))
    other = ACQUISITIONS[name](view_of(listed, known), n, STREAM)
    assert one.ids.tolist() == other.ids.tolist()
    np.testing.assert_allclose(one.scores, other.scores, rtol=1e-9, atol=1e-12)
    assert len(one) == n == len(set(one.ids.tolist())) and set(one.ids.tolist()) <= set(ids)
    assert one.acquisition == name and len(one.reasons) == n and all(one.reasons)
    assert np.isfinite(one.scores).all()


@every
def test_a_query_beyond_the_pool_is_refused(name: str) -> None:
    pool = view_of([3, 1, 4, 15], [])
    assert sorted(ACQUISITIONS[name](pool, 4, STREAM).ids.tolist()) == [1, 3, 4, 15]
    with pytest.raises(BadInput, match="5 images but only 4"):
        ACQUISITIONS[name](pool, 5, STREAM)
    for n in (0, -1):
        with pytest.raises(BadInput, match="at least one image"):
            ACQUISITIONS[name](pool, n, STREAM)


@every
def test_needs_are_what_is_read(name: str) -> None:
    """Given its declared needs alone a strategy works; without them it says so."""
    needs = ACQUISITIONS[name].needs
    full = predictions(np.arange(8, dtype=np.int64))
    pool = view(Predictions(full.ids, {need: full.get(need) for need in needs}))
    assert len(ACQUISITIONS[name](pool, 3, STREAM)) == 3
    if needs:
        with pytest.raises(ValueError, match="was not computed"):
            ACQUISITIONS[name](view(Predictions(full.ids)), 3, STREAM)


@every
def test_the_same_stream_asks_the_same(name: str) -> None:
    pool = view_of(list(range(20)), [100])
    one, other = (ACQUISITIONS[name](pool, 5, Stream.root(3)) for _ in range(2))
    assert one.ids.tolist() == other.ids.tolist()


COLD = ["core-set", "probcover", "robust-core-set"]


def copies(count: int) -> Predictions:
    """Images of which each is the same picture."""
    single = predictions(id_array(5))
    rows = torch.zeros(count, dtype=torch.int64)
    return Predictions(
        np.arange(count, dtype=np.int64)[::-1].copy(),
        {need: single.get(need)[rows] for need in Need if need is not Need.SYNTHESISED},
    )


@pytest.mark.parametrize("name", sorted(ACQUISITIONS.keys() - {"gaal", "typiclust"}))
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


@pytest.mark.parametrize("name", COLD)
def test_cold_start_needs_nothing_but_features(name: str) -> None:
    """As in round 0: no label, features 0×F for the labelled images."""
    features = predictions(np.arange(20, dtype=np.int64)).get(Need.FEATURES)
    nothing = Predictions(id_array(), features=features[:0])
    pool = PoolView(Predictions(np.arange(20, dtype=np.int64), features=features), nothing, id_array(), 4)
    assert np.unique(ACQUISITIONS[name](pool, 7, STREAM).ids).size == 7


READS_FEATURES = """aral-diverse aral-typical badge cluster-margin typical-entropy typical-graph typical-clusters
typiclust""".split()


@pytest.mark.parametrize("name", [*COLD, *READS_FEATURES])
def test_half_precision_features_are_read(name: str) -> None:
    """A learner that computes in bfloat16 hands out bfloat16 features, which NumPy does not know."""
    full = predictions(np.arange(12, dtype=np.int64))
    known = predictions(id_array(100, 101))
    half, known = (each.joined({Need.FEATURES: each.get(Need.FEATURES).bfloat16()}) for each in (full, known))
    assert len(ACQUISITIONS[name](view(half, known), 4, STREAM)) == 4


@every
def test_the_public_contract_holds(name: str) -> None:
    check_acquisition(ACQUISITIONS[name])


@dataclass(frozen=True)
class Broken:
    """The first images as listed, with whatever is to be wrong."""

    ids: Callable[[PoolView, int], np.ndarray] = lambda pool, n: np.sort(pool.unlabelled.ids)[:n]
    name: str = "broken"
    needs: frozenset[Need] = frozenset()
    says: str = "broken"
    refuses: bool = True

    def __call__(self, pool: PoolView, n: int, stream: Stream) -> Selection:
        if self.refuses:
            check_query_size(n, pool.unlabelled.ids.size)
        ids = self.ids(pool, n)
        return Selection(ids, np.zeros(ids.size), self.says, ("why",) * ids.size)


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (Broken(lambda pool, n: pool.unlabelled.ids[:n]), "listed"),
        (Broken(lambda pool, n: np.sort(pool.unlabelled.ids)[: n - 1]), "n different images"),
        (Broken(lambda pool, n: np.arange(2000, 2000 + n)), "unlabelled pool"),
        (Broken(says="other"), "has the name of its acquisition"),
        (Broken(refuses=False), "refused with BadInput"),
    ],
)
def test_the_public_contract_finds_what_is_broken(broken: Broken, said: str) -> None:
    check_acquisition(Broken())
    with pytest.raises(AssertionError, match=said):
        check_acquisition(broken)


def test_needs_that_are_not_declared_are_found() -> None:
    hidden = Broken(
        lambda pool, n: pool.unlabelled.ids[
            pool.unlabelled.get(Need.PROBABILITIES)[:, 0].argsort()[:n].numpy()
        ]
    )
    with pytest.raises(ValueError, match="was not computed"):
        check_acquisition(hidden)
