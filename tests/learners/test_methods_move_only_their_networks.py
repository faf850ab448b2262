"""For every method: its phases, the networks that each term reaches and moves, and the images it reads."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from aral.learners import LearnerSettings, Net
from aral.randomness import Stream
from aral.representations.graph import PropagatedLabels
from aral.testing import planted_data, tiny_settings

E, G, D, S = Net.ENCODER, Net.GENERATOR, Net.DISCRIMINATOR, Net.SAMPLER
DECODER, CRITIC, CLUSTERS = Net.DECODER, Net.CRITIC, Net.CLUSTERS
FROZEN = {D, S, CRITIC}
"""Networks through which the gradient of E and G passes without moving them."""

VAE = {"reconstruction": {E, G}, "divergence": {E}}
HIDE = {"encoder against S": {E}}
MATCH = {"feature matching": {G}}
JOINT = {"encoder against D": {E}, "generator against D": {G}}
LABELLED = {"classify labelled": {D}}
GENERATED = {"classify generated": {D}}
REAL = {"tell real from generated": {D}}
SAMPLER = ("S", {S}, {"tell labelled from unlabelled": {S}})
IN_CLUSTERS = {"neighbours in one cluster": {D, CLUSTERS}, "balanced clusters": {D, CLUSTERS}}
PAPER_D = ("D", {D}, REAL | LABELLED | GENERATED)
RELEASED_D = ("D", {D}, REAL | LABELLED)

Phases = list[tuple[str, set[Net], dict[str, set[Net]]]]
EXPECTED: dict[str, Phases] = {
    "supervised": [("C", {D}, LABELLED)],
    "pseudo-label": [("C", {D}, LABELLED | {"classify pseudo-labelled": {D}})],
    "fixmatch": [("C", {D}, LABELLED | {"consistency": {D}})],
    "aral": [PAPER_D, SAMPLER, ("E+G", {E, G}, VAE | HIDE | JOINT | MATCH)],
    "aral:generated-only": [PAPER_D, SAMPLER, ("E+G", {E, G}, VAE | HIDE | JOINT | MATCH)],
    "aral:no-sampler": [PAPER_D, ("E+G", {E, G}, VAE | JOINT | MATCH)],
    "aral:no-encoder": [PAPER_D, ("G", {G}, {"generator against D": {G}} | MATCH)],
    "aral:released": [RELEASED_D, SAMPLER, ("E+G", {E, G}, VAE | HIDE | MATCH)],
    "aral:released:no-sampler": [RELEASED_D, ("E+G", {E, G}, VAE | MATCH)],
    "aral:released:no-encoder": [RELEASED_D, ("G", {G}, MATCH)],
    "vaal": [("C", {D}, LABELLED), SAMPLER, ("E+G", {E, G}, VAE | HIDE)],
    "bgadl": [
        ("D", {D}, {"tell real from reconstructed": {D}, "classify reconstructed": {D}} | LABELLED),
        ("E+G", {E, G}, VAE | {"reconstruct against D": {E, G}, "keep class": {E, G}}),
    ],
    "no-co-training": [
        ("C", {D}, LABELLED | GENERATED),
        SAMPLER,
        ("E+decoder", {E, DECODER}, {"reconstruction": {E, DECODER}, "divergence": {E}} | HIDE),
        ("critic", {CRITIC}, {"tell real from generated": {CRITIC}, "predict labelled": {CRITIC}}),
        ("G", {G}, {"generator against critic": {G}}),
    ],
    "graph-ssl": [
        (
            "C",
            {D, CLUSTERS},
            LABELLED | {"consistency": {D}, "classify propagated": {D}} | IN_CLUSTERS | GENERATED,
        ),
        SAMPLER,
        ("E+G", {E, G}, VAE | HIDE | MATCH),
    ],
    "graph-ssl mixed": [
        (
            "C",
            {D, CLUSTERS},
            {"classify mixed labelled": {D}, "classify mixed unlabelled": {D}} | IN_CLUSTERS | GENERATED,
        ),
        SAMPLER,
        ("E+G", {E, G}, VAE | HIDE | MATCH),
    ],
}


def settings(case: str, **more: object) -> LearnerSettings:
    """Every pseudo-label counts, that of a new network too."""
    title, _, mixed = case.partition(" ")
    own: dict[str, dict[str, object]] = {
        "pseudo-label": {"entropy": 2.0},
        "fixmatch": {"pseudo_labels": {"confidence": 0.0}},
        "graph-ssl": {
            "weights": {"propagated": 1.0},
            "pseudo_labels": {"confidence": 0.0, "mixup": 0.75 if mixed else 0.0},
            "propagation": {"margin": 0.3, "min_share": 0.9},
        },
    }
    return tiny_settings(title, **own.get(title, {}) | more)


CERTAIN, UNCERTAIN = (0.9, 0.05, 0.05), (0.4, 0.35, 0.25)
HALF_PROPAGATED = PropagatedLabels(
    np.arange(60), np.array([(CERTAIN, UNCERTAIN)[row % 2] for row in range(60)], dtype=np.float32)
)


@pytest.mark.parametrize("case", EXPECTED)
def test_each_phase_reaches_and_moves_its_own_networks_and_no_others(case: str, one_step) -> None:
    """What E or G made is detached where another network is trained on it, and so is what S and D read."""
    step = one_step(settings(case), propagated=HALF_PROPAGATED)
    expected = iter(EXPECTED[case])
    before, previous = step.weights(), None
    for phase in step.phases():
        if previous is not None:
            assert step.moved(before) == previous, "the phase before this one"
        name, trains, terms = next(expected)
        assert (phase.name, phase.trains) == (name, trains)
        assert {term.name for term in phase.terms if term.weight} == set(terms)
        for term in phase.terms:
            if term.weight:
                found = step.reached(term.compute())
                passed_through = FROZEN if trains & {E, G, DECODER} else set()
                assert found & trains == terms[term.name], (name, term.name)
                assert found - trains <= passed_through, (name, term.name)
        before, previous = step.weights(), trains
    assert step.moved(before) == previous
    assert next(expected, None) is None


@pytest.mark.parametrize(("age", "trunk"), [(0, False), (2, False), (3, True)])
def test_before_labels_clusters_follow_the_trunk_first_and_move_it_later(
    age: int, trunk: bool, one_step
) -> None:
    """With imitation_steps = 3: D̃ learns communities, and the clusters' terms reach the heads alone."""
    own = {"pretraining": {"steps": 5, "imitation_steps": 3}}
    step = one_step(settings("graph-ssl", **own), pretraining=True, age=age)
    (phase,) = step.stage.step(step.nets, step.batch)
    reached = {term.name: step.reached(term.compute()) for term in phase.terms}
    if trunk:
        assert reached == IN_CLUSTERS
    else:
        clusters_alone = {f"{name}, heads only": {CLUSTERS} for name in IN_CLUSTERS}
        assert reached == {"classify communities": {D, CLUSTERS}} | clusters_alone
    assert phase.trains == {D, CLUSTERS}


