"""Large pools: no memory for all pairs of images; blocks and lazy evaluation change nothing; reasons name parts."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aral.acquisition import ACQUISITIONS, JointBatch, Need, PoolView, Predictions, geometry, interface, lazy
from aral.acquisition.badge import residuals, squared_gradient_distances, squared_gradient_norms
from aral.acquisition.coverage import FEATURES, BallBits, Balls, KCentre
from aral.acquisition.geometry import lowered, squared_distances
from aral.acquisition.interface import argmax_with_ties
from aral.acquisition.lazy import LazyMaximum
from aral.randomness import Stream

from .pools import id_array, view, view_of

STREAM = Stream.root(0)

WITHIN_A_LIMIT = """
import resource, sys
from pathlib import Path
import numpy as np
import torch
from aral.acquisition import ACQUISITIONS, PoolView, Predictions
from aral.randomness import Stream
from aral.testing import planted_view

torch.set_num_threads(1)
IMAGES, LIMIT = 12_000, 120 << 20  # a matrix of one byte a pair has 144 MB

def data():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmData:"))

small, large = planted_view(range(300), range(300, 310)), planted_view(range(IMAGES), range(IMAGES, IMAGES + 10))
for acquisition in ACQUISITIONS.values():
    acquisition(small, 5, Stream.root(0))  # imports what it uses
resource.setrlimit(resource.RLIMIT_DATA, (data() + LIMIT, resource.RLIM_INFINITY))
try:
    np.ones((IMAGES, IMAGES), dtype=bool)
except MemoryError:
    print("all pairs do not fit")
for name in sys.argv[1:]:
    print(name, len(ACQUISITIONS[name](large, 20, Stream.root(0))), flush=True)
