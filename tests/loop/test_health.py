"""What is said of the latent codes and of the generator, by the numbers of a round."""

from __future__ import annotations

import math

import pytest

from aral.loop import Store
from aral.loop.health import chance_at_most, generator_warning, latent_warning
from aral.randomness import Stream
from aral.testing import FakeLearner, planted_data
from aral.types import LabelledSet

WELL = {
    "latent std": 0.9,
    "latent KL": 20.0,
    "classes seen": 10.0,
    "generated recognised": 0.8,
    "generated spread": 0.7,
    "D against G": 0.9,
}


def test_nothing_is_said_of_what_works_or_is_not_there() -> None:
    assert latent_warning(WELL) == generator_warning(WELL) == ""
    assert latent_warning({"classes seen": 3.0}) == generator_warning({"classes seen": 3.0}) == ""


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"generated recognised": 0.12}, "recognised in 12 % (10 % is chance)"),
        ({"generated spread": 0.02}, "2.0 % of that of labelled images"),
        ({"D against G": 0.004}, "D is saturated (its loss against generated images is 0.004 nats)"),
        ({"D against G": math.nan}, "D is saturated"),
    ],
)
def test_each_sign_is_named_alone(changed: dict[str, float], said: str) -> None:
    found = generator_warning(WELL | changed)
    assert said in found and ";" not in found


def test_signs_are_joined() -> None:
    assert generator_warning(WELL | {"generated spread": 0.0, "D against G": 0.0}).count(";") == 1


def test_chance_depends_on_the_classes() -> None:
    """Two classes, 200 generated images: 0.5 + 3·√(0.25 / 200)."""
    assert chance_at_most(2) == pytest.approx(0.5 + 3 * (0.25 / 200) ** 0.5)
    two = WELL | {"classes seen": 2.0}
    assert generator_warning(two | {"generated recognised": 0.6})
    assert not generator_warning(two | {"generated recognised": 0.61})


def test_latents() -> None:
    assert latent_warning(WELL | {"latent KL": 0.17}) == "latent KL is 0.17, below 1 nats"
    assert "latent std" in latent_warning(WELL | {"latent std": math.nan})


class WithoutClasses(FakeLearner):
    """Its generated images are recognised at chance."""

    def check_generated(self, labelled: LabelledSet, stream: Stream) -> dict[str, float]:
        """A third, of three classes."""
        return {"generated recognised": 1 / 3, "generated spread": 1.0}


def test_a_run_says_it_once_and_records_it_in_every_round(store: Store, make_session, answer_all) -> None:
    session = make_session(store, WithoutClasses(3))
    for _ in range(2):
        session.ask(9)
        answer_all(session)
        session.fit()
        session.evaluate(planted_data().test)
    said = [event.message for event in store.events() if event.kind == "generator"]
    assert len(said) == 1 and "recognised in 33 % (33 % is chance)" in said[0]
    assert [row.round for row in store.metrics("generated recognised")] == [0, 1]
    assert not store.metrics("D against G"), "this learner has no D that judges generated images"
