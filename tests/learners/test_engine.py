"""The training engine: rates, optimisers, averages, trouble, saved states, and data at the edge."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from aral.acquisition import Need, make_acquisition
from aral.benchmarking import learner_titles, make_learner
from aral.errors import BadInput, RunFailed
from aral.learners import (
    Batch,
    Engine,
    LearnerSettings,
    Method,
    Net,
    Nets,
    Phase,
    Ramp,
    SupervisedSettings,
    Task,
    Term,
    classifier_state,
    evaluate,
)
from aral.learners.engine import Ema
from aral.learners.optimisers import NetOptimisers, in_memory_order_of, rate_factor
from aral.learners.settings import Adam, Training
from aral.loop import Pace, Session, SessionOptions, Store, Strategy
from aral.networks.layers import ChannelsLast, GlobalMean
from aral.networks.parts import RealnessHead, TrunkDiscriminator
from aral.randomness import Stream
from aral.testing import planted_data, planted_pool, tiny_settings
from aral.types import ClassAnswer, ImageSet, LabelledSet

D = Net.DISCRIMINATOR
MIXED = {"pseudo_labels": {"mixup": 0.75, "teacher": "ema", "align": True}}
CASES = {
    **{title: {} for title in learner_titles()},
    "graph-ssl mixed": MIXED,
    "graph-ssl propagated": {"weights": {"propagated": 1.0}},
    "aral in bfloat16": {"training": {"precision": "bfloat16"}},
}
every_case = pytest.mark.parametrize("case", CASES)


def settings_of(case: str) -> LearnerSettings:
    return tiny_settings(case.partition(" ")[0], **CASES[case])


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


# Learning rates


def test_the_rate_is_flat_and_then_falls_to_zero() -> None:
    factors = [rate_factor(index, 12, Training(flat_share=2 / 3)) for index in (0, 6, 8, 10, 12)]
    assert factors == pytest.approx([1, 1, 1, 0.5, 0])


@pytest.mark.parametrize(
    ("warm_up", "steps", "expected"),
    [
        (4, 12, [0.25, 0.5, 0.75, 1, 1, 1, 1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6]),
        (8, 4, [1 / 8, 2 / 8, 3 / 8, 4 / 8 / 2]),  # longer than the flat part: it multiplies the fall
    ],
)
def test_the_rate_rises_in_the_first_steps(warm_up: int, steps: int, expected: list[float]) -> None:
    training = Training(flat_share=0.5, warm_up=warm_up)
    assert [rate_factor(index, steps, training) for index in range(steps)] == pytest.approx(expected)
    assert rate_factor(0, 0, Training()) == 1


@pytest.mark.parametrize(
    ("training", "halved", "expected"),
    [
        ({}, False, 1.0),
        ({"warm_up": 4}, False, 0.25),
        ({}, True, 0.5),
        ({"rate_floor": 0.1}, False, 0.1 / 3e-3),
    ],
)
def test_the_first_step_has_the_length_of_the_rate(
    training: dict[str, float], halved: bool, expected: float, start
) -> None:
    """Adam's first step is its rate in every weight that has a gradient."""
    learner = start(tiny_settings(steps=100, training=training))
    if halved:
        learner.halve_learning_rates()
        other = start(tiny_settings(steps=100, training=training))
        other.load_state_dict(learner.state_dict())
        learner = other
    before = learner.state_dict()
    learner.step(0)
    after = learner.state_dict()
    names = [name for name in before if name.startswith("discriminator.")]
    moved = max(float((after[name] - before[name]).abs().max()) for name in names)
    assert moved == pytest.approx(3e-3 * expected, rel=1e-2)


def test_a_ramp_rises_between_its_ends() -> None:
    assert [Ramp(begin=10, end=20).at(age) for age in (0, 10, 15, 20, 99)] == [0, 0, 0.5, 1, 1]
    assert Ramp().at(0) == 1
    assert [Ramp(begin=7, end=7).at(age) for age in (6, 7)] == [0, 1]


# Optimisers


def convolutions() -> nn.Sequential:
    generator = torch.Generator().manual_seed(0)
    made = nn.Sequential(ChannelsLast(), nn.Conv2d(3, 4, 3), nn.LeakyReLU(), nn.Conv2d(4, 2, 3), GlobalMean())
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / 3)
    return made


