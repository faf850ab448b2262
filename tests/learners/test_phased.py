"""The learner as a session uses it: steps as functions, state in and out, prediction, trouble."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from aral.learners.optimisers import rate_factor
from aral.learners.spec import Ramp, Training

from aral.acquisition import Need
from aral.errors import BadInput
from aral.learners import Objective, evaluate
from aral.learners.aral import aral
from aral.randomness import Stream
from aral.testing import planted_data, planted_pool, tiny_model
from aral.types import ImageSet, LabelledSet

from .test_phases import CPU, ready


def weights(learner) -> dict[str, torch.Tensor]:
    return learner.state_dict()


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.mark.parametrize("kind", ["paper", "released", "vaal", "supervised"])
def test_training_resumes_bit_for_bit_from_any_step(kind: str) -> None:
    straight = ready(kind)
    for index in range(6):
        straight.step(index)
    first = ready(kind)
    for index in range(3):
        first.step(index)
    state = first.state_dict()
    resumed = ready(kind)
    torch.rand(7)  # a disturbed global generator changes nothing
    resumed.load_state_dict(state)
    for index in range(3, 6):
        resumed.step(index)
    assert same(weights(straight), weights(resumed))


def test_a_step_leaves_the_global_generator_alone() -> None:
    learner = ready("paper")
    before = torch.get_rng_state()
    learner.step(0)
    assert torch.equal(before, torch.get_rng_state())


def test_another_step_index_gives_other_weights() -> None:
    one, other = ready("released"), ready("released")
    one.step(0)
    other.step(1)
    assert not same(weights(one), weights(other))


def test_a_state_of_other_networks_is_refused() -> None:
    data = planted_data()
    small = aral(tiny_model(), Objective.PAPER, data.pool.shape, 3, Stream.root(0), CPU)
    large = aral(tiny_model(), Objective.PAPER, (1, 8, 8), 3, Stream.root(0), CPU)
    with pytest.raises(BadInput, match="does not fit"):
        small.load_state_dict(large.state_dict())


def test_non_finite_losses_move_nothing_and_are_reported() -> None:
    learner = ready("paper")
    with torch.no_grad():
        next(learner.nets.generator.parameters()).fill_(float("nan"))
    before = {name: value for name, value in weights(learner).items() if name.startswith("discriminator")}
    losses = learner.step(0)
    assert "D" in losses.skipped and "E+G" in losses.skipped
    after = weights(learner)
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_slowing_down_halves_rates_and_survives_a_save() -> None:
    learner = ready("supervised")
    learner.halve_learning_rates()
    other = ready("supervised")
    other.load_state_dict(learner.state_dict())
    assert other._optimisers.scale == 0.5


def test_the_rate_is_flat_and_then_falls_to_zero() -> None:
    training = Training(flat_share=2 / 3)
    factors = [rate_factor(index, 12, training) for index in (0, 6, 8, 10, 12)]
    assert factors == pytest.approx([1, 1, 1, 0.5, 0])


def test_the_rate_rises_in_the_first_steps() -> None:
    """A quarter, two, three and four quarters; then flat to step 6 of 12, then from 1 down by sixths."""
    training = Training(flat_share=0.5, warm_up=4)
    factors = [rate_factor(index, 12, training) for index in range(12)]
    falling = [5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6]
    assert factors == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1, 1, *falling])


def test_a_warm_up_longer_than_the_flat_part_multiplies_the_fall() -> None:
    """Steps 2 and 3 of 4 have (3/8, 4/8) of the rise and (1, 1/2) of the fall."""
    factors = [rate_factor(index, 4, Training(flat_share=0.5, warm_up=8)) for index in range(4)]
    assert factors == pytest.approx([1 / 8, 2 / 8, 3 / 8, 4 / 8 / 2])
    assert rate_factor(0, 0, Training()) == 1


@pytest.mark.parametrize("warm_up", [0, 4])
def test_the_first_step_is_as_long_as_the_warm_up_allows(warm_up: int) -> None:
    """Adam's first step is its rate in every weight that has a gradient."""
    learner = ready("supervised", warm_up=warm_up, steps=100)
    before = weights(learner)
    learner.step(0)
    after = weights(learner)
    rate = learner._model.optimisers.discriminator.rate
    moved = max(
        float((after[name] - value).abs().max())
        for name, value in before.items()
        if name.startswith("discriminator.")
    )
    assert moved == pytest.approx(rate / 4 if warm_up else rate, rel=1e-2)


def test_a_ramp_rises_between_its_ends() -> None:
    ages = (0, 10, 15, 20, 99)
    assert [Ramp(begin=10, end=20).at(age) for age in ages] == [0, 0, 0.5, 1, 1]
    assert [Ramp(begin=10, end=20, falling=True).at(age) for age in ages] == [1, 1, 0.5, 0, 0]
    assert Ramp().at(0) == 1 and Ramp(falling=True).at(0) == 0
    switch = Ramp(begin=7, end=7)
    assert [switch.at(6), switch.at(7)] == [0, 1]


