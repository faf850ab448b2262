"""The learner for few labels: groups before labels, names for them, and generated images kept apart."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from aral.learners.few_labels import PAIR, few_labels, tell_apart
from aral.learners.spec import Model, Net, Partitioning, SelfTraining, Spreading
from aral.learners.step import Part
from aral.learners.terms import Phase
from aral.losses.contrast import confusion
from aral.losses.neighbour_agreement import disagreement, imbalance
from aral.representations.neighbours import PropagatedLabels, nearest_neighbours
from torch import Tensor

from aral.acquisition import Need
from aral.data.augmentation import Augmentation
from aral.learners import PhasedLearner, evaluate, few_labels_phases, phases_before_labels
from aral.networks import CompactFamily
from aral.randomness import Stream
from aral.testing import planted_data, planted_pool, tiny_model
from aral.types import NO_IDS, ImageSet, LabelledSet

from .test_learner_phases import P, a_step, names_of, reached
from .test_phases import CPU, D

DATA = planted_data()
STEPS = 6
REACHES = {
    "imitate communities": {D, P},
    "tell images apart": {D, P},
    "sort into groups": {P},
    "use all groups, trunk given": {P},
    "keep neighbours together": {D, P},
    "use all groups": {D, P},
}


def model(steps: int = STEPS, training: dict[str, object] | None = None, **partitioning: object) -> Model:
    settings = {"steps": steps, "imitation_steps": 3} | partitioning
    return tiny_model(**(training or {})).model_copy(
        update={
            "partitioning": Partitioning.model_validate(settings),
            # Shifted or turned rows would be rows of another class.
            "self_training": SelfTraining(
                confidence=0.0, weak=Augmentation(), strong=Augmentation(cut_out=0.1)
            ),
        }
    )


def made(settings: Model, pool: ImageSet = DATA.pool) -> PhasedLearner:
    learner = few_labels(settings, pool.shape, 3, Stream.root(1), CPU)
    learner.set_pool(pool, Stream.root(3))
    return learner


def begun(settings: Model, pool: ImageSet = DATA.pool) -> PhasedLearner:
    learner = made(settings, pool)
    learner.start_pretraining(Stream.root(4))
    return learner


def labelled(ids: list[int], pool: ImageSet = DATA.pool) -> LabelledSet:
    chosen = np.array(sorted(ids), dtype=np.int64)
    return LabelledSet(pool.subset(chosen), chosen % 3, 3)


def started(settings: Model, pool: ImageSet = DATA.pool, round_number: int = 0) -> PhasedLearner:
    learner = made(settings, pool)
    known = labelled(list(range(6)), pool)
    learner.start_round(round_number, known, pool.without(known.ids), Stream.root(2))
    return learner


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


# Before labels


def test_before_labels_each_term_reaches_its_networks() -> None:
    settings = model(contrast=1.0)
    learner = begun(settings)
    step = a_step(learner)
    phases = phases_before_labels(settings)
    for phase in phases:
        assert phase.trains == {D, P} and phase.sees == set(PAIR)
        for term in phase.terms:
            value = term.compute(phase.view(step))
            assert reached(value, learner.nets.modules, learner.nets.modules) == REACHES[term.name], term.name
    assert {term.name for phase in phases for term in phase.terms} == REACHES.keys()


def test_images_are_told_apart_by_codes_in_the_first_steps_where_that_is_wanted() -> None:
    """With contrast alone the trunk learns by it, then by the groups; without, P has no codes."""
    learner = begun(model(imitation=0.0, contrast=1.0, imitation_steps=2, code_size=7))
    found = [set(learner.step(index).values) - {"total P"} for index in range(3)]
    telling = {"tell images apart", "sort into groups", "use all groups, trunk given"}
    assert found == [telling] * 2 + [{"keep neighbours together", "use all groups"}]
    view = phases_before_labels(model(contrast=1.0))[0].view(a_step_before(learner))
    codes = [learner.nets.partition.codes(view.features[part]) for part in PAIR]
    assert codes[0].shape == (len(view.step.unlabelled.ids), 7)
    by_hand = confusion(*codes, temperature=0.3)
    torch.testing.assert_close(tell_apart(0.3)(view), by_hand)
    with pytest.raises(ValueError, match="without codes"):
        begun(model()).nets.partition.codes(view.features[PAIR[0]])


def test_images_are_changed_in_one_way_before_labels_and_in_another_after() -> None:
    """The groups' own augmentation blanks out nearly all of an image, the rounds' nothing."""
    settings = model(strong={"cut_out": 1.0})
    mild = settings.self_training.model_copy(update={"strong": Augmentation()})
    settings = settings.model_copy(update={"self_training": mild})
    before = a_step_before(begun(settings))
    assert not torch.allclose(before.strong_unlabelled_images, before.unlabelled.images, atol=0.05)
    after = a_step_before(started(settings))
    assert torch.equal(after.strong_unlabelled_images, after.unlabelled.images)
    plain = model().augmented(before_labels=True)
    assert plain == model().self_training, "without one of its own, that of the rounds"


def test_without_neighbours_an_image_stands_for_itself_in_another_augmentation() -> None:
    step = a_step_before(begun(model(neighbours=0, imitation=0.0)))
    found = step.neighbour_graph(step.unlabelled.ids, Stream.root(5))
    assert torch.equal(found.images, step.unlabelled.images)
    assert found.ids.tolist() == step.unlabelled.ids.tolist()
    assert not torch.equal(step.strong_neighbour_images, step.strong_unlabelled_images)


def test_before_labels_only_the_trunk_and_the_groups_move_and_no_label_is_asked_for() -> None:
    learner = begun(model())
    before = learner.state_dict()
    losses = learner.step(0)
    assert not losses.skipped and losses.values["total P"] > 0
    after = learner.state_dict()
    nets = {name.partition(".")[0] for name, value in before.items() if not torch.equal(value, after[name])}
    assert nets == {"discriminator", "partition", "average", "average partition", "age"}
    heads = [name for name in after if "class_layer" in name or "realness_head" in name]
    assert heads and all(
        torch.equal(before[name], after[name]) for name in heads if name.startswith("discriminator")
    )
    with pytest.raises(ValueError, match="no labels yet"):
        _ = a_step_before(learner).labelled


def a_step_before(learner: PhasedLearner):
    return learner._new_step(learner._stage, 0, Stream.root(5))


def test_the_trunk_imitates_first_and_finds_groups_of_its_own_afterwards() -> None:
    learner = begun(model(imitation_steps=2))
    found = [set(learner.step(index).values) - {"total P"} for index in range(4)]
    imitating = {"imitate communities", "sort into groups", "use all groups, trunk given"}
    assert found == [imitating] * 2 + [{"keep neighbours together", "use all groups"}] * 2
    without = begun(model(imitation=0.0))
    assert set(without.step(0).values) == {"keep neighbours together", "use all groups", "total P"}


def test_imitation_by_hand() -> None:
    """−log of the probability of an image's community, by the image and by its neighbour, in the last head."""
    learner = begun(model())
    step = a_step_before(learner)
    (phase,) = phases_before_labels(model())
    view = phase.view(step)
    term = next(term for term in phase.terms if term.name == "imitate communities")
    count = learner.nets.partition.group_counts[-1]
    assert count == 3 * learner._model.partitioning.communities_per_class
    wanted = step.neighbour_graph.communities(step.unlabelled.ids, count)
    total = 0.0
    for part in PAIR:
        chances = view.group_logits(part)[-1].detach().log_softmax(dim=1)
        total -= sum(float(row[place]) for row, place in zip(chances, wanted, strict=True))
    assert float(term.compute(view).detach()) == pytest.approx(total / (2 * len(wanted)), rel=1e-5)


