"""Every term sends gradient to exactly the networks it should, and a phase moves its own networks only."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from aral.learners.spec import Net
from aral.learners.step import Step
from aral.learners.view import View

from aral.learners import Objective, aral_phases, vaal_phases
from aral.learners.aral import aral
from aral.learners.supervised import supervised
from aral.learners.vaal import vaal
from aral.randomness import Stream
from aral.testing import planted_data, tiny_model
from aral.types import LabelledSet

CPU = torch.device("cpu")
E, G, D, S = Net.ENCODER, Net.GENERATOR, Net.DISCRIMINATOR, Net.SAMPLER
REACHES = {
    "reconstruction": {E, G},
    "divergence": {E},
    "hide from sampler": {E},
    "tell labelled": {S},
    "tell real": {D},
    "classify labelled": {D},
    "classify generated": {D},
    "fool discriminator": {G},
    "oppose discriminator": {E},
    "feature matching": {G},
}


def ready(kind: str, **training: object):
    data = planted_data()
    model = tiny_model(**training)
    stream = Stream.root(1)
    makers = {
        "paper": lambda: aral(model, Objective.PAPER, data.pool.shape, 3, stream, CPU),
        "released": lambda: aral(model, Objective.RELEASED, data.pool.shape, 3, stream, CPU),
        "vaal": lambda: vaal(model, data.pool.shape, 3, stream, CPU),
        "supervised": lambda: supervised(model, data.pool.shape, 3, stream, CPU),
    }
    learner = makers[kind]()
    ids = np.arange(6, dtype=np.int64)
    labelled = LabelledSet(data.pool.subset(ids), data.pool_classes[ids], 3)
    learner.start_round(0, labelled, data.pool.without(ids), stream.child("round"))
    return learner


def a_step(learner) -> Step:
    for module in learner.nets.modules.values():
        module.train()
    stage = learner._stage
    return Step(learner.nets, lambda: stage.labelled(0), lambda: stage.unlabelled(0), Stream.root(5), age=10)


@pytest.mark.parametrize("kind", ["paper", "released", "vaal", "supervised"])
def test_each_term_reaches_its_networks_within_its_phase(kind: str) -> None:
    learner = ready(kind)
    step = a_step(learner)
    for phase in learner.phases:
        for term in phase.terms:
            value = term.compute(View(step, phase.trains, phase.sees))
            reached = set()
            for net in phase.trains:
                parameters = list(learner.nets.modules[net].parameters())
                gradients = torch.autograd.grad(value, parameters, allow_unused=True, retain_graph=True)
                if any(gradient is not None and gradient.abs().sum() > 0 for gradient in gradients):
                    reached.add(net)
            assert reached == REACHES[term.name] & phase.trains == REACHES[term.name], (phase.name, term.name)


@pytest.mark.parametrize("kind", ["paper", "released", "vaal", "supervised"])
def test_nothing_flows_into_networks_outside_the_phase_but_through_frozen_ones(kind: str) -> None:
    """What another network made is detached: E and G get no gradient in phases that do not train them."""
    learner = ready(kind)
    step = a_step(learner)
    for phase in learner.phases:
        outside = [net for net in (E, G) if net in learner.nets.modules and net not in phase.trains]
        for term in phase.terms:
            value = term.compute(View(step, phase.trains, phase.sees))
            for net in outside:
                parameters = list(learner.nets.modules[net].parameters())
                gradients = torch.autograd.grad(value, parameters, allow_unused=True, retain_graph=True)
                assert all(gradient is None for gradient in gradients), (phase.name, term.name, net)


@pytest.mark.parametrize("kind", ["paper", "released", "vaal", "supervised"])
def test_a_phase_moves_its_own_networks_and_no_other(kind: str) -> None:
    learner = ready(kind)
    for phase in learner.phases:
        step = a_step(learner)
        before = {
            net: [parameter.detach().clone() for parameter in module.parameters()]
            for net, module in learner.nets.modules.items()
        }
        _, done = learner._run(phase, step, 0, 5)
        assert done
        for net, module in learner.nets.modules.items():
            moved = any(
                not torch.equal(old, new) for old, new in zip(before[net], module.parameters(), strict=True)
            )
            assert moved == (net in phase.trains), (phase.name, net)


def test_pseudo_labels_carry_no_gradient_and_no_noise() -> None:
    learner = ready("paper")
    step, again = a_step(learner), a_step(learner)
    assert not step.pseudo_labels.requires_grad
    assert torch.equal(step.pseudo_labels, again.pseudo_labels)
    assert learner.nets.discriminator.training


def test_labels_and_pseudo_labels_have_one_form() -> None:
    step = a_step(ready("paper"))
    assert step.class_probs.shape == (16, 3)
    torch.testing.assert_close(step.class_probs.sum(dim=1), torch.ones(16))
    assert set(step.class_probs[:8].unique().tolist()) <= {0.0, 1.0}


def test_the_two_objectives_differ_in_the_phases_named_by_the_equations() -> None:
    model = tiny_model()
    names = {
        objective: {
            phase.name: [term.name for term in phase.terms] for phase in aral_phases(model, objective)
        }
        for objective in Objective
    }
    assert names[Objective.PAPER]["D"] == ["tell real", "classify labelled", "classify generated"]
    assert names[Objective.RELEASED]["D"] == ["tell real", "classify labelled"]
    assert set(names[Objective.PAPER]["E+G"]) - set(names[Objective.RELEASED]["E+G"]) == {
        "oppose discriminator",
        "fool discriminator",
    }
    assert [phase.name for phase in vaal_phases(model)] == ["C", "S", "E+G"]


def test_weights_multiply_terms() -> None:
    learner = ready("released")
    step = a_step(learner)
    phase = next(phase for phase in learner.phases if phase.name == "E+G")
    values, _ = learner._run(phase, step, 0, 5)
    expected = sum(term.weight * values[term.name] for term in phase.terms)
    assert values["total E+G"] == pytest.approx(expected, rel=1e-4)


def test_all_learners_start_from_the_same_classifier() -> None:
    states = [ready(kind).nets.discriminator.state_dict() for kind in ("paper", "vaal", "supervised")]
    for name, value in states[0].items():
        for other in states[1:]:
            assert torch.equal(value, other[name]), name


def test_each_term_has_the_sign_of_its_equation() -> None:
    """The terms' values from the logits of one view, by softplus written out: −log D, −log(1 − D) and so on."""
    learner = ready("paper")
    step = a_step(learner)
    found = {}
    for phase in learner.phases:
        view = View(step, phase.trains, phase.sees)
        found |= {term.name: (float(term.compute(view).detach()), view) for term in phase.terms}

    def wants_high(logits: torch.Tensor) -> float:
        return float(torch.log1p(torch.exp(-logits.detach())).mean())

    def wants_low(logits: torch.Tensor) -> float:
        return float(torch.log1p(torch.exp(logits.detach())).mean())

    share = tiny_model().weights.labelled_share
    for name, wants in (("tell real", wants_high), ("oppose discriminator", wants_low)):
        value, view = found[name]
        labelled, unlabelled = view.real_logits
        expected = share * wants(labelled) + (1 - share) * wants(unlabelled)
        if name == "tell real":
            expected += wants_low(view.generated_logits)
        assert value == pytest.approx(expected, rel=1e-4), name
    value, view = found["fool discriminator"]
    assert value == pytest.approx(wants_high(view.generated_logits), rel=1e-4)
    labelled, unlabelled = found["tell labelled"][1].sampler_logits("mean")
    assert found["tell labelled"][0] == pytest.approx(wants_high(labelled) + wants_low(unlabelled), rel=1e-4)
    assert found["hide from sampler"][0] == pytest.approx(
        wants_high(labelled) + wants_high(unlabelled), rel=1e-4
    )
