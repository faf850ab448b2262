"""Typical images of groups: how queries are shared out, which image stands for a group, and copies."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aral.acquisition import PoolView, Predictions
from aral.acquisition.geometry import unit_length
from aral.acquisition.typicality import TYPICAL_CLUSTERS, quotas
from aral.randomness import Stream

from .pools import id_array, view

STREAM = Stream.root(0)


def shared_out(sizes: list[int], n: int) -> list[int]:
    return quotas(np.array(sizes, dtype=np.int64), n).tolist()


def test_queries_go_to_the_group_with_the_fewest_the_larger_first() -> None:
    """Groups of 3, 5, 1 and 0 images: each once, then each that has images left, in turns."""
    found = [shared_out([3, 5, 1, 0], n) for n in range(1, 10)]
    assert found == [
        [0, 1, 0, 0],
        [1, 1, 0, 0],
        [1, 1, 1, 0],
        [1, 2, 1, 0],
        [2, 2, 1, 0],
        [2, 3, 1, 0],
        [3, 3, 1, 0],
        [3, 4, 1, 0],
        [3, 5, 1, 0],
    ]
    assert shared_out([2, 2], 1) == [1, 0]


@settings(deadline=None)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=6).filter(sum), st.data())
def test_shares_are_as_even_as_the_groups_allow(sizes: list[int], data: st.DataObject) -> None:
    n = data.draw(st.integers(1, sum(sizes)))
    found = shared_out(sizes, n)
    assert sum(found) == n and all(quota <= size for quota, size in zip(found, sizes, strict=True))
    open_ones = [quota for quota, size in zip(found, sizes, strict=True) if quota < size]
    assert not open_ones or max(found) - min(open_ones) <= 1


def test_directions_have_length_one_but_for_the_zero_vector() -> None:
    found = unit_length(np.array([[3.0, 4.0], [0.0, 0.0], [0.0, -2.0]]))
    np.testing.assert_allclose(found, [[0.6, 0.8], [0, 0], [0, -1]])


def arc(degrees: list[float], length: float = 1.0) -> torch.Tensor:
    angles = torch.tensor(degrees).double().deg2rad()
    return length * torch.stack([angles.cos(), angles.sin()], dim=1)


def grouped(members: dict[int, tuple[int, float, float]]) -> PoolView:
    """A pool from id to (group of three, sureness, angle of the features)."""
    ids = id_array(*members)
    groups = torch.zeros(len(ids), 3)
    for row, (group, sureness, _) in enumerate(members.values()):
        groups[row] = (1 - sureness) / 2
        groups[row, group] = sureness
    degrees = [angle for _, _, angle in members.values()]
    # The lengths differ and must not matter.
    features = arc(degrees) * torch.arange(1, len(ids) + 1)[:, None]
    return view(Predictions(ids, features=features.float(), clusters=groups))


# Group 1 has eight images, group 0 six, group 2 two; sureness falls with the id within a group, so the surer
# half of group 1 is 10 to 13, of group 0 is 1 to 3, of group 2 image 30 alone.
MEMBERS = {
    10: (1, 0.90, 0.0),
    11: (1, 0.89, 10.0),
    12: (1, 0.88, 40.0),
    13: (1, 0.87, 4.0),
    14: (1, 0.60, 13.4),
    15: (1, 0.59, 13.4),
    16: (1, 0.58, 13.4),
    17: (1, 0.57, 13.4),
    1: (0, 0.95, 100.0),
    2: (0, 0.80, 140.0),
    3: (0, 0.85, 110.0),
    4: (0, 0.50, 116.5),
    5: (0, 0.50, 116.5),
    6: (0, 0.50, 116.5),
    30: (2, 0.70, 200.0),
    31: (2, 0.69, 210.0),
}


def test_one_image_of_each_cluster_the_largest_first() -> None:
    """Centres of the surer halves: about 13.4° of 0, 4, 10 and 40, and about 116.5° of 100, 110 and 140.

    The less sure images lie nearer to those centres, and are passed over.
    """
    found = TYPICAL_CLUSTERS(grouped(MEMBERS), 3, STREAM)
    assert found.ids.tolist() == [11, 3, 30]
    assert found.scores == pytest.approx([0.89, 0.85, 0.70])
    assert found.reasons == tuple(f"typical of a cluster of {size} images" for size in (8, 6, 2))


def test_an_image_that_is_a_cluster_of_its_own() -> None:
    alone = {10: (1, 0.9, 0.0), 11: (1, 0.8, 5.0), 30: (2, 0.7, 90.0)}
    assert TYPICAL_CLUSTERS(grouped(alone), 2, STREAM).reasons == (
        "typical of a cluster of 2 images",
        "the only image of its cluster",
    )


def test_fewer_queries_than_groups_leave_out_the_smallest() -> None:
    assert TYPICAL_CLUSTERS(grouped(MEMBERS), 1, STREAM).ids.tolist() == [11]
    assert TYPICAL_CLUSTERS(grouped(MEMBERS), 2, STREAM).ids.tolist() == [11, 3]


@pytest.mark.parametrize("seed", range(4))
def test_a_group_that_is_asked_twice_is_cut_in_two_and_groups_take_turns(seed: int) -> None:
    """Five queries: 2, 2 and 1. Parts {10, 13, 11} and {12} of group 1, {1, 3} and {2} of group 0."""
    found = TYPICAL_CLUSTERS(grouped(MEMBERS), 5, Stream.root(seed)).ids.tolist()
    assert found[0] == 13  # 4° is the middle of 0°, 4° and 10°
    assert found[1] in (1, 3)  # two images are equally far from their middle
    assert found[2:] == [30, 12, 2]


def test_every_image_can_be_had() -> None:
    found = TYPICAL_CLUSTERS(grouped(MEMBERS), len(MEMBERS), STREAM)
    assert sorted(found.ids.tolist()) == sorted(MEMBERS)
    # The two smaller groups are used up in the middle of the turns; group 1 has the last ones.
    assert [MEMBERS[image][0] for image in found.ids.tolist()] == [1, 0, 2] * 2 + [1, 0] * 4 + [1, 1]


@pytest.mark.parametrize("n", [1, 2, 5])
def test_copies_of_one_image_are_all_available_and_none_is_preferred(n: int) -> None:
    """Exact copies leave k-means with one part where more were asked for."""
    copies = view(Predictions(id_array(*range(9)), features=torch.ones(9, 2), clusters=torch.eye(3)[[1] * 9]))
    found = [TYPICAL_CLUSTERS(copies, n, Stream.root(seed)).ids.tolist() for seed in range(12)]
    assert all(len(set(ids)) == n for ids in found)
    assert len({ids[0] for ids in found}) > 2


def test_a_group_of_two_pictures_in_many_copies_shows_both() -> None:
    """Asked for three of five, one of each picture comes before the second copy of one."""
    features = arc([0.0] * 3 + [90.0] * 2).float()
    pool = view(Predictions(id_array(*range(5)), features=features, clusters=torch.eye(3)[[0] * 5]))
    found = TYPICAL_CLUSTERS(pool, 3, STREAM).ids.tolist()
    assert found[0] in (0, 1, 2) and found[1] in (3, 4) and len(set(found)) == 3