@pytest.mark.parametrize("to_trunk", [True, False])
def test_the_groups_terms_are_means_over_the_heads(to_trunk: bool) -> None:
    """Heads of 3 and 9 groups; the head of the communities is none of them."""
    learner = begun(model())
    (phase,) = phases_before_labels(model())
    view = phase.view(a_step_before(learner))
    names = ("keep neighbours together", "use all groups")
    names = names if to_trunk else ("sort into groups", "use all groups, trunk given")
    terms = {term.name: term for term in phase.terms}
    one, other = (view.group_logits(part) for part in PAIR)
    assert [head.shape[1] for head in one[:2]] == [3, 9]
    kept = [float(disagreement(one[head], other[head]).detach()) for head in (0, 1)]
    used = [float(imbalance(torch.cat([one[head], other[head]])).detach()) for head in (0, 1)]
    for name, parts in zip(names, (kept, used), strict=True):
        assert float(terms[name].compute(view).detach()) == pytest.approx(sum(parts) / 2, rel=1e-5)


def test_before_labels_training_resumes_bit_for_bit() -> None:
    straight = begun(model())
    for index in range(STEPS):
        straight.step(index)
    first, resumed = begun(model()), begun(model())
    for index in range(2):
        first.step(index)
    torch.rand(3)
    resumed.load_state_dict(first.state_dict())
    for index in range(2, STEPS):
        resumed.step(index)
    assert same(straight.state_dict(), resumed.state_dict())


