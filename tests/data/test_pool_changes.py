"""Unequal classes and wrong labels in a pool, on purpose."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from aral.data import DataSet, PoolSettings, changed_pool
from aral.errors import BadInput
from aral.types import ImageSet, LabelledSet

NAMES = ("a", "b", "c", "d.e")


def data(counts: tuple[int, ...] = (100, 100, 100, 100)) -> DataSet:
    """Images whose first pixel is their number, second their class; the test set has ten of each class."""
    classes = np.repeat(np.arange(4), counts)
    pixels = torch.zeros((len(classes), 1, 2, 2), dtype=torch.uint8)
    pixels[:, 0, 0, 0] = torch.arange(len(classes)) % 250
    pixels[:, 0, 0, 1] = torch.from_numpy(classes)
    test = LabelledSet(ImageSet.of(pixels[:40]), np.arange(40) % 4, 4)
    files = tuple(f"{number}.png" for number in range(len(classes)))
    return DataSet("toy", ImageSet.of(pixels), classes, test, NAMES, "copy", pool_files=files)


def changed(whole: DataSet, **settings: Any) -> DataSet:
    return changed_pool(whole, PoolSettings.model_validate(settings))


def test_nothing_asked_for_changes_nothing() -> None:
    whole = data()
    assert changed(whole, seed=3) is whole


def test_an_exponential_long_tail_has_the_stated_ratio() -> None:
    found = changed(data(), imbalance=0.125)
    assert np.bincount(found.pool_classes).tolist() == [100, 50, 25, 13]
    assert found.note == "copy; imbalance: 188 of 400 pool images, 100 to 13 of a class"
    assert (found.pool.pixels[:, 0, 0, 1].numpy() == found.pool_classes).all(), "images keep their classes"
    numbers = [int(name.removesuffix(".png")) for name in found.pool_files]
    assert (found.pool.pixels[:, 0, 0, 0].numpy() == np.array(numbers) % 250).all(), "and their files"
    uneven = changed(data((20, 100, 100, 100)), imbalance=0.125)
    assert np.bincount(uneven.pool_classes).tolist() == [20, 10, 5, 3], "the ratio holds where classes differ"


def test_a_stronger_imbalance_keeps_a_part_of_a_weaker_one() -> None:
    weak, strong = (set(changed(data(), imbalance=each).pool_files) for each in (0.5, 0.1))
    assert strong < weak
    other = set(changed(data(), imbalance=0.1, seed=1).pool_files)
    assert other != strong and len(other) == len(strong)


def test_a_class_gets_the_stated_share_and_the_others_keep_their_proportions() -> None:
    rare = changed(data((100, 100, 100, 50)), class_shares={"d.e": 0.0625})
    assert np.bincount(rare.pool_classes).tolist() == [100, 100, 100, 20]
    frequent = changed(data((100, 100, 100, 50)), class_shares={"d.e": 0.5})
    assert np.bincount(frequent.pool_classes).tolist() == [17, 17, 17, 50]
    several = changed(data(), class_shares={"a": 0.5, "b": 0.1})
    assert np.bincount(several.pool_classes).tolist() == [100, 20, 40, 40]


def test_symmetric_noise_changes_the_stated_share_of_labels_to_any_other_class() -> None:
    whole = data()
    noisy = changed(whole, label_noise=0.3)
    wrong = noisy.pool_classes != whole.pool_classes
    assert wrong.sum() == 120 and noisy.note == "copy; label noise: symmetric, 120 of 400 pool labels wrong"
    pairs = {
        (int(a), int(b)) for a, b in zip(whole.pool_classes[wrong], noisy.pool_classes[wrong], strict=True)
    }
    assert len(pairs) == 12, "each class is taken for each other one"
    assert noisy.pool is whole.pool and noisy.test is whole.test, "images and test set stay"
    more = changed(whole, label_noise=0.5)
    assert (more.pool_classes[wrong] == noisy.pool_classes[wrong]).all(), "more noise, the same and more"
    assert (changed(whole, label_noise=0.3, seed=1).pool_classes != noisy.pool_classes).any()


def test_pair_noise_takes_a_class_for_one_other() -> None:
    whole = data()
    noisy = changed(whole, label_noise=0.25, noise="pair")
    wrong = noisy.pool_classes != whole.pool_classes
    assert wrong.sum() == 100
    assert (noisy.pool_classes[wrong] == (whole.pool_classes[wrong] + 1) % 4).all()
    confused = changed(whole, label_noise=0.5, noise="pair", confusions={"a": "d.e"})
    wrong = confused.pool_classes != whole.pool_classes
    assert (
        wrong.sum() == 50
        and set(whole.pool_classes[wrong]) == {0}
        and set(confused.pool_classes[wrong]) == {3}
    )
    assert "50 of 100 pool labels of a wrong" in confused.note


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"imbalance": 0.5, "class_shares": {"a": 0.1}}, "contradict"),
        ({"class_shares": {"a": 1.5}}, "between 0 and 1"),
        ({"class_shares": {"a": 0.6, "b": 0.6}}, "more than 1"),
        ({"confusions": {"a": "b"}, "label_noise": 0.1}, "belong to noise"),
        ({"confusions": {"a": "b"}, "noise": "pair"}, "label_noise above 0"),
        ({"confusions": {"a": "a"}, "noise": "pair", "label_noise": 0.1}, "two different"),
        ({"imbalance": 0}, "greater than 0"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        PoolSettings.model_validate(settings)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"class_shares": {"x": 0.1}}, "pool.class_shares: Unknown class 'x'"),
        ({"imbalance": 0.001}, "no image of d.e"),
        ({"class_shares": {"a": 0.5, "b": 0.5}}, "2 classes have no share"),
        ({"class_shares": dict.fromkeys(NAMES, 0.2)}, "sum to 0.8"),
        (
            {"label_noise": 0.1, "noise": "pair", "confusions": {"a": "y"}},
            "pool.confusions: Unknown class 'y'",
        ),
    ],
)
def test_what_the_data_cannot_give_is_named(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        changed(data(), **settings)
