"""MaxHerding and Uncertainty Herding: worked by hand, against a direct computation and against scikit-activeml."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skactiveml.pool import MaxHerding

from aral.acquisition import ACQUISITIONS, JointBatch, Need, PoolView, Predictions
from aral.acquisition.herding import (
    LINEAR_HERDING,
    MAXHERDING,
    UNCERTAINTY_HERDING,
    Herding,
    labelled_width,
)
from aral.logistic import calibrated_probabilities
from aral.randomness import Stream

STREAM = Stream.root(0)
RANDOM = np.random.default_rng(5)


def directions(*degrees: float) -> torch.Tensor:
    angle = np.deg2rad(degrees)
    return torch.from_numpy(np.stack([np.cos(angle), np.sin(angle)], axis=1))


def pool(
    unlabelled: torch.Tensor, labelled: torch.Tensor | None = None, probabilities: torch.Tensor | None = None
) -> PoolView:
    count = len(unlabelled)
    known = np.arange(count, count + (0 if labelled is None else len(labelled)))
    return PoolView(
        Predictions(np.arange(count), representation=unlabelled, probabilities=probabilities),
        Predictions(known, representation=labelled),
        np.zeros(known.size, dtype=np.int64),
        2,
    )


def coverage(points: np.ndarray, chosen: np.ndarray, weights: np.ndarray, width: float) -> float:
    """The objective as it is written in the paper, for vectors of any length."""
    points, chosen = (each / np.linalg.norm(each, axis=1, keepdims=True) for each in (points, chosen))
    distances = np.linalg.norm(points[:, None] - chosen[None], axis=2)
    return float((weights * np.exp(-((distances / width) ** 2)).max(axis=1)).mean())


def test_by_hand() -> None:
    """Three directions 0°, 90°, 180°; the length does not count.

    Squared distances of unit vectors: 2 at 90°, 4 at 180°. From nothing, 90° covers 1 + 2·e⁻², each end
    1 + e⁻² + e⁻⁴; then each end adds 1 − e⁻². Of three images each is a third.
    """
    vectors = directions(0, 90, 180) * torch.tensor([[1.0], [3.0], [0.5]])
    found = MAXHERDING(pool(vectors), 2, STREAM)
    assert found.ids[0] == 1
    assert found.scores.tolist() == pytest.approx([(1 + 2 * np.exp(-2)) / 3, (1 - np.exp(-2)) / 3])


def test_labelled_images_cover_their_neighbours() -> None:
    """A label at 0° covers 1° almost wholly: 180° comes first, although 1° and 2° are two."""
    found = MAXHERDING(pool(directions(1, 2, 180), directions(0)), 3, STREAM)
    assert found.ids[0] == 2
    # 180° adds nothing at 1° and 2°, where e⁻⁴ is below what the label covers already.
    assert found.scores[0] == pytest.approx((1 - np.exp(-4)) / 3)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("labels", [0, 3])
def test_each_choice_is_the_best_by_a_direct_computation(weighted: bool, labels: int) -> None:
    points, known = RANDOM.normal(size=(40, 4)), RANDOM.normal(size=(labels, 4))
    probabilities = RANDOM.dirichlet(np.full(3, 0.5), size=40)
    best = np.sort(probabilities, axis=1)
    weights = 1 - (best[:, -1] - best[:, -2]) if weighted else np.ones(40)
    unit = known / np.linalg.norm(known, axis=1, keepdims=True)
    pairs = [np.linalg.norm(unit[a] - unit[b]) for a in range(labels) for b in range(a)]
    width = min(pairs) if weighted and labels else 1.0
    view = pool(torch.from_numpy(points), torch.from_numpy(known), torch.from_numpy(probabilities))
    acquisition = UNCERTAINTY_HERDING if weighted else MAXHERDING
    found = acquisition(view, 12, STREAM)
    chosen = list(known)
    for image, score in zip(found.ids, found.scores, strict=True):
        before = coverage(points, np.array(chosen), weights, width) if chosen else 0.0
        gains = [coverage(points, np.array([*chosen, point]), weights, width) - before for point in points]
        assert score == pytest.approx(max(gains), abs=1e-12)
        assert gains[image] == pytest.approx(max(gains), abs=1e-12)
        chosen.append(points[image])
    assert (np.diff(found.scores) < 0).all()


def test_lazy_evaluation_over_several_blocks_changes_nothing() -> None:
    """Against scikit-activeml, which computes all gains in each step, with more images than a block holds."""
    points = np.random.default_rng(1).normal(size=(400, 5))
    labels = np.full(400, np.nan)
    labels[390:] = 0
    theirs = MaxHerding(metric_dict={"gamma": 1.0}, random_state=0).query(points, labels, batch_size=30)
    ours = MAXHERDING(pool(torch.from_numpy(points[:390]), torch.from_numpy(points[390:])), 30, STREAM)
    assert ours.ids.tolist() == theirs.tolist()


def test_confident_images_count_little() -> None:
    """Four confident images at 0°, one between its classes at 120°: coverage takes 0°, its weighted form 120°."""
    vectors = directions(0, 0, 0, 0, 120)
    probabilities = torch.tensor([[1.0, 0.0]] * 4 + [[0.5, 0.5]])
    view = pool(vectors, None, probabilities)
    assert MAXHERDING(view, 1, STREAM).ids[0] != 4
    found = UNCERTAINTY_HERDING(view, 1, STREAM)
    assert found.ids[0] == 4
    assert found.scores[0] == pytest.approx(1 / 5)


def test_the_width_is_the_smallest_distance_between_labelled_images() -> None:
    unit = directions(0, 60, 180).numpy()
    assert labelled_width(unit) == pytest.approx(1.0)  # the chord of 60°
    assert labelled_width(directions(0, 10, 180).numpy()) == pytest.approx(2 * np.sin(np.deg2rad(5)))
    assert labelled_width(directions(0, 0, 180).numpy()) == pytest.approx(2.0)  # copies do not count
    assert labelled_width(directions(7, 7).numpy()) == labelled_width(np.empty((0, 2))) == 1.0


def test_with_a_narrow_kernel_the_order_is_that_of_the_margins() -> None:
    degrees = np.arange(0, 350, 10)
    margins = RANDOM.permutation(degrees.size) / degrees.size
    probabilities = torch.from_numpy(np.stack([1 + margins, 1 - margins], axis=1) / 2)
    narrow = directions(355, 355.2)
    found = UNCERTAINTY_HERDING(pool(directions(*degrees), narrow, probabilities), 6, STREAM)
    assert found.ids.tolist() == np.argsort(margins)[:6].tolist()


def test_a_large_pool_is_compared_with_a_part_of_it_and_the_reasons_say_so() -> None:
    """Five groups of 400: one image of each is chosen from 100 random images as from all."""
    group = np.repeat(np.arange(5), 400)
    points = np.eye(5)[group] + np.random.default_rng(2).normal(size=(2000, 5)) * 0.05
    view = pool(torch.from_numpy(points))
    part = JointBatch("test", MAXHERDING.needs, Herding(most_compared=100))(view, 5, STREAM)
    assert sorted(group[part.ids]) == [0, 1, 2, 3, 4]
    assert all(reason.endswith("(of 100 random images)") for reason in part.reasons)
    whole = ACQUISITIONS["maxherding"](view, 5, STREAM)
    assert sorted(group[whole.ids]) == [0, 1, 2, 3, 4]
    assert not any("random" in reason for reason in whole.reasons)


def test_copies_of_what_is_covered_come_last_and_all_can_be_had() -> None:
    view = pool(directions(0, 0, 0, 90), directions(0))
    found = MAXHERDING(view, 4, STREAM)
    assert found.ids[0] == 3 and sorted(found.ids) == [0, 1, 2, 3]
    assert found.scores[1:].tolist() == [0.0, 0.0, 0.0]


def _labelled_view(classes: list[int]) -> PoolView:
    vectors = torch.from_numpy(RANDOM.normal(size=(40, 6)) * 3 + 1)
    known = np.arange(40, 40 + len(classes))
    representation = torch.from_numpy(RANDOM.normal(size=(len(classes), 6)) * 3)
    representation[:, 0] += torch.tensor(classes) * 4
    return PoolView(
        Predictions(np.arange(40), representation=vectors),
        Predictions(known, representation=representation),
        np.array(classes),
        3,
    )


def test_linear_herding_is_uncertainty_herding_with_the_probabilities_of_a_regression() -> None:
    view = _labelled_view([0, 1, 2] * 4)
    vectors = view.unlabelled.get(Need.REPRESENTATION).numpy()
    mean, scale = vectors.mean(axis=0), vectors.std(axis=0).mean()
    known = view.labelled.get(Need.REPRESENTATION).numpy()
    found = calibrated_probabilities(
        (known - mean) / scale, view.labelled_classes, 3, (vectors - mean) / scale
    )
    given = PoolView(
        Predictions(
            np.arange(40), representation=torch.from_numpy(vectors), probabilities=torch.from_numpy(found)
        ),
        Predictions(
            view.labelled.ids, representation=torch.from_numpy(known), probabilities=torch.zeros(12, 3)
        ),
        view.labelled_classes,
        3,
    )
    expected = UNCERTAINTY_HERDING(given, 6, STREAM)
    chosen = LINEAR_HERDING(view, 6, STREAM)
    assert chosen.ids.tolist() == expected.ids.tolist()
    assert chosen.scores.tolist() == pytest.approx(expected.scores.tolist())


def test_linear_herding_does_not_depend_on_the_unit_and_needs_no_second_class() -> None:
    view = _labelled_view([0, 1, 2] * 3)
    larger = PoolView(
        Predictions(view.unlabelled.ids, representation=1000 * view.unlabelled.get(Need.REPRESENTATION)),
        Predictions(view.labelled.ids, representation=1000 * view.labelled.get(Need.REPRESENTATION)),
        view.labelled_classes,
        3,
    )
    assert LINEAR_HERDING(larger, 5, STREAM).ids.tolist() == LINEAR_HERDING(view, 5, STREAM).ids.tolist()
    one = LINEAR_HERDING(_labelled_view([1, 1, 1]), 3, STREAM)
    assert np.unique(one.ids).size == 3