def test_the_pool_decides_and_its_listing_does_not() -> None:
    order = np.random.default_rng(0).permutation(DATA.pool.ids)
    one, other = begun(model()), begun(model(), DATA.pool.subset(order))
    part = begun(model(), DATA.pool.subset(DATA.pool.ids[:30]))
    for learner in (one, other, part):
        for index in range(2):
            learner.step(index)
    assert same(one.state_dict(), other.state_dict()) and not same(one.state_dict(), part.state_dict())


def test_who_has_not_met_the_pool_knows_no_neighbours() -> None:
    learner = few_labels(model(), DATA.pool.shape, 3, Stream.root(1), CPU)
    known = labelled([0, 1, 2])
    with pytest.raises(ValueError, match="has not met the pool"):
        learner.start_round(1, known, DATA.pool.without(known.ids), Stream.root(2))
        learner.step(0)


# Groups and names


def grouped(steps: int = 90) -> PhasedLearner:
    learner = begun(model(steps, {"unlabelled_batch": 30}, imitation_steps=30))
    for index in range(steps):
        learner.step(index)
    return learner


def test_ten_labels_are_not_needed_where_groups_are_classes() -> None:
    """Planted rows are found without labels; one label in each group then names them all, without a step."""
    learner = grouped()
    groups = (
        learner.predict(DATA.pool, [Need.CLUSTERS], Stream.root(0)).get(Need.CLUSTERS).argmax(dim=1).numpy()
    )
    purity = sum(np.bincount(DATA.pool_classes[groups == group]).max() for group in np.unique(groups))
    assert purity / len(groups) > 0.95
    assert evaluate(learner, DATA.test).accuracy < 0.7
    known = labelled([0, 1, 2])
    learner.start_round(0, known, DATA.pool.without(known.ids), Stream.root(2))
    assert evaluate(learner, DATA.test).accuracy > 0.95


def test_names_are_given_once_and_only_to_groups_that_were_trained() -> None:
    for settings, round_number, named in (
        (model(), 0, True),
        (model(), 1, False),
        (model(steps=0), 0, False),
    ):
        fresh, learner = made(settings).state_dict(), started(settings, round_number=round_number)
        after = learner.state_dict()
        for prefix in ("discriminator.", "average."):
            names = [name for name in fresh if name.startswith(f"{prefix}class_layer.")]
            assert names
            assert any(not torch.equal(fresh[name], after[name]) for name in names) == named
        assert same({"": fresh["partition.layer.weight"]}, {"": after["partition.layer.weight"]})


