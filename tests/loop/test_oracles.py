"""The benchmark's oracle: the true class of each image asked for, each once."""

from __future__ import annotations

import numpy as np

from aral.loop import GroundTruth, Oracle
from aral.types import ClassAnswer, Selection


def ids(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def ask(*images: int) -> Selection:
    return Selection(ids(*images), np.zeros(len(images)), "test", ("",) * len(images))


def oracle() -> GroundTruth:
    """The class of image i is i mod 7, listed out of order."""
    listed = ids(50, 3, 20, 8, 41)
    return GroundTruth(listed, listed % 7)


def test_answers_belong_to_their_images() -> None:
    truth: Oracle = oracle()
    truth.request(ask(41, 3, 50))
    assert truth.collect() == [ClassAnswer(41, 6), ClassAnswer(3, 3), ClassAnswer(50, 1)]
    assert truth.name == "ground truth"


def test_answers_come_once() -> None:
    truth = oracle()
    assert truth.collect() == []
    truth.request(ask(8))
    truth.request(ask(20))
    assert [answer.image_id for answer in truth.collect()] == [8, 20]
    assert truth.collect() == []


def test_asking_twice_is_harmless() -> None:
    truth = oracle()
    truth.request(ask(8, 20))
    truth.request(ask(20, 3))
    assert truth.collect() == [ClassAnswer(8, 1), ClassAnswer(20, 6), ClassAnswer(3, 3)]


def test_says_nothing_of_images_nobody_asked_for() -> None:
    truth = oracle()
    truth.request(ask(3))
    assert [answer.image_id for answer in truth.collect()] == [3]