def optimisers(net: nn.Module, flat_share: float = 1.0, **adam: float) -> NetOptimisers:
    settings = SupervisedSettings.model_validate(
        {"optimisers": {"discriminator": adam}, "training": {"flat_share": flat_share}}
    )
    return NetOptimisers(Nets({D: net}, 2, 2, True), settings)


IMAGES = torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def test_a_gradient_is_put_in_the_memory_order_of_its_weight() -> None:
    weight = torch.arange(24.0).reshape(2, 3, 2, 2)
    gradient = weight.contiguous(memory_format=torch.channels_last)
    assert gradient.stride() != weight.stride()
    found = in_memory_order_of(weight, gradient)
    assert found.stride() == weight.stride() and torch.equal(found, weight)
    assert in_memory_order_of(weight, weight) is weight


@pytest.mark.parametrize("steps", [1, 4])
def test_channels_last_convolutions_move_as_by_adam_without_fusion(steps: int) -> None:
    ours, theirs = convolutions(), convolutions()
    moving = optimisers(ours, rate=0.01, beta1=0.9, beta2=0.99)
    plain = torch.optim.Adam(theirs.parameters(), lr=0.01, betas=(0.9, 0.99), foreach=False, fused=False)
    for index in range(steps):
        assert moving.step(ours(IMAGES).square().sum(), frozenset({D}), index, steps)
        plain.zero_grad()
        torch.autograd.backward(theirs(IMAGES).square().sum())
        plain.step()
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-4)


def test_only_matrices_and_kernels_decay_and_by_rate_times_decay() -> None:
    """With gradients of zero Adam does nothing, so all that a step does is the decay."""
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 2))
    moving = optimisers(net, flat_share=0.0, rate=0.1, weight_decay=0.5)
    before = [parameter.detach().clone() for parameter in net.parameters()]
    loss = cast(Tensor, sum((parameter * 0).sum() for parameter in net.parameters()))
    assert moving.step(loss, frozenset({D}), 0, 10) and moving.step(loss, frozenset({D}), 5, 10)
    kept = (1 - 0.1 * 0.5) * (1 - 0.05 * 0.5)  # the second rate has fallen to a half
    for parameter, old in zip(net.parameters(), before, strict=True):
        torch.testing.assert_close(parameter, kept * old if parameter.ndim > 1 else old)


def test_moments_return_to_their_weights_where_some_decay() -> None:
    found = []
    for stop in (None, 2):
        net = convolutions()
        moving = optimisers(net, rate=0.01, weight_decay=0.1)
        for index in range(4):
            if index == stop:
                state = moving.state_dict()
                moving = optimisers(net, rate=0.01, weight_decay=0.1)
                moving.load_state_dict(state)
            moving.step(net(IMAGES).square().sum(), frozenset({D}), index, 4)
        found.append(net.state_dict())
    assert same(*found)


# Averages

STATISTICS = {"trunk.1.running_mean", "trunk.1.running_var", "trunk.1.num_batches_tracked"}


def classifier() -> TrunkDiscriminator:
    """Of images of two pixels: batch norm of each, dropout, two logits by weights of unit spectral norm."""
    trunk = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(2), nn.Dropout(0.5))
    classes = nn.utils.parametrizations.spectral_norm(nn.Linear(2, 2))
    return TrunkDiscriminator(trunk, 2, classes, RealnessHead(2, 2, 2))


def averaged(decay: float = 0.9) -> tuple[Nets, Ema]:
    with Stream.root(0).governs_torch():
        nets = Nets({D: classifier(), Net.CLUSTERS: classifier()}, 2, 2, True)
    return nets, Ema(nets, decay)


