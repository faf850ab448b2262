"""Logistic regression on features: exact, calibrated, and honest about classes without labels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from sklearn.model_selection import StratifiedKFold

from aral.acquisition.interface import Need
from aral.learners import LinearSettings, Task
from aral.logistic import calibrated_temperature, cross_entropy_of, fit_logistic
from aral.randomness import Stream
from aral.types import ImageSet, LabelledSet

STREAM = Stream.root(3)


def _blobs(count: int, class_count: int, spread: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    classes = np.arange(count) % class_count
    centres = random.normal(size=(class_count, 4)) * 2
    return centres[classes] + spread * random.normal(size=(count, 4)), classes.astype(np.int64)


def _learner(features: np.ndarray, classes: np.ndarray, class_count: int, **settings: object):  # type: ignore[no-untyped-def]
    pool = ImageSet.of(torch.from_numpy(features).float()[:, :, None, None])
    labelled = LabelledSet(pool, classes, class_count)
    task = Task(pool.shape, class_count, STREAM)
    learner = LinearSettings.model_validate({"name": "linear", **settings}).build(task)
    learner.set_pool(pool, STREAM)
    learner.start_round(0, labelled, pool.without(labelled.ids), STREAM)
    return learner, pool, learner.step(0)


@pytest.mark.parametrize("class_count", [2, 3])
def test_the_solution_minimises_the_penalised_cross_entropy(class_count: int) -> None:
    features, classes = _blobs(30, class_count)
    weights, bias = fit_logistic(features, classes, class_count, inverse_penalty=0.7)

    def objective(flat: np.ndarray) -> float:
        w, b = flat[: weights.size].reshape(weights.shape), flat[weights.size :]
        squared = (w**2).sum() / 2 if class_count > 2 else ((w[1] - w[0]) ** 2).sum() / 2
        return cross_entropy_of(features @ w.T + b, classes) * len(classes) + squared / 0.7

    here = objective(np.concatenate([weights.ravel(), bias]))
    best = minimize(objective, np.zeros(weights.size + bias.size)).fun
    assert here == pytest.approx(best, rel=1e-4)


def test_a_class_without_labels_is_never_predicted() -> None:
    features, classes = _blobs(20, 2)
    learner, pool, _ = _learner(features, classes * 2, 4)
    found = learner.predict(pool, {Need.PROBABILITIES}, STREAM).get(Need.PROBABILITIES)
    assert set(found.argmax(dim=1).tolist()) == {0, 2}
    assert found[:, [1, 3]].max() < 0.02


def test_labels_of_one_class_predict_that_class() -> None:
    features, _ = _blobs(6, 2)
    learner, pool, _ = _learner(features, np.ones(6, dtype=np.int64), 3)
    found = learner.predict(pool, {Need.PROBABILITIES}, STREAM).get(Need.PROBABILITIES)
    assert (found.argmax(dim=1) == 1).all()


def test_the_temperature_is_the_best_one_on_held_out_labels() -> None:
    features, classes = _blobs(40, 3, spread=3.0)
    found = calibrated_temperature(features, classes, 3, inverse_penalty=100.0)
    held_logits, held_classes = [], []
    for rest, held in StratifiedKFold(5, shuffle=True, random_state=0).split(features, classes):
        weights, bias = fit_logistic(features[rest], classes[rest], 3, 100.0)
        held_logits.append(features[held] @ weights.T + bias)
        held_classes.append(classes[held])
    logits, truth = np.concatenate(held_logits), np.concatenate(held_classes)
    grid = np.exp(np.linspace(-2, 2.9, 200))
    losses = [cross_entropy_of(logits / temperature, truth) for temperature in grid]
    assert found == pytest.approx(grid[int(np.argmin(losses))], rel=0.05)
    assert found > 1.5  # overlapping classes and hardly any penalty: far too confident


def test_a_class_with_one_label_is_trained_on_in_every_fold() -> None:
    """It cannot be held out, but it is one of the classes that the others are told from."""
    features, classes = _blobs(40, 2, spread=3.0)
    alone = features.mean(axis=0, keepdims=True)
    with_alone = np.concatenate([features, alone]), np.append(classes, 2)
    logits, truth = [], []
    for rest, held in StratifiedKFold(5, shuffle=True, random_state=0).split(features, classes):
        used = np.append(rest, 40)
        weights, bias = fit_logistic(with_alone[0][used], with_alone[1][used], 3, 100.0)
        logits.append(features[held] @ weights.T + bias)
        truth.append(classes[held])
    grid = np.exp(np.linspace(-2, 2.9, 400))
    found = np.concatenate(logits), np.concatenate(truth)
    losses = [cross_entropy_of(found[0] / temperature, found[1]) for temperature in grid]
    expected = grid[int(np.argmin(losses))]
    assert calibrated_temperature(*with_alone, 3, 100.0) == pytest.approx(expected, rel=0.03)
    assert calibrated_temperature(features, classes, 3, 100.0) != pytest.approx(expected, rel=0.03)


def test_calibration_divides_the_logits_and_changes_no_class() -> None:
    features, classes = _blobs(40, 3, spread=3.0)
    settings = {"inverse_penalty": 100.0}
    plain, pool, _ = _learner(features, classes, 3, calibrated=False, **settings)
    milder, _, losses = _learner(features, classes, 3, **settings)
    first, second = (
        learner.predict(pool, {Need.PROBABILITIES}, STREAM).get(Need.PROBABILITIES).log()
        for learner in (plain, milder)
    )
    ratio = (first[:, 0] - first[:, 1]) / (second[:, 0] - second[:, 1])
    assert ratio.numpy() == pytest.approx(losses.values["temperature"], rel=1e-2)


def test_its_state_is_its_weights() -> None:
    features, classes = _blobs(20, 2)
    learner, pool, _ = _learner(features, classes, 2)
    other, *_ = _learner(-features, classes, 2)
    other.load_state_dict(learner.state_dict())
    one, two = (each.predict(pool, {Need.PROBABILITIES}, STREAM) for each in (learner, other))
    assert torch.equal(one.get(Need.PROBABILITIES), two.get(Need.PROBABILITIES))