"""


@pytest.mark.slow
def test_no_acquisition_holds_all_pairs_of_images() -> None:
    """All acquisitions in one process whose memory would not hold a byte for each pair."""
    names = sorted(ACQUISITIONS)
    done = subprocess.run(
        [sys.executable, "-c", WITHIN_A_LIMIT, *names], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines() == ["all pairs do not fit", *(f"{name} 20" for name in names)]


@pytest.mark.parametrize("name", sorted(ACQUISITIONS))
def test_small_blocks_and_few_leaders_change_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = view_of(range(60), [100, 101, 102])
    expected = ACQUISITIONS[name](pool, 12, STREAM)
    monkeypatch.setattr(geometry, "BLOCK", 10)
    monkeypatch.setattr(interface, "BLOCK", 10)
    monkeypatch.setattr(lazy, "_LEADERS", 6)
    found = ACQUISITIONS[name](pool, 12, STREAM)
    assert found.ids.tolist() == expected.ids.tolist()
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-12)


def test_outputs_of_a_part_share_the_memory_of_the_whole() -> None:
    """Rows of rows are those rows, and nothing is copied before it is read."""
    features = torch.arange(40.0).reshape(20, 2)
    whole = Predictions(np.arange(20), features=features, synthesised=torch.ones(3, 2))
    part = whole.rows(id_array(5, 3, 11, 7)).rows(id_array(3, 0))
    assert part.ids.tolist() == [7, 5] and torch.equal(part.get(Need.FEATURES), features[[7, 5]])
    assert part.source(Need.FEATURES)[0].data_ptr() == features.data_ptr()
    assert len(part.get(Need.SYNTHESISED)) == 3
    joined = part.joined({Need.PROBABILITIES: torch.tensor([[0.5, 0.5], [1.0, 0.0]])})
    assert torch.equal(joined.get(Need.FEATURES), features[[7, 5]])


# Lazy evaluation


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_the_highest_of_falling_values(data: st.DataObject) -> None:
    """Values fall at random between calls; the highest, or one after a few that are passed over, is always found."""
    size = data.draw(st.integers(3, 40))
    numbers = np.random.default_rng(data.draw(st.integers(0, 1000)))
    values = numbers.integers(0, 9, size).astype(np.float64)
    ties = numbers.permutation(size) / size
    computed = []
    maximum = LazyMaximum(
        values + numbers.integers(0, 3, size),
        lambda rows: computed.append(rows.size) or values[rows],
        ties,
        block=2,
    )
    maximum._leaders = np.arange(2)  # all but two rows are outside
    maximum._outside = float(maximum.bounds[2:].max())
    for _ in range(size - 2):
        skipped = data.draw(st.integers(0, 1))
        left = np.where(np.isfinite(maximum.bounds), values, -np.inf)
        limit = np.sort(left)[::-1][skipped]
        expected = argmax_with_ties(np.where(left > limit, -np.inf, left), ties)
        assert maximum.highest(skipped) == expected
        maximum.bounds[expected] = -np.inf
        values -= numbers.integers(0, 2, size)


def test_few_values_are_computed() -> None:
    """When values hardly fall, a step computes a few of 100,000."""
    values = np.linspace(1, 0, 100_000)
    counts: list[int] = []
    maximum = LazyMaximum(
        values.copy(), lambda rows: counts.append(rows.size) or values[rows], np.zeros(100_000)
    )
    for expected in range(50):
        assert maximum.highest() == expected
        maximum.bounds[expected] = -np.inf
    assert sum(counts) <= 50 * 64


POINTS = np.random.default_rng(2).normal(size=(400, 6)).round(1)
"""Rounded, so that some distances are equal."""


def spread_pool() -> PoolView:
    features = torch.from_numpy(POINTS)
    known = Predictions(np.arange(400, 403), features=features[:3] + 0.05)
    return view(Predictions(np.arange(400), features=features), known)


@pytest.mark.parametrize("outliers", [0.0, 0.01, 0.1])
@pytest.mark.parametrize("leaders", [5, 4096])
def test_core_set_is_that_of_a_pass_over_the_pool_for_each_choice(
    outliers: float, leaders: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lazy, "_LEADERS", leaders)
    pool = spread_pool()
    found = JointBatch("test", FEATURES, KCentre(outliers=outliers))(pool, 120, STREAM)
    ties = STREAM.child("ties").uniform(pool.unlabelled.ids)
    known = pool.labelled.get(Need.FEATURES).numpy()
    nearest = np.min([squared_distances(POINTS, centre[None]) for centre in known], axis=0)
    for image, score in zip(found.ids, found.scores, strict=True):
        left = np.isfinite(nearest).sum()
        passed_over = min(int(np.ceil(outliers * 400)), left - 1)
        limit = np.sort(nearest)[::-1][passed_over]
        row = argmax_with_ties(np.where(nearest > limit, -np.inf, nearest), ties)
        assert image == row and score == np.sqrt(nearest[row])
        nearest = np.minimum(nearest, squared_distances(POINTS, POINTS[[row]]))
        nearest[row] = -np.inf


def test_badge_draws_as_a_pass_over_the_pool_for_each_choice_does() -> None:
    numbers = np.random.default_rng(3)
    probabilities = numbers.dirichlet(np.full(4, 0.3), size=400)
    probabilities[50:60] = probabilities[50]  # copies
    points = POINTS.copy()
    points[50:60] = points[50]
    images = Predictions(
        np.arange(400), probabilities=torch.from_numpy(probabilities), features=torch.from_numpy(points)
    )
    found = ACQUISITIONS["badge"](view(images), 150, STREAM)
    a = residuals(probabilities)
    nearest, free = np.full(400, np.inf), np.ones(400, dtype=bool)
    row = int(squared_gradient_norms(a, points).argmax())
    for step, image in enumerate(found.ids):
        assert image == row
        free[row] = False
        nearest = np.minimum(nearest, squared_gradient_distances(a, points, row))
        uniform = STREAM.child("draw", step + 1).uniform(images.ids)
        with np.errstate(divide="ignore", invalid="ignore"):
            times = np.where(free & (nearest > 0), -np.log1p(-uniform) / nearest, np.inf)
        row = int(times.argmin())


# What is computed from a part


def test_squared_distances_to_the_nearest_centre_are_exact_for_copies() -> None:
    centres = np.concatenate([POINTS[5:9], POINTS[5:9] + 1e-7])
    found = lowered(np.full(400, np.inf), POINTS, centres)
    expected = np.min([squared_distances(POINTS, centre[None]) for centre in centres], axis=0)
    assert found.tolist() == expected.tolist() and found[6] == 0.0
    assert lowered(np.full(400, 0.5), POINTS, centres).tolist() == np.minimum(expected, 0.5).tolist()


@pytest.mark.parametrize("radius", [0.0, 0.5, 1.3, 3.0])
def test_bits_hold_what_counting_finds(radius: float) -> None:
    """At distances that occur exactly too, far from the origin; the number of points is no multiple of eight."""
    points = np.concatenate([POINTS[:, :2].round(0) / 2 + 50, POINTS[:3, :2]])
    bits, counted = BallBits(points, radius), Balls(points, radius)
    centres = np.array([0, 7, 400, 401, 402, 33])
    assert bits.count(centres).tolist() == counted.count(centres).tolist()
    assert (bits.count(np.arange(403)) == counted.count(np.arange(403))).all()
    assert (bits.inside(402) == counted.inside(402)).all()


@pytest.mark.parametrize(
    "name", ["typical-entropy", "typical-graph", "typical-clusters", "dropquery", "alfa-mix", "aral-typical"]
)
def test_many_candidates_are_clustered_by_a_part_of_them_and_the_reasons_say_so(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = view_of(range(2000), [])
    assert not any("random images" in why for why in ACQUISITIONS[name](pool, 6, STREAM).reasons)
    monkeypatch.setattr(geometry, "MOST_FITTED", 40)
    found = ACQUISITIONS[name](pool, 6, STREAM)
    assert all(why.endswith("centres from 40 random images") for why in found.reasons)
    assert np.unique(found.ids).size == 6