def copied(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def changed(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    return {name for name, value in after.items() if not torch.equal(value, before[name])}


def test_an_average_moves_by_the_decay_and_faster_when_young() -> None:
    """At age 10 it keeps a half, although the decay is 0.9."""
    nets, ema = averaged()
    old = copied(ema.modules[D])["trunk.1.weight"]
    with torch.no_grad():
        nets.discriminator.trunk[1].weight.add_(1.0)
    ema.update(10)
    torch.testing.assert_close(ema.modules[D].trunk[1].weight, old + 0.5)
    ema.update(1000)
    torch.testing.assert_close(ema.modules[D].trunk[1].weight, old + 0.5 + 0.05)
    assert not averaged(decay=0.0)[1].modules


def test_an_average_follows_normalised_weights_that_were_assigned() -> None:
    """Assigning them gives the parameters other memory; the average had moved before."""
    with Stream.root(0).governs_torch():
        head = nn.utils.parametrizations.weight_norm(nn.Linear(2, 2))
        nets = Nets({D: TrunkDiscriminator(nn.Flatten(), 2, head, RealnessHead(2, 2, 2))}, 2, 2, True)
    ema = Ema(nets, 0.5)
    ema.update(1000)
    for module in (nets.modules[D], ema.modules[D]):
        with torch.no_grad():
            module.class_layer.weight = torch.eye(2)
    with torch.no_grad():
        nets.modules[D].class_layer.weight = 3 * torch.eye(2)
    ema.update(1000)
    torch.testing.assert_close(ema.modules[D].class_layer.weight, 2 * torch.eye(2))


def test_a_teacher_uses_and_keeps_the_statistics_of_the_images_it_predicts() -> None:
    """Two rows are one standard deviation from their mean, whatever they are: ±1 but for batch norm's 1e-5."""
    _, ema = averaged()
    average = cast(TrunkDiscriminator, ema.modules[D])
    before = copied(average)
    signs = torch.tensor([[1.0, -1.0], [-1.0, 1.0]])
    found = ema.teach(torch.tensor([[[[30.0, 5.0]]], [[[10.0, 15.0]]]]))
    torch.testing.assert_close(
        found, average.class_layer(signs).softmax(dim=1).detach(), atol=1e-5, rtol=1e-5
    )
    assert changed(before, copied(average)) == STATISTICS and not found.requires_grad
    torch.testing.assert_close(copied(average)["trunk.1.running_mean"], 0.1 * torch.tensor([20.0, 10.0]))
    assert not any(layer.training for layer in average.modules()), "dropout is on"


def test_an_average_that_taught_keeps_its_statistics_for_that_step_only() -> None:
    nets, ema = averaged()
    with Stream.root(1).governs_torch():
        for module in nets.modules.values():
            for parameter in module.parameters():
                parameter.data.add_(torch.rand_like(parameter))
            for _ in range(2):
                module.train()(10 + torch.randn(8, 1, 1, 2))
        ema.teach(torch.randn(8, 1, 1, 2))
    before = copied(ema.modules[D])
    ema.update(1000)
    after = copied(ema.modules[D])
    assert not changed(before, after) & STATISTICS
    assert {"trunk.1.weight", "trunk.1.bias", "class_layer.bias"} <= changed(before, after)
    of_clusters = copied(ema.modules[Net.CLUSTERS])
    assert (of_clusters["trunk.1.running_mean"] > 0.05).all(), "the clusters taught nothing"
    ema.update(1001)
    third, newest = copied(ema.modules[D]), nets.discriminator.state_dict()
    mean = "trunk.1.running_mean"
    assert STATISTICS <= changed(after, third)
    torch.testing.assert_close(third[mean], 0.9 * after[mean] + 0.1 * newest[mean], atol=1e-6, rtol=1e-6)


# Steps


class Chosen(Method):
    """Phases given by the test."""

    def __init__(self, *phases: Phase) -> None:
        self.phases = phases

    def training_step(self, nets: Nets, batch: Batch) -> Iterator[Phase]:
        yield from self.phases


def chosen(data, labels, *phases: Phase) -> Engine:
    learner = Engine(Chosen(*phases), tiny_settings(), Task(data.pool.shape, 3, Stream.root(1)))
    learner.start_round(0, labels(), data.pool.without(labels().ids), Stream.root(2))
    return learner


def test_weights_multiply_terms_and_a_term_of_weight_zero_is_not_computed(data, labels) -> None:
    def never() -> Tensor:
        raise AssertionError("computed")

    terms = (
        Term("one", 2.0, lambda: torch.tensor(3.0, requires_grad=True)),
        Term("other", 0.5, lambda: torch.tensor(8.0, requires_grad=True)),
        Term("none", 0.0, never),
    )
    losses = chosen(data, labels, Phase("C", frozenset({D}), terms)).step(0)
    assert losses.values == {"one": 3.0, "other": 8.0, "total C": 10.0} and not losses.skipped
    nothing = chosen(data, labels, Phase("C", frozenset({D}), terms[2:]))
    before = classifier_state(nothing.state_dict())
    assert nothing.step(0).values == {"total C": 0.0}
    assert same(before, classifier_state(nothing.state_dict()))


@pytest.mark.parametrize("name", ["aral", "graph-ssl"])
def test_non_finite_losses_move_nothing_and_are_reported(name: str, start) -> None:
    learner = start(tiny_settings(name))
    with torch.no_grad():
        next(learner.nets.generator.parameters()).fill_(float("nan"))
    before = [parameter.detach().clone() for parameter in learner.nets.encoder.parameters()]
    losses = learner.step(0)
    assert "E+G" in losses.skipped and "S" not in losses.skipped
    assert ("D" in losses.skipped) == (name == "aral")
    assert all(torch.equal(a, b) for a, b in zip(before, learner.nets.encoder.parameters(), strict=True))


def test_a_step_leaves_the_global_generator_alone(start) -> None:
    learner = start(tiny_settings("aral"))
    before = torch.get_rng_state()
    learner.step(0)
    assert torch.equal(before, torch.get_rng_state())


def test_another_step_index_gives_other_weights(start) -> None:
    one, other = start(tiny_settings("aral")), start(tiny_settings("aral"))
    one.step(0)
    other.step(1)
    assert not same(one.state_dict(), other.state_dict())


def test_precision_changes_the_losses_but_not_the_type_of_weights(start) -> None:
    losses = []
    for precision in ("float32", "bfloat16"):
        learner = start(tiny_settings("aral", training={"precision": precision}))
        losses.append(learner.step(0).values)
        assert {p.dtype for module in learner.nets.modules.values() for p in module.parameters()} == {
            torch.float32
        }
    assert losses[0] != losses[1] and losses[0] == pytest.approx(losses[1], rel=0.1, abs=0.1)


def test_a_supervised_learner_learns_planted_rows(data, start) -> None:
    learner = start(tiny_settings(steps=60))
    before = evaluate(learner, data.test).accuracy
    for index in range(60):
        learner.step(index)
    assert evaluate(learner, data.test).accuracy > max(before, 0.8)


# Saved states


@every_case
def test_training_resumes_bit_for_bit_in_the_middle_of_a_round(case: str, start) -> None:
    straight, first, resumed = (start(settings_of(case)) for _ in range(3))
    for index in range(4):
        assert not straight.step(index).skipped
    for index in range(2):
        first.step(index)
    torch.rand(7)  # a disturbed global generator changes nothing
    resumed.load_state_dict(first.state_dict())
    for index in range(2, 4):
        resumed.step(index)
    assert same(straight.state_dict(), resumed.state_dict())


def test_pretraining_resumes_bit_for_bit_and_counts_as_age(start, data, labels) -> None:
    settings = tiny_settings("graph-ssl", pretraining={"steps": 6, "imitation_steps": 3})
    straight, first, resumed = (start(settings, round_number=None) for _ in range(3))
    for index in range(6):
        straight.step(index)
    for index in range(2):
        first.step(index)
    resumed.load_state_dict(first.state_dict())
    for index in range(2, 6):
        resumed.step(index)
    assert same(straight.state_dict(), resumed.state_dict())
    known = labels()
    straight.start_round(0, known, data.pool.without(known.ids), Stream.root(2))
    straight.step(0)
    assert int(straight.state_dict()["age"]) == 7


def test_a_state_of_other_networks_is_refused() -> None:
    small, large = (tiny_settings("aral").build(Task((1, side, side), 3, Stream.root(0))) for side in (6, 8))
    with pytest.raises(BadInput, match="does not fit the networks of 'aral'"):
        small.load_state_dict(large.state_dict())


def test_the_classifier_of_a_state_is_the_averaged_one(start) -> None:
    for decay, prefix in ((0.9, "ema.discriminator."), (0.0, "discriminator.")):
        learner = start(tiny_settings(training={"average_decay": decay}))
        learner.step(0)
        state = learner.state_dict()
        expected = {name.removeprefix(prefix): v for name, v in state.items() if name.startswith(prefix)}
        assert expected and same(classifier_state(state), expected)
    assert classifier_state({"steps": torch.tensor(3)}) == {}


# Rounds


@pytest.mark.parametrize("warm", [True, False])
def test_a_second_round_continues_or_starts_anew(warm: bool, start, data, labels) -> None:
    """Optimisers start anew in both cases; halved rates stay halved."""
    learner = start(tiny_settings("aral:released", training={"warm_start": warm}))
    fresh = learner.state_dict()
    learner.step(0)
    learner.halve_learning_rates()
    before, known = learner.state_dict(), labels(range(9))
    learner.start_round(1, known, data.pool.without(known.ids), Stream.root(9))
    after = learner.state_dict()
    name = "discriminator.trunk.2.parametrizations.weight.original1"
    assert torch.equal(before[name], after[name]) == warm
    assert not torch.equal(fresh[name], after[name]), "weights of a new round are drawn anew"
    assert any(".exp_avg" in key for key in before) and not any(".exp_avg" in key for key in after)
    assert float(after["optimiser.scale"]) == 0.5
    assert int(after["age"]) == (1 if warm else 0)


@pytest.mark.parametrize("saved", [False, True])
def test_a_cold_round_starts_from_the_pretrained_trunk_and_clusters(saved: bool, start, data, labels) -> None:
    """And their averages and age; not from random weights, nor from those of the round before."""
    settings = tiny_settings(
        "graph-ssl", pretraining={"steps": 3, "imitation_steps": 1}, training={"warm_start": False}
    )
    learner = start(settings, round_number=None)
    for index in range(3):
        learner.step(index)
    pretrained = learner.state_dict()
    known = labels()
    learner.start_round(0, known, data.pool.without(known.ids), Stream.root(2))
    for index in range(4):
        learner.step(index)
    if saved:
        state, learner = learner.state_dict(), settings.build(Task(data.pool.shape, 3, Stream.root(1)))
        learner.set_pool(data.pool, Stream.root(3))
        learner.load_state_dict(state)
    trained, more = learner.state_dict(), labels(range(9))
    learner.start_round(1, more, data.pool.without(more.ids), Stream.root(5))
    after = learner.state_dict()
    roles = ("discriminator.", "clusters.", "ema.discriminator.", "ema.clusters.")
    kept = [name for name in pretrained if name.startswith(roles) and "class_layer" not in name]
    assert all(any(name.startswith(role) for name in kept) for role in roles)
    for name in kept:
        assert torch.equal(after[name], pretrained[name]), name
    assert any(not torch.equal(after[name], trained[name]) for name in kept)
    assert int(after["age"]) == 3
    # C is given its classes from the clusters by the labels of this round.
    other = settings.build(Task(data.pool.shape, 3, Stream.root(1)))
    other.load_state_dict(after)
    layer = "discriminator.class_layer.bias"
    assert not torch.equal(after[layer], trained[layer])
    # Networks that are not pretrained are drawn anew.
    assert not torch.equal(after["encoder.body.0.weight"], pretrained["encoder.body.0.weight"])


def test_a_warm_round_after_pretraining_keeps_the_classifier(start, data, labels) -> None:
    settings = tiny_settings("graph-ssl", pretraining={"steps": 2, "imitation_steps": 1})
    learner = start(settings, round_number=None)
    learner.step(0)
    known = labels()
    learner.start_round(0, known, data.pool.without(known.ids), Stream.root(2))
    learner.step(0)
    before = classifier_state(learner.state_dict())
    more = labels(range(9))
    learner.start_round(1, more, data.pool.without(more.ids), Stream.root(5))
    assert same(before, classifier_state(learner.state_dict()))


def test_pretraining_needs_a_method_that_has_it_and_a_pool(data) -> None:
    task = Task(data.pool.shape, 3, Stream.root(1))
    with pytest.raises(ValueError, match="has no pretraining"):
        tiny_settings("aral").build(task).start_pretraining(Stream.root(0))
    with pytest.raises(ValueError, match="was given no pool"):
        tiny_settings("graph-ssl", pretraining={"steps": 1}).build(task).start_pretraining(Stream.root(0))


# Data at the edge


@pytest.mark.parametrize(
    ("count", "class_count", "side", "said"),
    [(0, 3, 6, "at least one labelled"), (4, 4, 6, "4 classes"), (4, 3, 8, "take")],
)
def test_data_that_do_not_fit_are_refused(count: int, class_count: int, side: int, said: str) -> None:
    pool, classes = planted_pool(12, 3, Stream.root(0), side)
    learner = tiny_settings("aral").build(Task((1, 6, 6), 3, Stream.root(0)))
    labelled = LabelledSet(pool.subset(pool.ids[:count]), classes[:count], class_count)
    with pytest.raises(BadInput, match=said):
        learner.start_round(0, labelled, pool.without(labelled.ids), Stream.root(0))


@every_case
def test_a_pool_without_unlabelled_images_trains(case: str, start, data) -> None:
    losses = start(settings_of(case), ids=range(len(data.pool))).step(0)
    assert not losses.skipped and all(np.isfinite(value) for value in losses.values.values())


def trained(
    settings: LearnerSettings, pool: ImageSet, ids: list[int], classes: list[int], class_count: int = 3
) -> Tensor:
    """Class probabilities of the pool after a round on these labels, no step of which was skipped."""
    learner = make_learner(settings, pool, class_count, Stream.root(0))
    learner.set_pool(pool, Stream.root(3))
    chosen_ids = np.array(ids, dtype=np.int64)
    labelled = LabelledSet(pool.subset(chosen_ids), np.array(classes, dtype=np.int64), class_count)
    learner.start_round(0, labelled, pool.without(chosen_ids), Stream.root(1))
    for index in range(learner.steps_per_round):
        assert not learner.step(index).skipped
    found = learner.predict(pool, {Need.PROBABILITIES}, Stream.root(2)).get(Need.PROBABILITIES)
    torch.testing.assert_close(found.sum(dim=1), torch.ones(len(pool)))
    return found


every_kind = pytest.mark.parametrize("name", ["graph-ssl", "aral", "supervised"])


@every_kind
@pytest.mark.parametrize(
    ("batch", "ids", "class_count"),
    [(1, [0, 1, 2, 3], 3), (8, [4], 3), (8, [0, 1, 2], 3), (8, [0, 1, 2], 1201)],
)
def test_batches_of_one_one_label_and_a_thousand_classes_train(
    name: str, batch: int, ids: list[int], class_count: int
) -> None:
    settings = tiny_settings(name, 2, training={"labelled_batch": batch})
    classes = [each % 3 * ((class_count - 1) // 2) for each in ids]
    assert trained(settings, planted_data().pool, ids, classes, class_count).shape == (60, class_count)


def test_one_image_among_a_thousand_is_learned() -> None:
    """A class of one image among 1,001: no image looks as much like that class as this one."""
    pool, rows = planted_pool(3 * 1001, 3, Stream.root(5))
    single = int(np.flatnonzero(rows == 2)[0])
    ids = sorted([*np.flatnonzero(rows == 0)[:1000].tolist(), single])
    classes = [2 if each == single else 0 for each in ids]
    settings = tiny_settings(steps=200, training={"labelled_batch": 100, "average_decay": 0.5})
    found = trained(settings, pool, ids, classes)[ids]
    assert int(found[:, 2].argmax()) == ids.index(single)
    assert float((found.argmax(dim=1) == 0).float().mean()) > 0.99


@every_kind
def test_contradicting_labels_leave_probabilities_between(name: str) -> None:
    """Copies of one image, half of them of class 0 and half of class 2."""
    pool = ImageSet.of(planted_data().pool.pixels[:1].repeat(40, 1, 1, 1))
    settings = tiny_settings(name, 60, training={"labelled_batch": 20, "average_decay": 0.5})
    found = trained(settings, pool, list(range(20)), [0, 2] * 10)[0]
    assert 0.2 < float(found[0]) < 0.8 and 0.2 < float(found[2]) < 0.8 and float(found[1]) < 0.2


@pytest.mark.parametrize("factor", [1e3, 1e20])
@pytest.mark.parametrize("name", ["aral", "supervised"])
def test_huge_rates_end_finite_or_with_the_cause(tmp_path: Path, name: str, factor: float) -> None:
    data, adam = planted_data(), Adam(rate=3e-3 * factor)
    settings = tiny_settings(name, 25)
    rates = dict.fromkeys(type(settings.optimisers).model_fields, adam)
    settings = settings.model_copy(update={"optimisers": settings.optimisers.model_copy(update=rates)})
    with Store.open(tmp_path / "run", create=True) as store:
        learner = make_learner(settings, data.pool, 3, Stream.root(0))
        strategy = Strategy(make_acquisition("random"), make_acquisition("random"))
        active = Session(
            store, data.pool, 3, learner, strategy, Stream.root(3), SessionOptions(Pace(log_steps=5))
        )
        active.ask(6)
        active.tell([ClassAnswer(int(i), int(data.pool_classes[i])) for i in active.waiting()], "test")
        if factor > 1e6:
            with pytest.raises(RunFailed, match=r"not finite in round 0 at step .* halved 2 times") as failed:
                active.fit()
            assert "optimisers.discriminator.rate" in failed.value.hint
            assert {event.kind for event in store.events()} == {"not finite", "learning rates halved"}
        else:
            active.fit()
            active.evaluate(data.test)
            for value in active.learner.state_dict().values():
                assert torch.isfinite(value.double()).all()