WEIGHTS = ("cls", "trd", "adv", "gan", "generated", "feature_matching", "pseudo_labels", "propagated")


@pytest.mark.parametrize("case", sorted(set(EXPECTED) - {"supervised", "vaal"}))
def test_terms_of_weight_zero_are_left_out(case: str, one_step) -> None:
    none = {name: 0.0 for name in WEIGHTS if name in type(settings(case).weights).model_fields}
    own = {"pretraining": {"in_rounds": 0.0}} if case.startswith("graph") else {}
    own |= {"separate_gan": {"predictor": 0.0}} if case == "no-co-training" else {}
    step = one_step(settings(case, weights=none, **own))
    left = {term.name for phase in step.phases() for term in phase.terms if term.weight}
    assert left <= {"tell labelled from unlabelled"}


def test_all_learners_start_from_the_same_classifier(one_step) -> None:
    states = [one_step(settings(case)).nets.discriminator.state_dict() for case in EXPECTED]
    for other in states[1:]:
        assert all(torch.equal(value, other[name]) for name, value in states[0].items())


@pytest.mark.parametrize(
    ("case", "same"), [("aral:generated-only", True), ("aral", False), ("aral:released", False)]
)
def test_only_generated_only_trains_d_alike_whatever_unlabelled_images_show(
    case: str, same: bool, one_step
) -> None:
    quiet = {"scale": "mlp", "encoder_sizes": (), "discriminator_sizes": (8,), "generator_sizes": (8,)}
    moved = []
    for brightness in (0.0, 1.0):
        # Without hidden layers E has no batch norm, which would mix the codes of all images.
        step = one_step(settings(case, networks=quiet | {"input_noise": 0, "hidden_noise": 0}))
        step.batch.unlabelled.images.fill_(brightness)
        phases = step.phases()
        next(phases), next(phases)
        moved.append(step.nets.discriminator.state_dict())
    assert all(torch.equal(moved[0][key], moved[1][key]) for key in moved[0]) == same


@pytest.mark.parametrize(("case", "same"), [("bgadl", True), ("supervised", True), ("vaal", False)])
def test_methods_on_labelled_images_alone_never_read_others(case: str, same: bool, start, labels) -> None:
    states = []
    for seed in (0, 1):
        learner = start(settings(case))
        known = labels()
        learner.start_round(0, known, planted_data(seed=seed).pool.without(known.ids), Stream.root(2))
        learner.step(0)
        states.append(learner.state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0]) == same


def test_generator_encoder_and_sampler_train_in_every_so_many_steps(start) -> None:
    learner = start(settings("graph-ssl", training={"generate_every": 3, "steps": 9}))
    for index in range(7):
        before = {
            net: [p.detach().clone() for p in m.parameters()] for net, m in learner.nets.modules.items()
        }
        totals = {name for name in learner.step(index).values if name.startswith("total")}
        trained = index % 3 == 0
        assert totals == ({"total C", "total S", "total E+G"} if trained else {"total C"})
        for net in (E, G, S):
            pairs = zip(before[net], learner.nets.modules[net].parameters(), strict=True)
            assert any(not torch.equal(old, new) for old, new in pairs) == trained