def test_groups_are_the_averaged_networks_opinion_of_the_first_head() -> None:
    learner = begun(model())
    for index in range(STEPS):
        learner.step(index)
    found = learner.predict(DATA.pool, [Need.CLUSTERS, Need.FEATURES], Stream.root(0))
    groups = found.get(Need.CLUSTERS)
    assert groups.shape == (len(DATA.pool), 3)
    torch.testing.assert_close(groups.sum(dim=1), torch.ones(len(groups)))
    state = {name: value.double() for name, value in learner.state_dict().items()}
    weight, bias = (state[f"average partition.layer.{name}"][:3] for name in ("weight", "bias"))
    by_hand = torch.softmax(found.get(Need.FEATURES).double() @ weight.T + bias, dim=1)
    torch.testing.assert_close(groups.double(), by_hand, atol=1e-5, rtol=1e-4)
    newest = state["partition.layer.weight"][:3]
    assert not torch.allclose(weight, newest, atol=1e-4)


def test_the_age_of_the_networks_counts_the_steps_before_labels() -> None:
    learner = begun(model())
    for index in range(STEPS):
        learner.step(index)
    known = labelled(list(range(6)))
    learner.start_round(0, known, DATA.pool.without(known.ids), Stream.root(2))
    learner.step(0)
    assert int(learner.state_dict()["age"]) == STEPS + 1


# In rounds


def test_the_circle_is_the_papers_and_a_weight_of_zero_leaves_a_part_out() -> None:
    whole = {phase.name: phase for phase in few_labels_phases(model())}
    assert names_of(few_labels_phases(model())) == {
        "D": [
            "classify labelled",
            "agree",
            "keep neighbours together",
            "use all groups",
            "classify generated",
        ],
        "S": ["tell labelled"],
        "E+G": ["reconstruction", "divergence", "hide from sampler", "feature matching"],
    }
    assert whole["D"].trains == {D, P}
    assert whole["D"].sees == {Part.STRONG_LABELLED, *PAIR, Part.GENERATED}
    bare = model(in_rounds=0.0)
    bare = bare.model_copy(update={"weights": bare.weights.model_copy(update={"generated": 0.0})})
    (of_d, *_) = few_labels_phases(bare)
    assert of_d.sees == {Part.STRONG_LABELLED, Part.STRONG_UNLABELLED}
    assert [term.name for term in of_d.terms if term.weight] == ["classify labelled", "agree"]
    # Then nobody asks for neighbours, and the pool need not be met.
    learner = few_labels(bare, DATA.pool.shape, 3, Stream.root(1), CPU)
    known = labelled([0, 1, 2])
    learner.start_round(1, known, DATA.pool.without(known.ids), Stream.root(2))
    assert not learner.step(0).skipped


def test_generator_encoder_and_sampler_train_in_every_so_many_steps() -> None:
    learner = started(model(training={"generate_every": 3, "steps": 9}))
    for index in range(7):
        before = learner.state_dict()
        totals = {name for name in learner.step(index).values if name.startswith("total")}
        after = learner.state_dict()
        trained = index in (0, 3, 6)
        assert totals == ({"total D", "total S", "total E+G"} if trained else {"total D"})
        for net in ("encoder", "generator", "sampler"):
            names = [f"{net}.{name}" for name, _ in learner.nets.modules[Net(net)].named_parameters()]
            assert any(not torch.equal(before[name], after[name]) for name in names) == trained


def test_generated_images_count_where_the_classifier_agrees() -> None:
    """−log p(wanted) of those whose wanted class has 40 % or more, divided by all of them."""
    settings = model()
    settings = settings.model_copy(
        update={"self_training": settings.self_training.model_copy(update={"confidence": 0.4})}
    )
    learner = started(settings)
    with torch.no_grad():  # a classifier that prefers class 0
        learner.nets.discriminator.class_layer.bias.add_(torch.tensor([2.0, 0.0, 0.0]))
    phase = learner.phases[0]
    view = phase.view(a_step(learner))
    wanted = view.step.prior_classes.argmax(dim=1)
    logits = view.judge.classify(view.features[Part.GENERATED]).detach().double()
    chances = [float(row[place]) for row, place in zip(logits.softmax(dim=1), wanted, strict=True)]
    used = [chance for chance in chances if chance >= 0.4]
    assert 0 < len(used) < len(chances)
    term = next(term for term in phase.terms if term.name == "classify generated")
    by_hand = -sum(math.log(chance) for chance in used) / len(chances)
    assert float(term.compute(view).detach()) == pytest.approx(by_hand, rel=1e-5)


