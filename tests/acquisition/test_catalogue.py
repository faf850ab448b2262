"""What holds for every strategy: ids travel, the listing does not matter, impossible queries are refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aral.acquisition import ACQUISITIONS, Need, Predictions, acquisition
from aral.errors import BadInput
from aral.randomness import Stream

from .pools import predictions, view, view_of

HERE = ["random", "max-entropy", "bald", "vaal", "aral", "typiclust"]
STREAM = Stream.root(0).child("query")
every = pytest.mark.parametrize("name", HERE)
POOL = st.lists(st.integers(0, 500), min_size=4, max_size=16, unique=True)


def test_names() -> None:
    assert set(HERE) <= set(ACQUISITIONS)
    for name, strategy in ACQUISITIONS.items():
        assert strategy.name == name
        assert acquisition(name) is strategy


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("bold", "bald"), ("randon", "random"), ("max_entropy", "max-entropy"), ("typclust", "typiclust")],
)
def test_unknown_name_suggests_the_nearest(typed: str, meant: str) -> None:
    with pytest.raises(BadInput, match=f"Did you mean '{meant}'"):
        acquisition(typed)


@every
@settings(max_examples=15, deadline=None)
@given(ids=POOL, data=st.data())
def test_the_listing_of_the_pool_does_not_matter(name: str, ids: list[int], data: st.DataObject) -> None:
    """Same images, same ids and scores, whatever the order of the unlabelled and of the labelled."""
    labelled = [1000 + i for i in range(data.draw(st.integers(0, 3)))]
    n = data.draw(st.integers(1, len(ids)))
    one = ACQUISITIONS[name](view_of(ids, labelled), n, STREAM)
    listed, known = data.draw(st.permutations(ids)), data.draw(st.permutations(labelled))
    other = ACQUISITIONS[name](view_of(listed, known), n, STREAM)
    assert one.ids.tolist() == other.ids.tolist()
    np.testing.assert_allclose(one.scores, other.scores, rtol=1e-9, atol=1e-12)


@every
@settings(max_examples=15, deadline=None)
@given(ids=POOL, data=st.data())
def test_n_different_images_of_the_unlabelled_pool(name: str, ids: list[int], data: st.DataObject) -> None:
    n = data.draw(st.integers(1, len(ids)))
    chosen = ACQUISITIONS[name](view_of(ids, [1000, 1001]), n, STREAM)
    assert len(chosen) == n == len(set(chosen.ids.tolist()))
    assert set(chosen.ids.tolist()) <= set(ids)
    assert chosen.acquisition == name
    assert len(chosen.reasons) == n and all(chosen.reasons)
    assert np.isfinite(chosen.scores).all()


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
    fields = {need: full.get(need) for need in needs}
    pool = view(
        Predictions(
            full.ids,
            probabilities=fields.get(Need.PROBABILITIES),
            mc_probabilities=fields.get(Need.MC_PROBABILITIES),
            features=fields.get(Need.FEATURES),
            latents=fields.get(Need.LATENTS),
            sampler_logits=fields.get(Need.SAMPLER_LOGITS),
        )
    )
    assert len(ACQUISITIONS[name](pool, 3, STREAM)) == 3
    if needs:
        with pytest.raises(ValueError, match="were not computed"):
            ACQUISITIONS[name](view(Predictions(full.ids)), 3, STREAM)


@every
def test_the_same_stream_asks_the_same(name: str) -> None:
    pool = view_of(list(range(20)), [100])
    one, other = (ACQUISITIONS[name](pool, 5, Stream.root(3)) for _ in range(2))
    assert one.ids.tolist() == other.ids.tolist()
