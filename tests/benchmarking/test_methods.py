"""Methods by name: learner and acquisition, and the nearest name for a wrong one."""

from __future__ import annotations

import pytest
import torch
from aral.learners.spec import Model, Training

from aral.acquisition import ACQUISITIONS
from aral.benchmarking.methods import LEARNERS, OWN_ACQUISITION, SHORT_NAMES, Method, make_learner
from aral.errors import BadInput
from aral.learners import Learner
from aral.networks import MlpFamily
from aral.randomness import Stream
from aral.types import ImageSet


@pytest.mark.parametrize(
    ("text", "learner", "acquisition"),
    [
        ("aral", "aral", "aral-graph"),
        ("aral+random", "aral", "random"),
        ("aral-released", "aral-released", "aral"),
        ("aral-released+aral-diverse", "aral-released", "aral-diverse"),
        ("random", "supervised", "random"),
        ("supervised", "supervised", "random"),
        ("vaal", "vaal", "vaal"),
        ("aral-paper", "aral-paper", "aral"),
        ("aral-paper+bald", "aral-paper", "bald"),
        ("supervised+max-entropy", "supervised", "max-entropy"),
    ],
)
def test_parse(text: str, learner: str, acquisition: str) -> None:
    method = Method.parse(text)
    assert (method.learner, method.acquisition) == (learner, acquisition)
    assert str(method) == f"{learner}+{acquisition}"
    assert Method.parse(str(method)) == method


def test_every_name_in_the_tables_exists() -> None:
    assert OWN_ACQUISITION.keys() == LEARNERS.keys()
    assert set(OWN_ACQUISITION.values()) <= set(ACQUISITIONS)
    for name in [*LEARNERS, *SHORT_NAMES]:
        assert Method.parse(name).learner in LEARNERS


@pytest.mark.parametrize(
    ("text", "problem", "hint"),
    [
        ("supervise", "Unknown method 'supervise'", "Did you mean 'supervised'"),
        ("aral-papr+bald", "Unknown method 'aral-papr'", "Did you mean 'aral-paper'"),
        ("supervised+bold", "Unknown acquisition 'bold'", "Did you mean 'bald'"),
        ("supervised+", "names no acquisition", "Try 'supervised+random'"),
        ("aral+bold", "Unknown acquisition 'bold'", "Did you mean 'bald'"),
        ("ceal+bald", "'ceal' is short for 'pseudo-label+least-confidence'", "Try 'pseudo-label+bald'"),
        ("random+", "'random' is short for 'supervised+random'", "Try 'supervised+random'"),
    ],
)
def test_wrong_names(text: str, problem: str, hint: str) -> None:
    with pytest.raises(BadInput) as caught:
        Method.parse(text)
    assert problem in caught.value.problem
    assert hint in caught.value.hint
    # What is suggested works.
    Method.parse(hint.split("'")[1] if "+" in hint else Method.parse("aral").learner)


def make(name: str) -> Learner:
    networks = MlpFamily(encoder_sizes=(4,), generator_sizes=(4,), discriminator_sizes=(4,))
    model = Model(networks=networks, latent_size=2, training=Training(steps=7))
    pool = ImageSet.of(torch.zeros(5, 1, 8, 8, dtype=torch.uint8))
    return make_learner(name, model, pool, 3, Stream.root(0))


@pytest.mark.parametrize("name", sorted(LEARNERS))
def test_every_learner_is_made_and_supplies_its_own_acquisition(name: str) -> None:
    learner = make(name)
    assert learner.steps_per_round == 7
    assert ACQUISITIONS[OWN_ACQUISITION[name]].needs <= learner.supplies


def test_an_unknown_learner_is_refused() -> None:
    with pytest.raises(BadInput, match="Did you mean 'vaal'"):
        make("val")