# Labels along the graph

SPREADING = {"weight": 0.5, "margin": 0.3}


def spread_terms(
    own: list[tuple[float, ...]], graph: list[tuple[float, ...]], named: float = 0.25, align: bool = False
) -> tuple[dict[str, float], Tensor]:
    """The two terms and C's logits, with opinions laid into the step; the graph names a share of the pool."""
    settings = model().model_copy(
        update={
            "spreading": Spreading(**SPREADING),
            "self_training": model().self_training.model_copy(update={"confidence": 0.8, "align": align}),
        }
    )
    learner = started(
        settings.model_copy(
            update={"training": settings.training.model_copy(update={"unlabelled_batch": len(own)})}
        )
    )
    phase = learner.phases[0]
    step = a_step(learner)
    step.weak_pseudo_labels, step.propagate_labels = torch.tensor(own), torch.tensor(graph)
    of_pool = np.full((100, 3), 1 / 3, dtype=np.float32)
    of_pool[: round(100 * named)] = (0.6, 0.3, 0.1)
    step._spread = lambda: PropagatedLabels(np.arange(100), of_pool)
    view = phase.view(step)
    terms = {term.name: term for term in phase.terms}
    values = {name: float(terms[name].compute(view).detach()) for name in ("agree", "follow the graph")}
    assert terms["follow the graph"].weight == 0.5
    return values, view.judge.classify(view.features[Part.STRONG_UNLABELLED]).detach().log_softmax(dim=1)


def test_an_image_has_its_label_from_the_graph_or_from_the_classifier_or_none() -> None:
    """Both sure, of one class and of two; only C, the graph for the same and another; only the graph; neither."""
    sure_0, sure_1, unsure = (0.9, 0.05, 0.05), (0.1, 0.8, 0.1), (0.4, 0.35, 0.25)
    own = [sure_0, sure_0, sure_0, sure_1, unsure, unsure]
    graph = [sure_0, sure_1, unsure, unsure, sure_1, unsure]
    values, log_chances = spread_terms(own, graph)
    from_own = [(2, 0)]
    from_graph = [(0, 0), (1, 1), (4, 1)]
    by_hand = {
        name: mean_cross_entropy(log_chances, pairs)
        for name, pairs in (("agree", from_own), ("follow the graph", from_graph))
    }
    assert values == pytest.approx(by_hand, rel=1e-5)


def mean_cross_entropy(log_chances: Tensor, pairs: list[tuple[int, int]]) -> float:
    return -sum(float(log_chances[image, label]) for image, label in pairs) / len(log_chances)


def test_a_graph_that_names_too_few_images_is_not_asked_to_agree() -> None:
    """C's sure labels count where the graph is unsure, even of another class; the graph's few still count."""
    sure_0, sure_1, unsure = (0.9, 0.05, 0.05), (0.1, 0.8, 0.1), (0.4, 0.35, 0.25)
    own, graph = [sure_1, sure_0, sure_1, unsure], [unsure, unsure, sure_0, sure_1]
    values, log_chances = spread_terms(own, graph, named=0.24)
    assert values["agree"] == pytest.approx(mean_cross_entropy(log_chances, [(0, 1), (1, 0)]), rel=1e-5)
    assert values["follow the graph"] == pytest.approx(
        mean_cross_entropy(log_chances, [(2, 0), (3, 1)]), rel=1e-5
    )


