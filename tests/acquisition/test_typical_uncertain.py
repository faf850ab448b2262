"""Doubtful images of which there are many alike: centres of planted clusters, and what counts as doubtful."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from aral.acquisition import Need, PoolView, Predictions
from aral.acquisition.interface import JointBatch
from aral.acquisition.sampler import ARAL_GRAPH, ARAL_TYPICAL, with_sampler
from aral.acquisition.typicality import (
    TYPICAL_ENTROPY,
    TYPICAL_GRAPH,
    Candidates,
    TypicalUncertain,
)
from aral.acquisition.uncertainty import entropy_scores, graph_margin_scores
from aral.randomness import Stream

from .pools import id_array, view

STREAM = Stream.root(0)
# Uncertain clusters of 7, 5 and 3 images around 0°, 60° and 120°; 45 images of which the
# classifier is confident lie everywhere.
CENTRES = {100: (0.0, 7), 200: (60.0, 5), 300: (120.0, 3)}
SURE = 45


def planted() -> dict[str, np.ndarray]:
    ids, degrees, uncertainty = [], [], []
    for first, (centre, size) in CENTRES.items():
        for member in range(size):
            ids.append(first + member)
            # 1°, −2°, 3°, −4° … from the centre: the image ``first`` is the nearest to their mean.
            degrees.append(centre + (member + 1) * (-1.0) ** member)
            uncertainty.append(0.30 + 0.005 * member)
    ids += list(range(SURE))
    degrees += [8.0 * member for member in range(SURE)]
    uncertainty += [0.01 + 0.001 * member for member in range(SURE)]
    return {"ids": np.array(ids), "degrees": np.array(degrees), "uncertainty": np.array(uncertainty)}


def pool(order: np.ndarray | None = None, sampler: np.ndarray | None = None) -> PoolView:
    known = planted()
    rows = np.arange(len(known["ids"])) if order is None else order
    angles = np.radians(known["degrees"][rows])
    features = np.stack([np.cos(angles), np.sin(angles)], axis=1) * (1 + known["ids"][rows, None] % 7)
    uncertainty = torch.from_numpy(known["uncertainty"][rows]).float()
    logits = np.zeros(len(rows)) if sampler is None else sampler[rows]
    return view(
        Predictions(
            known["ids"][rows],
            probabilities=torch.stack([1 - uncertainty, uncertainty], dim=1),
            features=torch.from_numpy(features).float(),
            sampler_logits=torch.from_numpy(logits).float(),
        )
    )


ALL_NEEDS = ARAL_GRAPH.needs
UNCERTAINTY = {False: entropy_scores, True: with_sampler(entropy_scores)}


def strategy(uses_sampler: bool = True, share: float = 0.05) -> JointBatch:
    return JointBatch("test", ALL_NEEDS, TypicalUncertain(UNCERTAINTY[uses_sampler], Candidates(share)))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("uses_sampler", [True, False])
def test_the_middle_of_each_uncertain_cluster_the_largest_first(seed: int, uses_sampler: bool) -> None:
    """A quarter of the pool, 15 of 60, is what was planted as uncertain."""
    found = strategy(share=0.25, uses_sampler=uses_sampler)(pool(), 3, Stream.root(seed))
    assert found.ids.tolist() == [100, 200, 300]
    assert found.scores.tolist() == [7, 5, 3]
    assert found.reasons == tuple(f"represents {count} uncertain images" for count in (7, 5, 3))


def test_one_query_is_the_middle_of_the_uncertain_and_not_the_most_uncertain() -> None:
    """Of fifteen directions from −6° to 123° the mean is at about 41°: 203, at 56°, is the nearest to it."""
    found = strategy(share=0.25, uses_sampler=False)(pool(), 1, STREAM)
    assert found.ids.tolist() == [203] and found.scores.tolist() == [15]
    known = planted()
    assert known["ids"][known["uncertainty"].argmax()] == 106


def test_with_a_small_share_the_most_uncertain_are_chosen() -> None:
    """There are never fewer candidates than queries: then the n highest scores are chosen."""
    found = strategy(share=0.0, uses_sampler=False)(pool(), 4, STREAM)
    assert set(found.ids.tolist()) == {104, 105, 106, 204}
    assert found.scores.tolist() == [1, 1, 1, 1]


def test_the_sampler_counts_only_where_it_is_combined() -> None:
    """S says that everything in the largest cluster looks labelled: its ranks fall to the bottom."""
    logits = np.where(np.arange(60) < 7, 5.0, 0.0)
    found = strategy(share=8 / 60)(pool(sampler=logits), 2, STREAM)
    assert set((found.ids // 100).tolist()) == {2, 3}
    same = strategy(share=8 / 60, uses_sampler=False)(pool(sampler=logits), 2, STREAM)
    assert 1 in (same.ids // 100).tolist()


def test_copies_fill_up_by_uncertainty() -> None:
    """Six copies and two others, four asked: two clusters have an image each, then the copies follow."""
    uncertainty = torch.tensor([0.45, 0.44, 0.43, 0.42, 0.41, 0.40, 0.3, 0.3])
    features = torch.tensor([[1.0, 0.0]] * 6 + [[0.0, 1.0]] * 2)
    found = strategy(share=1.0, uses_sampler=False)(
        view(
            Predictions(
                id_array(*range(8)),
                probabilities=torch.stack([1 - uncertainty, uncertainty], dim=1),
                features=features,
                sampler_logits=torch.zeros(8),
            )
        ),
        5,
        STREAM,
    )
    ids = found.ids.tolist()
    assert ids[0] in range(6) and ids[1] in (6, 7) and len(set(ids)) == 5
    assert ids[2:] == [image for image in range(6) if image != ids[0]][:3]
    assert found.scores.tolist() == [6, 2, 1, 1, 1]


def test_what_they_read() -> None:
    assert TYPICAL_ENTROPY.needs == {Need.PROBABILITIES, Need.FEATURES}
    assert ARAL_TYPICAL.needs == TYPICAL_ENTROPY.needs | {Need.SAMPLER_LOGITS}
    assert TYPICAL_GRAPH.needs == TYPICAL_ENTROPY.needs | {Need.PROPAGATED, Need.REPRESENTATION}
    assert ARAL_GRAPH.needs == TYPICAL_GRAPH.needs | {Need.SAMPLER_LOGITS}


def opinions() -> PoolView:
    """Both sure of the same; of different classes; only C sure; only the graph; neither."""
    sure_0, sure_1, torn = (0.9, 0.1, 0.0), (0.1, 0.9, 0.0), (0.4, 0.3, 0.3)
    return view(
        Predictions(
            id_array(*range(5)),
            probabilities=torch.tensor([sure_0, sure_0, sure_0, torn, torn]),
            propagated=torch.tensor([sure_0, sure_1, torn, sure_0, torn]),
            features=torch.eye(5),
            sampler_logits=torch.tensor([0.0, 0.0, 0.0, 0.0, -1.0]),
        )
    )


def test_the_doubt_of_whichever_is_less_sure_by_hand() -> None:
    """Leads of 0.9 over 0.1 and of 0.4 over 0.3; two that are sure of different classes are in no doubt."""
    assert graph_margin_scores(opinions(), STREAM) == pytest.approx([-0.8, -0.8, -0.1, -0.1, -0.1], abs=1e-6)


def test_images_that_are_out_of_distribution_come_last() -> None:
    """Rows that lack 0.8, 0.5 and 0.1 of 1; C is torn between all. The second is ahead of 0.35 by 0.15 only."""
    torn = (0.4, 0.3, 0.3)
    spread = torch.tensor([(0.1, 0.1, 0.0), (0.35, 0.15, 0.0), (0.7, 0.2, 0.0), (0.9, 0.1, 0.0)])
    seen = Predictions(id_array(*range(4)), probabilities=torch.tensor([torn] * 4), propagated=spread)
    assert graph_margin_scores(view(seen), STREAM) == pytest.approx([-1.0, -0.1, -0.1, -0.1], abs=1e-6)
    sure_c = Predictions(
        id_array(*range(4)), probabilities=torch.tensor([(1.0, 0.0, 0.0)] * 4), propagated=spread
    )
    assert graph_margin_scores(view(sure_c), STREAM) == pytest.approx([-1.0, -0.15, -0.5, -0.8], abs=1e-6)


def test_a_graph_with_few_confident_labels_is_not_used() -> None:
    """One image of five that it is sure of is too few, one of four is enough; a lead of 0.15 is not sure."""
    unsure, torn = (0.34, 0.33, 0.33), (0.6, 0.4, 0.0)
    ahead_by_25, ahead_by_15 = (0.6, 0.35, 0.05), (0.55, 0.4, 0.05)
    heard = [-0.2, -0.01, -0.01, -0.01]
    for count, sure, wanted in (
        (5, ahead_by_25, [-0.2] * 5),
        (4, ahead_by_25, heard),
        (4, ahead_by_15, [-0.2] * 4),
    ):
        seen = Predictions(
            id_array(*range(count)),
            probabilities=torch.tensor([torn] * count),
            propagated=torch.tensor([sure] + [unsure] * (count - 1)),
        )
        assert graph_margin_scores(view(seen), STREAM) == pytest.approx(wanted, abs=1e-6)


def test_graph_queries_ask_where_the_graph_is_in_doubt_although_the_classifier_is_sure() -> None:
    by_graph = JointBatch("test", ALL_NEEDS, TypicalUncertain(graph_margin_scores, Candidates(0.0)))
    assert set(by_graph(opinions(), 3, STREAM).ids.tolist()) == {2, 3, 4}
    by_entropy = JointBatch("test", ALL_NEEDS, TypicalUncertain(entropy_scores, Candidates(0.0)))
    assert set(by_entropy(opinions(), 2, STREAM).ids.tolist()) == {3, 4}
    with_s = JointBatch(
        "test", ALL_NEEDS, TypicalUncertain(with_sampler(graph_margin_scores), Candidates(0.0))
    )
    # Ranks by −S: 4/5 for the four, 1 for image 4; by doubt: 1 for images 2 to 4, 2/5 for the others.
    assert with_s(opinions(), 1, STREAM).ids.tolist() == [4]


def test_images_are_alike_where_both_spaces_say_so() -> None:
    """Four doubtful images in two kinds by features and two others by places: one space sees one difference."""
    seen = Predictions(
        id_array(*range(4)),
        probabilities=torch.full((4, 3), 1 / 3),
        features=torch.tensor([[1.0, 0.0], [1.0, 0.1], [1.0, 0.0], [1.0, 0.1]]),
        representation=torch.tensor([[5.0, 0.0], [5.0, 0.0], [0.0, 5.0], [0.0, 5.0]]),
    )

    def parts(*spaces: Need) -> list[set[int]]:
        query = JointBatch("test", ALL_NEEDS, TypicalUncertain(entropy_scores, Candidates(1.0, spaces)))
        return [set(query(view(seen), 2, Stream.root(seed)).ids.tolist()) for seed in range(8)]

    assert all(len(found & {0, 2}) == 1 for found in parts(Need.FEATURES))
    for spaces in ((Need.REPRESENTATION,), (Need.FEATURES, Need.REPRESENTATION)):
        assert all(len(found & {0, 1}) == 1 for found in parts(*spaces))


def test_while_labels_are_few_another_look_is_taken() -> None:
    """With two classes and three labels a class: up to five labels as at first, from six on as later."""
    seen = Predictions(
        id_array(*range(4)),
        probabilities=torch.tensor([[0.5, 0.5], [0.6, 0.4], [0.7, 0.3], [0.8, 0.2]]),
        features=torch.tensor([[1.0, 0.0]] * 3 + [[0.0, 1.0]]),
    )
    query = TypicalUncertain(entropy_scores, Candidates(0.25), Candidates(1.0), few=3)
    for count in (0, 5, 6):
        known = Predictions(np.arange(10, 10 + count))
        pool = PoolView(seen, known, np.zeros(count, dtype=np.int64), 2)
        asked = [set(query(pool, 2, Stream.root(seed)).rows.tolist()) for seed in range(6)]
        if count < 6:  # all four are looked at, and the odd one is a cluster of its own
            assert all(3 in found for found in asked)
        else:
            assert all(found == {0, 1} for found in asked), "the two most doubtful"
