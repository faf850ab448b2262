"""What the ablations and the further learners consist of: terms, the networks they reach, the images they see."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from aral.learners.ablations import (
    OF_SAMPLER,
    generated_only_phases,
    leave_out,
    no_active_learning_phases,
    no_encoder_phases,
)
from aral.learners.semi_supervised import consistency_phases, pseudo_label_phases
from aral.learners.spec import Model, Net, SelfTraining, SeparateGan
from aral.learners.step import Part, Step
from aral.learners.terms import Phase

from aral.benchmarking.methods import make_learner
from aral.data.augmentation import Augmentation
from aral.errors import BadInput
from aral.learners import Objective, aral_phases, vaal_phases
from aral.learners.bgadl import bgadl_phases
from aral.learners.no_co_training import no_co_training_phases
from aral.learners.supervised import classifier_phase
from aral.randomness import Stream
from aral.testing import planted_data, tiny_model
from aral.types import LabelledSet

from .test_phases import REACHES, D, E, G, S

DECODER, CRITIC, P = Net.DECODER, Net.CRITIC, Net.PARTITION
LABELLED, UNLABELLED, GENERATED = Part.LABELLED, Part.UNLABELLED, Part.GENERATED
# Everything is sure enough: a new network's opinion counts too.
TRUSTING = SelfTraining(entropy=2.0, confidence=0.0, strong=Augmentation(shift=0.2, cut_out=0.4))
MODEL = tiny_model().model_copy(update={"self_training": TRUSTING})
FURTHER = {
    "trust certain": {D},
    "classify weakly augmented": {D},
    "agree": {D},
    "tell real pairs": {D},
    "classify reconstructed": {D},
    "keep class": {E, G},
    "predict labelled": {CRITIC},
    "fool critic": {G},
}
OF_LEARNER = {
    "bgadl": {"fool discriminator": {E, G}},
    "no-co-training": {"reconstruction": {E, DECODER}, "tell real pairs": {CRITIC}},
    "aral": {"keep neighbours together": {D, P}, "use all groups": {D, P}},
}
NAMES = [
    "aral",
    "pseudo-label",
    "consistency",
    "bgadl",
    "no-co-training",
    "generated-only",
    "aral-no-active",
    "aral-no-encoder",
    "aral-paper-no-active",
    "aral-paper-no-encoder",
]
each = pytest.mark.parametrize("name", NAMES)


def ready(name: str, model: Model = MODEL):
    data = planted_data()
    learner = make_learner(name, model, data.pool, 3, Stream.root(1))
    learner.set_pool(data.pool, Stream.root(3))
    ids = np.arange(6, dtype=np.int64)
    labelled = LabelledSet(data.pool.subset(ids), data.pool_classes[ids], 3)
    learner.start_round(0, labelled, data.pool.without(ids), Stream.root(2))
    return learner


def a_step(learner) -> Step:
    for module in learner.nets.modules.values():
        module.train()
    blueprint = learner._blueprint
    return Step(
        learner.nets,
        lambda: learner._stage.labelled(0),
        lambda: learner._stage.unlabelled(0),
        Stream.root(5),
        10,
        blueprint.encoded,
        blueprint.model.self_training,
        learner._known.neighbour_graph,
        class_shares=learner._stage.class_shares,
    )


def names_of(phases: tuple[Phase, ...]) -> dict[str, list[str]]:
    return {phase.name: [term.name for term in phase.terms] for phase in phases}


def reached(value: torch.Tensor, modules, nets) -> set[Net]:
    found = set()
    for net in nets:
        parameters = list(modules[net].parameters())
        gradients = torch.autograd.grad(value, parameters, allow_unused=True, retain_graph=True)
        if any(gradient is not None and gradient.abs().sum() > 0 for gradient in gradients):
            found.add(net)
    return found


@each
def test_each_term_reaches_its_networks_and_makers_outside_the_phase_get_nothing(name: str) -> None:
    learner = ready(name)
    step = a_step(learner)
    expected = REACHES | FURTHER | OF_LEARNER.get(name, {})
    for phase in learner.phases:
        makers = {net for net in (E, G, DECODER) if net in learner.nets.modules and net not in phase.trains}
        for term in phase.terms:
            if term.weight:
                value = term.compute(phase.view(step))
                found = reached(value, learner.nets.modules, phase.trains)
                assert found == expected[term.name], (phase.name, term.name)
                assert not reached(value, learner.nets.modules, makers), (phase.name, term.name)


@each
def test_a_phase_moves_its_own_networks_and_no_other(name: str) -> None:
    learner = ready(name)
    for phase in learner.phases:
        step = a_step(learner)
        before = {
            net: [parameter.detach().clone() for parameter in module.parameters()]
            for net, module in learner.nets.modules.items()
        }
        _, done = learner._run(phase, step, 0, 5)
        assert done
        for net, module in learner.nets.modules.items():
            pairs = zip(before[net], module.parameters(), strict=True)
            assert any(not torch.equal(old, new) for old, new in pairs) == (net in phase.trains), (
                phase.name,
                net,
            )


@pytest.mark.parametrize("objective", list(Objective))
def test_ablations_are_aral_with_parts_left_out(objective: Objective) -> None:
    whole = names_of(aral_phases(MODEL, objective))
    without_sampler = names_of(no_active_learning_phases(MODEL, objective))
    assert whole.keys() - without_sampler.keys() == {"S"}
    assert without_sampler["D"] == whole["D"]
    assert set(whole["E+G"]) - set(without_sampler["E+G"]) == {"hide from sampler"}
    without_encoder = names_of(no_encoder_phases(MODEL, objective))
    assert without_encoder["D"] == whole["D"] and without_encoder.keys() == {"D", "G"}
    paper = ["fool discriminator", "feature matching"]
    assert without_encoder["G"] == (paper if objective is Objective.PAPER else paper[1:])


def test_weights_of_what_is_left_are_arals_own() -> None:
    weights = MODEL.weights.model_copy(update={"trd": 0.3, "gan": 0.7, "cls": 0.2})
    model = MODEL.model_copy(update={"weights": weights})
    whole = {term.name: term.weight for phase in aral_phases(model, Objective.PAPER) for term in phase.terms}
    for phases in (
        no_active_learning_phases(model, Objective.PAPER),
        no_encoder_phases(model, Objective.PAPER),
    ):
        assert all(whole[term.name] == term.weight for phase in phases for term in phase.terms)


def test_leaving_out_what_is_not_there_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="hide from sampler"):
        leave_out((classifier_phase(MODEL),), frozenset(), OF_SAMPLER)


def test_generated_only_keeps_unlabelled_images_from_the_classifier() -> None:
    phases = {phase.name: phase for phase in generated_only_phases(MODEL)}
    assert phases["D"].sees == {LABELLED, GENERATED}
    assert names_of(generated_only_phases(MODEL)) == names_of(aral_phases(MODEL, Objective.PAPER))


def test_generated_only_trains_d_alike_whatever_the_unlabelled_images_show() -> None:
    """With G held still, other unlabelled pixels move D̃ not at all; with ARAL they do."""
    for name, same in (("generated-only", True), ("aral-paper", False)):
        moved = []
        for change in (lambda images: images, lambda images: 1 - images):
            learner = ready(name)
            step = a_step(learner)
            batch = learner._stage.unlabelled(0)
            # Batch norm makes E's codes of labelled images depend on their company: first make the codes.
            _ = step.codes, step.pseudo_labels
            step.__dict__["unlabelled"] = replace(batch, images=change(batch.images))
            with Stream.root(3).governs_torch():  # the same noise in D̃
                learner._run(next(phase for phase in learner.phases if phase.name == "D"), step, 0, 5)
            moved.append(learner.nets.discriminator.state_dict())
        assert all(torch.equal(moved[0][key], moved[1][key]) for key in moved[0]) == same


def test_bgadl_never_looks_at_unlabelled_pixels() -> None:
    assert names_of(bgadl_phases(MODEL)).keys() == {"D", "E+G"}
    states = []
    for seed in (0, 1):
        learner = ready("bgadl")
        other = planted_data(seed=seed).pool
        data = planted_data()
        ids = np.arange(6, dtype=np.int64)
        labelled = LabelledSet(data.pool.subset(ids), data.pool_classes[ids], 3)
        learner.start_round(0, labelled, other.without(ids), Stream.root(2))
        learner.step(0)
        states.append(learner.state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_reconstructions_of_labelled_images_keep_their_labels() -> None:
    learner = ready("bgadl")
    view = learner.phases[0].view(a_step(learner))
    assert view.images_made(Part.RECONSTRUCTED).shape == view.step.labelled.images.shape
    assert torch.equal(view.class_probs_of(Part.RECONSTRUCTED), view.step.labelled.class_probs)


def test_three_parts_without_co_training() -> None:
    phases = no_co_training_phases(MODEL)
    assert [phase.name for phase in phases] == ["C", "S", "E+decoder", "critic", "G"]
    assert [sorted(phase.trains) for phase in phases] == [[D], [S], [DECODER, E], [CRITIC], [G]]
    vae = names_of(vaal_phases(MODEL))["E+G"]
    assert names_of(phases)["E+decoder"] == vae


def test_the_separate_gan_is_conditional_and_the_encoder_is_not() -> None:
    nets = ready("no-co-training").nets
    latents, classes = torch.randn(2, 4), torch.eye(3)
    for net in (E, DECODER, G):
        nets.modules[net].eval()
    assert nets.generator_conditions(classes).shape == (3, 3) and nets.conditions(classes).shape == (3, 0)
    one, other = (nets.generator(latents, classes[[index] * 2]) for index in (0, 1))
    assert not torch.allclose(one, other)
    assert nets.decoder is nets.modules[DECODER]


def test_hard_and_soft_labels_of_the_critic_differ() -> None:
    values = []
    for labels in ("hard", "soft"):
        model = MODEL.model_copy(update={"separate_gan": SeparateGan.model_validate({"labels": labels})})
        learner = ready("no-co-training", model)
        phase = next(phase for phase in learner.phases if phase.name == "critic")
        with Stream.root(3).governs_torch():  # the same noise in the critic
            value = phase.terms[0].compute(phase.view(a_step(learner)))
        values.append(float(value.detach()))
    assert values[0] != values[1]


def test_rotation_needs_a_head_for_it() -> None:
    model = MODEL.model_copy(update={"separate_gan": SeparateGan(rotation=1.0)})
    with pytest.raises(BadInput, match="'mlp' cannot tell rotations"):
        no_co_training_phases(model)


def test_own_labels_count_only_when_sure_enough() -> None:
    for name, settings, term in (
        ("pseudo-label", SelfTraining(entropy=1e-6), "trust certain"),
        ("consistency", SelfTraining(confidence=1.0), "agree"),
    ):
        doubting = ready(name, MODEL.model_copy(update={"self_training": settings}))
        trusting = ready(name)
        assert doubting.step(0).values[term] == 0 < trusting.step(0).values[term]


def test_own_labels_by_hand() -> None:
    """The term is the mean of −log p(likeliest class of the calm network), with the network as it trains."""
    learner = ready("pseudo-label")
    step = a_step(learner)
    (phase,) = learner.phases
    view = phase.view(step)
    own = step.pseudo_labels.argmax(dim=1)
    logits = view.judge.classify(view.features[UNLABELLED]).detach().log_softmax(dim=1)
    by_hand = -sum(float(row[index]) for row, index in zip(logits, own, strict=True)) / len(own)
    assert float(phase.terms[1].compute(view).detach()) == pytest.approx(by_hand, rel=1e-5)


def test_consistency_labels_weak_images_and_trains_on_strong_ones() -> None:
    (phase,) = consistency_phases(MODEL)
    assert phase.sees == {Part.WEAK_LABELLED, Part.STRONG_UNLABELLED}
    step = a_step(ready("consistency"))
    plain = step.unlabelled.images
    assert not torch.equal(step.strong_unlabelled_images, plain)
    assert not torch.equal(step.weak_labelled_images, step.labelled.images)
    assert not torch.equal(step.weak_pseudo_labels, step.pseudo_labels)
    assert not step.weak_pseudo_labels.requires_grad
    assert {phase.name for phase in pseudo_label_phases(MODEL)} == {"C"}


def test_alignment_is_an_option() -> None:
    values = []
    for align in (False, True):
        settings = TRUSTING.model_copy(update={"align": align, "confidence": 0.45})
        learner = ready("consistency", MODEL.model_copy(update={"self_training": settings}))
        with torch.no_grad():  # a classifier that prefers class 0
            learner.nets.discriminator.class_layer.bias.add_(torch.tensor([3.0, 0.0, 0.0]))
        values.append(learner.step(0).values["agree"])
    assert values[0] != values[1]