def test_own_labels_are_aligned_before_the_graph_is_asked() -> None:
    """Means 0.6, 0.3, 0.1 against a third each: the rows become (0.5, 0.125, 0.375) and (0.2, 0.5, 0.3)."""
    unsure = (0.4, 0.35, 0.25)
    own = [(0.8, 0.1, 0.1), (0.4, 0.5, 0.1)]
    aligned, log_chances = spread_terms(own, [unsure] * 2, named=0.24, align=True)
    as_it_is, _ = spread_terms(own, [unsure] * 2, named=0.24)
    assert aligned["agree"] == 0
    assert as_it_is["agree"] == pytest.approx(mean_cross_entropy(log_chances, [(0, 0)]), rel=1e-5)


def test_what_the_graph_takes_for_foreign_has_no_label() -> None:
    """Rows whose sum lacks 0.7 and 0.4: ahead of 0.2 by half, and of 0.35 by a twentieth only."""
    sure_0 = (0.9, 0.05, 0.05)
    for named, used in ((0.25, [(1, 0)]), (0.24, [(1, 0)])):
        values, log_chances = spread_terms([sure_0] * 2, [(0.2, 0.1, 0.0), (0.35, 0.25, 0.0)], named)
        assert values["agree"] == pytest.approx(mean_cross_entropy(log_chances, used), rel=1e-5)
        assert values["follow the graph"] == 0


def test_images_of_no_class_spread_as_well() -> None:
    """What a round or a query is told of them reaches their neighbours; without a word nothing is ood."""
    learner = started(model())
    known, asked = labelled(list(range(9))), DATA.pool.subset(np.arange(20, 40))
    for ood in (np.array([30, 33], dtype=np.int64), NO_IDS):
        learner.set_labels(known, ood)
        learner.start_round(1, known, DATA.pool.without(known.ids), Stream.root(6))
        wanted = learner._known.neighbour_graph.spread(known, ood)
        found = learner.predict(asked, [Need.PROPAGATED], Stream.root(0)).get(Need.PROPAGATED)
        assert torch.equal(found, wanted(asked.ids))
        assert bool((wanted.class_probs.sum(axis=1) < 0.9).any()) == bool(ood.size)
        step = learner._new_step(learner._stage, 0, Stream.root(5))
        assert torch.equal(step.propagate_labels, wanted(step.unlabelled.ids))


def test_labels_spread_from_the_rounds_own_labels() -> None:
    """The step asks the graph with the labels of its round: an image's likeliest class is its neighbours'."""
    settings = model().model_copy(update={"spreading": Spreading(**SPREADING)})
    learner = started(settings)
    step = learner._new_step(learner._stage, 0, Stream.root(5))
    wanted = learner._known.neighbour_graph.spread(labelled(list(range(6))))
    assert torch.equal(step.propagate_labels, wanted(step.unlabelled.ids))
    assert float(step.propagate_labels.sum()) == pytest.approx(len(step.unlabelled.ids))
    assert {"agree", "follow the graph"} <= learner.step(0).values.keys()
    with pytest.raises(ValueError, match="no labels yet"):
        _ = a_step_before(begun(settings)).propagate_labels


def test_a_query_is_given_what_the_labels_say_along_the_graph() -> None:
    """The labels that were met last, those of the round or more."""
    learner = started(model())
    asked = DATA.pool.subset(np.array([40, 7, 21], dtype=np.int64))
    with pytest.raises(ValueError, match="has not met any labels"):
        learner.predict(asked, [Need.PROPAGATED], Stream.root(0))
    for ids in ([0, 1, 2], list(range(9))):
        known = labelled(ids)
        learner.set_labels(known)
        found = learner.predict(asked, [Need.PROPAGATED, Need.PROBABILITIES], Stream.root(0))
        wanted = learner._known.neighbour_graph.spread(known)(np.array([7, 21, 40]))
        assert found.ids.tolist() == [7, 21, 40] and torch.equal(found.get(Need.PROPAGATED), wanted)
        assert found.get(Need.PROBABILITIES).shape == wanted.shape