def test_predictions_come_in_order_of_id_whatever_the_chunk() -> None:
    data = planted_data()
    whole = ready("paper", scoring_batch=1000)
    pieces = ready("paper", scoring_batch=7)
    needs = [Need.PROBABILITIES, Need.FEATURES, Need.LATENTS, Need.SAMPLER_LOGITS]
    one, other = (learner.predict(data.pool, needs, Stream.root(0)) for learner in (whole, pieces))
    assert (one.ids == data.pool.ids).all()
    for need in needs:
        torch.testing.assert_close(one.get(need), other.get(need))
    torch.testing.assert_close(one.get(Need.PROBABILITIES).sum(dim=1), torch.ones(len(data.pool)))


def test_only_dropout_and_noise_wake_up_for_monte_carlo_passes() -> None:
    data = planted_data()
    learner = ready("supervised", mc_passes=4)
    prediction = learner.predict(data.pool, [Need.MC_PROBABILITIES], Stream.root(0))
    passes = prediction.get(Need.MC_PROBABILITIES)
    assert passes.shape == (len(data.pool), 4, 3)
    assert (passes.std(dim=1) > 0).any()
    calm = learner.predict(data.pool, [Need.PROBABILITIES], Stream.root(1)).get(Need.PROBABILITIES)
    assert torch.equal(
        calm, learner.predict(data.pool, [Need.PROBABILITIES], Stream.root(2)).get(Need.PROBABILITIES)
    )


def test_the_encoder_is_told_what_the_classifier_thinks() -> None:
    """At query time C(x) conditions E: with another classifier the codes of the same images change."""
    data = planted_data()
    learner = ready("paper", average_decay=0.0)
    before = learner.predict(data.pool, [Need.LATENTS], Stream.root(0)).get(Need.LATENTS)
    with torch.no_grad():
        learner.nets.discriminator.classify.__self__.class_layer.bias.add_(torch.tensor([9.0, 0.0, 0.0]))
    after = learner.predict(data.pool, [Need.LATENTS], Stream.root(0)).get(Need.LATENTS)
    assert not torch.allclose(before, after)


def test_everything_labelled_still_trains() -> None:
    data = planted_data()
    learner = aral(tiny_model(), Objective.PAPER, data.pool.shape, 3, Stream.root(0), CPU)
    everything = LabelledSet(data.pool, data.pool_classes, 3)
    nothing = ImageSet(data.pool.pixels, np.empty(0, dtype=np.int64))
    learner.start_round(0, everything, nothing, Stream.root(0))
    assert not learner.step(0).skipped


def test_training_without_labels_is_refused() -> None:
    data = planted_data()
    learner = aral(tiny_model(), Objective.PAPER, data.pool.shape, 3, Stream.root(0), CPU)
    empty = np.empty(0, dtype=np.int64)
    with pytest.raises(BadInput, match="at least one labelled"):
        learner.start_round(0, LabelledSet(data.pool.subset(empty), empty, 3), data.pool, Stream.root(0))


@pytest.mark.parametrize(("class_count", "side", "said"), [(4, 6, "4 classes"), (3, 8, "take")])
def test_data_of_another_form_are_refused(class_count: int, side: int, said: str) -> None:
    pool, classes = planted_pool(12, 3, Stream.root(0), side)
    learner = aral(tiny_model(), Objective.PAPER, (1, 6, 6), 3, Stream.root(0), CPU)
    labelled = LabelledSet(pool.subset(pool.ids[:4]), classes[:4], class_count)
    with pytest.raises(BadInput, match=said):
        learner.start_round(0, labelled, pool.without(labelled.ids), Stream.root(0))


@pytest.mark.parametrize("warm", [True, False])
def test_a_second_round_continues_or_starts_anew(warm: bool) -> None:
    learner = ready("released", warm_start=warm)
    learner.step(0)
    before = weights(learner)
    labelled = LabelledSet(ready("released")._stage.labelled._labelled.images, np.zeros(6, dtype=np.int64), 3)
    learner.start_round(1, labelled, planted_data().pool.without(labelled.ids), Stream.root(9))
    after = weights(learner)
    name = "generator.body.0.weight"
    name = name if name in after else next(key for key in after if key.startswith("generator."))
    assert torch.equal(before[name], after[name]) == warm


def test_a_supervised_learner_learns_planted_rows() -> None:
    data = planted_data()
    learner = ready("supervised", steps=60)
    before = evaluate(learner, data.test).accuracy
    for index in range(60):
        learner.step(index)
    assert evaluate(learner, data.test).accuracy > max(before, 0.8)
