"""Oracles: the true class of each image asked for, each once; annotators that are wrong or do not know."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from aral.loop import GroundTruth, Oracle, OracleSettings, SimulatedAnnotator
from aral.randomness import Stream
from aral.types import Answer, ClassAnswer, NoClass, NoClassAnswer, Selection


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


IDS = np.arange(4000)
CLASSES = IDS % 4


def annotator(wrong: object = 0.0, unknown: float = 0.0, seed: int = 0) -> SimulatedAnnotator:
    stream = Stream.root(seed).child("oracle")
    return SimulatedAnnotator(
        IDS, CLASSES, 4, np.broadcast_to(wrong, IDS.shape).astype(float), unknown, stream
    )


def answers(oracle: Oracle, *images: int) -> list[Answer]:
    oracle.request(ask(*(images or IDS.tolist())))
    return oracle.collect()


def test_a_noisy_oracle_is_wrong_as_often_as_stated_and_never_with_the_true_class() -> None:
    found = {
        each.image_id: each.class_index for each in answers(annotator(0.3)) if isinstance(each, ClassAnswer)
    }
    given = np.array([found[image] for image in IDS])
    wrong = given != CLASSES
    assert abs(wrong.mean() - 0.3) < 0.03
    shifts = np.bincount((given - CLASSES)[wrong] % 4, minlength=4)
    assert shifts[0] == 0 and (abs(shifts[1:] / wrong.sum() - 1 / 3) < 0.05).all(), "any other class"
    certain = answers(annotator(np.where(CLASSES == 2, 1.0, 0.0)))
    assert all(
        isinstance(each, ClassAnswer)
        and (each.class_index != CLASSES[each.image_id]) == (CLASSES[each.image_id] == 2)
        for each in certain
    )


def test_a_partial_oracle_does_not_know_as_often_as_stated() -> None:
    found = answers(annotator(0.3, 0.25))
    unsure = [each for each in found if isinstance(each, NoClassAnswer)]
    assert abs(len(unsure) / len(found) - 0.25) < 0.03
    assert {each.reason for each in unsure} == {NoClass.UNSURE}


def test_an_answer_belongs_to_its_image_whenever_it_is_asked() -> None:
    everything = answers(annotator(0.3, 0.25))
    oracle = annotator(0.3, 0.25)
    later = answers(oracle, 3999, 7) + answers(oracle, 12)
    assert later == [everything[3999], everything[7], everything[12]]
    other = answers(annotator(0.3, 0.25, seed=1))
    assert other != everything


def test_settings_say_whether_an_oracle_is_exact_and_has_costs() -> None:
    assert OracleSettings().is_exact and not OracleSettings().has_costs
    for settings in ({"wrong": 0.1}, {"unknown": 0.1}, {"wrong_by_class": {"a": 0.1}}, {"cost": 1}):
        assert not OracleSettings.model_validate(settings).is_exact
    for bad in ({"wrong": 1.5}, {"wrong_by_class": {"a": 2}}, {"cost_by_class": {"a": 0}}, {"unknown": 1}):
        with pytest.raises(ValidationError):
            OracleSettings.model_validate(bad)
    with pytest.raises(ValidationError, match="contradict"):
        OracleSettings(cost=1, cost_file="x.csv")