def test_a_query_is_given_places_in_the_graph() -> None:
    """The half-whitened components of the pool that neighbours are sought in, in the order of ids."""
    learner = started(model())
    asked = DATA.pool.subset(np.array([40, 7, 21], dtype=np.int64))
    found = learner.predict(asked, [Need.REPRESENTATION], Stream.root(0)).get(Need.REPRESENTATION)
    whole = learner.predict(DATA.pool, [Need.REPRESENTATION], Stream.root(0)).get(Need.REPRESENTATION)
    assert torch.equal(found, whole[[7, 21, 40]])
    table, distances = nearest_neighbours(whole, 5)
    assert learner._known.neighbour_graph.table.tolist() == DATA.pool.ids[table].tolist()
    assert (distances > 0).any()


def test_spreading_teaches_the_trunk_and_the_classifier_only() -> None:
    strict = model().self_training.model_copy(update={"confidence": 0.8})
    settings = model().model_copy(update={"spreading": Spreading(**SPREADING), "self_training": strict})
    learner = started(settings)
    phase = learner.phases[0]
    term = next(term for term in phase.terms if term.name == "follow the graph")
    step = a_step(learner)
    step.weak_pseudo_labels = torch.full((len(step.unlabelled.ids), 3), 1 / 3)
    step.propagate_labels = torch.eye(3)[torch.zeros(len(step.unlabelled.ids), dtype=torch.long)]
    value = term.compute(phase.view(step))
    assert reached(value, learner.nets.modules, learner.nets.modules) == {D}


# Batch norm


POOL, _ = planted_pool(30, 3, Stream.root(8), side=8)
COMPACT = CompactFamily(widths=(4, 6), encoder_widths=(4, 4, 4), generator_widths=(4, 4, 4), sampler_width=8)


def compact(generated: float = 1.0) -> PhasedLearner:
    settings = model().model_copy(update={"networks": COMPACT})
    weights = settings.weights.model_copy(update={"generated": generated})
    return started(settings.model_copy(update={"weights": weights}), POOL)


def statistics(learner: PhasedLearner) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in learner.nets.discriminator.named_buffers()}


def phase_named(learner: PhasedLearner, name: str) -> Phase:
    return next(phase for phase in learner.phases if phase.name == name)


def test_generated_images_do_not_move_the_statistics_of_the_trunk() -> None:
    """D's phase leaves the same statistics with and without them, and the phase of E and G leaves all alone."""
    found = []
    for generated in (1.0, 0.0):
        learner = compact(generated)
        before, step = statistics(learner), a_step(learner)
        for name in ("S", "E+G"):
            learner._run(phase_named(learner, name), step, 0, 5)
        assert before and same(before, statistics(learner))
        learner._run(phase_named(learner, "D"), step, 0, 5)
        found.append(statistics(learner))
        assert not same(before, found[-1])
    assert same(*found)


def test_generated_images_are_read_with_the_statistics_of_the_real_ones() -> None:
    learner = compact()
    with torch.no_grad():
        for index in range(3):
            learner.step(index)
        view = phase_named(learner, "D").view(a_step(learner))
        features = view.features
        judge = learner.nets.discriminator
        torch.testing.assert_close(features[Part.GENERATED], judge.eval().features(view.generated))
        plain = judge.features(view.step.real_images(Part.STRONG_UNLABELLED))
        assert not torch.allclose(features[Part.STRONG_UNLABELLED], plain, atol=1e-3)


def test_gradient_reaches_the_generator_through_fixed_statistics() -> None:
    learner = compact()
    phase = phase_named(learner, "E+G")
    term = next(term for term in phase.terms if term.name == "feature matching")
    value = term.compute(phase.view(a_step(learner)))
    gradients = torch.autograd.grad(value, list(learner.nets.generator.parameters()), allow_unused=True)
    assert any(gradient is not None and gradient.abs().sum() > 0 for gradient in gradients)
    assert learner.nets.discriminator.training
