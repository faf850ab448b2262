"""Choosing by score: higher first, ties by a random number of the id, nothing that is not finite."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aral.acquisition import Choice, JointBatch, Need, PoolView, Predictions, TopScores
from aral.acquisition.interface import (
    argmax_with_ties,
    as_scores,
    check_query_size,
    sorted_by_id,
    top_scores,
)
from aral.errors import BadInput
from aral.randomness import Stream
from aral.types import Selection

from .pools import id_array, predictions, view, view_of

STREAM = Stream.root(0)


def choose(ids: np.ndarray, scores: list[float], n: int, stream: Stream = STREAM) -> Selection:
    return top_scores(ids, np.array(scores, dtype=np.float64), n, "test", stream, "score {:.1f}".format)


def test_highest_first_with_their_ids() -> None:
    found = choose(id_array(50, 7, 31, 12), [0.5, -1.0, 3.0, 0.6], 3)
    assert found.ids.tolist() == [31, 12, 50]
    assert found.scores.tolist() == [3.0, 0.6, 0.5]
    assert found.reasons == ("score 3.0", "score 0.6", "score 0.5")
    assert found.acquisition == "test"


@settings(deadline=None)
@given(
    scores=st.dictionaries(st.integers(0, 1000), st.integers(-3, 3), min_size=2, max_size=20),
    data=st.data(),
)
def test_listing_does_not_matter_even_with_ties(scores: dict[int, int], data: st.DataObject) -> None:
    n = data.draw(st.integers(1, len(scores)))
    results = []
    for listed in (list(scores), data.draw(st.permutations(list(scores)))):
        found = choose(id_array(*listed), [float(scores[image]) for image in listed], n)
        assert found.scores.tolist() == sorted(map(float, scores.values()), reverse=True)[:n]
        assert [scores[image] for image in found.ids.tolist()] == found.scores.tolist()
        results.append(found.ids.tolist())
    assert results[0] == results[1]


def test_ties_are_broken_by_chance_not_by_place_or_id() -> None:
    """Of five equal images each is chosen first about equally often over streams."""
    ids = id_array(10, 20, 30, 40, 50)
    first = Counter(int(choose(ids, [1.0] * 5, 1, Stream.root(0).child(i)).ids[0]) for i in range(1000))
    assert set(first) == {10, 20, 30, 40, 50}
    assert all(140 < count < 260 for count in first.values())  # 200 ± 4.7 standard deviations


def test_chance_never_overrules_a_score() -> None:
    for i in range(50):
        assert choose(id_array(1, 2, 3), [0.1, 0.1 + 1e-12, 0.1], 1, Stream.root(i)).ids.tolist() == [2]


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -float("inf")])
def test_scores_that_are_not_finite_are_refused(wrong: float) -> None:
    with pytest.raises(ValueError, match="test: 1 of 3 scores are not finite"):
        choose(id_array(1, 2, 3), [0.0, wrong, 5.0], 1)


def test_query_size() -> None:
    check_query_size(3, 3)
    with pytest.raises(BadInput, match="4 images but only 3 are unlabelled") as caught:
        check_query_size(4, 3)
    assert "3 or less" in caught.value.hint
    with pytest.raises(BadInput, match="at least one"):
        check_query_size(0, 3)


def test_top_scores_strategy_calls_its_score() -> None:
    strategy = TopScores("by id", frozenset(), lambda pool, stream: pool.unlabelled.ids.astype(np.float64))
    found = strategy(view(Predictions(id_array(4, 9, 6))), 2, STREAM)
    assert found.ids.tolist() == [9, 6]
    assert found.acquisition == "by id"
    assert found.reasons == ("score 9.000", "score 6.000")


def test_get_gives_the_output_that_was_asked_for() -> None:
    outputs = {
        Need.PROBABILITIES: torch.rand(2, 3),
        Need.MC_PROBABILITIES: torch.rand(2, 4, 3),
        Need.FEATURES: torch.rand(2, 5),
        Need.LATENTS: torch.rand(2, 6),
        Need.SAMPLER_LOGITS: torch.rand(2),
        Need.SYNTHESISED: torch.rand(7, 5),
        Need.CLUSTERS: torch.rand(2, 9),
        Need.PROPAGATED: torch.rand(2, 3),
        Need.REPRESENTATION: torch.rand(2, 8),
        Need.MIXING_CHANGES: torch.zeros(2, 5, dtype=torch.int64),
        Need.DROPPED_CLASSES: torch.zeros(2, 3, dtype=torch.int64),
    }
    assert outputs.keys() == set(Need)
    full = Predictions(id_array(0, 1), outputs)
    for need, value in outputs.items():
        assert full.get(need) is value
        with pytest.raises(ValueError, match="was not computed"):
            Predictions(id_array(0, 1)).get(need)


def test_as_scores_detaches_and_keeps_the_numbers() -> None:
    found = as_scores(torch.tensor([1.5, -2.0], requires_grad=True))
    assert found.dtype == np.float64
    assert found.tolist() == [1.5, -2.0]


def test_sorted_by_id_keeps_rows_with_their_ids() -> None:
    pool = sorted_by_id(view_of([30, 10, 20], [7, 5]))
    assert pool.unlabelled.ids.tolist() == [10, 20, 30] and pool.labelled.ids.tolist() == [5, 7]
    assert pool.labelled_classes.tolist() == [5 % 4, 7 % 4]
    straight = predictions(id_array(10, 20, 30))
    for need in straight.needs:
        assert torch.equal(pool.unlabelled.get(need), straight.get(need))


def test_argmax_with_ties() -> None:
    values, ties = np.array([1.0, 3.0, 2.9, 3.0]), np.array([0.1, 0.8, 0.2, 0.7])
    assert argmax_with_ties(values, ties) == 3
    assert argmax_with_ties(values, ties, tolerance=0.2) == 2


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
