"""C on mixed images: what it is asked for, what it sees, whom it teaches, and who labels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from aral.learners.mixed import soft_labels
from aral.learners.spec import Model, Net, SelfTraining, Spreading
from aral.learners.step import Part

from aral.data.mixing import Mixture
from aral.learners import few_labels_phases
from aral.randomness import Stream
from aral.testing import planted_pool

from .test_few_labels import COMPACT, PAIR, model, started
from .test_learner_phases import P, a_step, names_of, reached
from .test_phases import D, E, G

SQUARES = planted_pool(60, 3, Stream.root(0), side=8)[0]
LABELLED, UNLABELLED = "classify mixed labelled", "classify mixed unlabelled"


def mixing(spreading: float = 0.0, averaged: bool = False) -> Model:
    settings = model(in_rounds=0.0, training={"labelled_batch": 2, "unlabelled_batch": 3})
    changed = settings.self_training.model_copy(update={"mixing": 0.75, "averaged": averaged})
    weights = settings.weights.model_copy(update={"generated": 0.0, "self_training": 0.5})
    return settings.model_copy(
        update={
            "self_training": changed,
            "weights": weights,
            "spreading": Spreading(weight=spreading, margin=0.2),
        }
    )


def test_mixed_terms_stand_in_for_the_labelled_and_the_confident() -> None:
    (of_d, *others) = few_labels_phases(mixing())
    assert [(term.name, term.weight) for term in of_d.terms if term.weight] == [
        (LABELLED, 1.0),
        (UNLABELLED, 0.5),
    ]
    assert of_d.sees == {Part.MIXED}
    assert [phase.name for phase in others] == ["S", "E+G"]
    with_groups = mixing().model_copy(update={"partitioning": model(in_rounds=1.0).partitioning})
    (of_d, *_) = few_labels_phases(with_groups)
    assert of_d.sees == {Part.MIXED, *PAIR}
    assert names_of((of_d,))["D"][:4] == [LABELLED, UNLABELLED, "keep neighbours together", "use all groups"]


def test_both_terms_by_hand() -> None:
    """Two labelled images and three others; the first other is mixed with a labelled one, and so on."""
    learner = started(mixing())
    with torch.no_grad():  # a new classifier gives each class a third of every image
        learner.nets.discriminator.class_layer.bias.add_(torch.tensor([1.0, 0.0, -1.0]))
    step = a_step(learner)
    step.mixture = Mixture(torch.tensor([2, 1, 0, 4, 3]), torch.tensor([0.6, 1.0, 0.7, 0.8, 0.5]))
    step.weak_pseudo_labels = torch.tensor([[0.6, 0.4, 0.0], [0.0, 0.5, 0.5], [1.0, 0.0, 0.0]])
    own = torch.tensor([[9 / 13, 4 / 13, 0.0], [0.0, 0.5, 0.5], [1.0, 0.0, 0.0]])
    one, other = step.labelled.class_probs
    strong = [*step.strong_labelled_images, *step.strong_unlabelled_images]
    torch.testing.assert_close(step.mixed_images[0], 0.6 * strong[0] + 0.4 * strong[2])
    torch.testing.assert_close(step.mixed_images[3], 0.8 * strong[3] + 0.2 * strong[4])
    wanted = torch.stack(
        [
            0.6 * one + 0.4 * own[0],
            other,
            0.7 * own[0] + 0.3 * one,
            0.8 * own[1] + 0.2 * own[2],
            0.5 * own[2] + 0.5 * own[1],
        ]
    )
    phase = learner.phases[0]
    view = phase.view(step)
    values = {term.name: float(term.compute(view).detach()) for term in phase.terms if term.weight}
    log_chances = view.judge.classify(view.features[Part.MIXED]).detach().log_softmax(dim=1)
    each = -(wanted * log_chances).sum(dim=1)
    assert values == pytest.approx({LABELLED: float(each[:2].mean()), UNLABELLED: float(each[2:].mean())})


def test_they_teach_the_trunk_and_the_classifier_only() -> None:
    learner = started(mixing())
    view = learner.phases[0].view(a_step(learner))
    for term in learner.phases[0].terms:
        if term.weight:
            assert reached(term.compute(view), learner.nets.modules, (D, E, G, P, Net.SAMPLER)) == {D}


def test_the_graph_has_the_last_word_where_it_is_sure_and_what_is_foreign_says_nothing() -> None:
    learner = started(mixing(spreading=1.0))
    step = a_step(learner)
    step.weak_pseudo_labels = torch.tensor([[0.6, 0.4, 0.0], [0.6, 0.4, 0.0], [0.6, 0.4, 0.0]])
    step.propagate_labels = torch.tensor([[0.2, 0.2, 0.6], [0.4, 0.3, 0.3], [0.1, 0.1, 0.0]])
    view = learner.phases[0].view(step)
    found = soft_labels(view, SelfTraining(temperature=1.0), Spreading(weight=1.0, margin=0.2))
    torch.testing.assert_close(found, torch.tensor([[0.0, 0.0, 1.0], [0.6, 0.4, 0.0], [0.0, 0.0, 0.0]]))
    alone = soft_labels(view, SelfTraining(temperature=1.0), Spreading(weight=0.0))
    torch.testing.assert_close(alone, step.weak_pseudo_labels)


def test_own_labels_are_aligned_before_they_are_sharpened_and_the_graphs_are_not() -> None:
    """Means 0.5, 0.4 and 0.1 against shares of 2/8, 2/8 and 4/8: factors 1/2, 5/8 and 5, rows to one, squared."""
    learner = started(mixing(spreading=1.0))
    step = a_step(learner)
    step._class_shares = np.array([2, 2, 4]) / 8
    step.weak_pseudo_labels = torch.tensor([[0.6, 0.3, 0.1], [0.4, 0.5, 0.1], [0.5, 0.4, 0.1]])
    step.propagate_labels = torch.tensor([[0.4, 0.3, 0.3], [0.1, 0.8, 0.1], [0.4, 0.3, 0.3]])
    view = learner.phases[0].view(step)
    found = soft_labels(view, SelfTraining(temperature=0.5, align=True), Spreading(weight=1.0, margin=0.2))
    squares = torch.tensor([[0.3, 0.1875, 0.5], [0.0, 1.0, 0.0], [0.25, 0.25, 0.5]]) ** 2
    torch.testing.assert_close(found, squares / squares.sum(dim=1, keepdim=True))


def test_before_labels_no_shares_are_known() -> None:
    step = started(mixing())._new_step(
        replace(started(mixing())._stage, class_shares=None), 0, Stream.root(1)
    )
    with pytest.raises(ValueError, match="no labels yet"):
        _ = step.class_shares


def test_mixed_images_have_no_classes_of_their_own() -> None:
    learner = started(mixing())
    with pytest.raises(ValueError, match="mixed"):
        learner.phases[0].view(a_step(learner)).class_probs_of(Part.MIXED)


def test_the_averaged_classifier_labels_where_that_is_set() -> None:
    """By the statistics of what it labels; once it is another, only its own pupils hear of that."""

    def labels(averaged: bool, moved: bool) -> torch.Tensor:
        learner = started(mixing(averaged=averaged))
        average = learner._averages.discriminator
        assert average is not None
        with torch.no_grad():
            for parameter in average.parameters():
                parameter.add_(torch.linspace(0, float(moved), parameter.numel()).reshape(parameter.shape))
        step = learner._new_step(learner._stage, 0, learner._stage.stream)
        found = torch.cat([step.weak_pseudo_labels, step.pseudo_labels])
        if averaged:  # images are as they are, unless `weak` changes them
            by_themselves = average.train()(step.unlabelled.images).softmax(dim=1).repeat(2, 1)
            torch.testing.assert_close(found, by_themselves)
        return found

    assert torch.equal(labels(averaged=False, moved=True), labels(averaged=False, moved=False))
    assert not torch.allclose(labels(averaged=True, moved=True), labels(averaged=True, moved=False))


def test_what_an_average_remembers_of_images_is_of_those_it_labelled() -> None:
    """C is trained on images of twice the brightness; the average classifies images as they are."""

    def remembered(averaged: bool) -> tuple[torch.Tensor, torch.Tensor]:
        learner = started(mixing(averaged=averaged).model_copy(update={"networks": COMPACT}), SQUARES)
        for index in range(30):
            step = learner._new_step(learner._stage, index, learner._stage.stream.child(index))
            step.mixed_images = 2 * step.mixed_images
            learner._run(learner.phases[0], step, index, 100)
            learner._averages.follow(index)
        states = learner.state_dict()
        name = next(name for name in states if name.endswith("running_mean") and name.startswith("average"))
        return states[name], states[name.replace("average", "discriminator")]

    average, newest = remembered(averaged=True)
    assert (average.abs() < 0.8 * newest.abs()).all()
    average, newest = remembered(averaged=False)
    torch.testing.assert_close(average, newest, atol=0.02, rtol=0.3)


@pytest.mark.parametrize("training", [True, False])
def test_who_labels_stays_in_the_mode_it_was_in(training: bool) -> None:
    learner = started(mixing(averaged=True))
    average = learner._averages.discriminator
    assert average is not None
    average.train(training)
    _ = learner._new_step(learner._stage, 0, Stream.root(1)).weak_pseudo_labels
    assert average.training is training


def test_training_with_mixtures_resumes_bit_for_bit() -> None:
    straight, stopped = (started(mixing(averaged=True)) for _ in range(2))
    for index in range(4):
        straight.step(index)
    for index in range(2):
        stopped.step(index)
    resumed = started(mixing(averaged=True))
    resumed.load_state_dict(stopped.state_dict())
    for index in range(2, 4):
        resumed.step(index)
    one, other = straight.state_dict(), resumed.state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)
