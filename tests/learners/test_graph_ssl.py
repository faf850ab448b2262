"""graph-ssl: clusters before labels, the classifier from clusters, propagated labels, pseudo-labels, mixup."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax, softmax

from aral.acquisition import Need
from aral.data.batches import gather
from aral.data.mixing import Mixture
from aral.learners import GraphSslSettings, Net, Task, evaluate
from aral.learners.engine import FirstLabels
from aral.learners.graph_ssl import UNSEEN_CLASS, classifier_from_clusters
from aral.neighbours import nearest_neighbours
from aral.networks import ClusterHeads, RealnessHead
from aral.networks.layers import weight_normalised
from aral.networks.parts import TrunkDiscriminator
from aral.randomness import Stream
from aral.representations.graph import NeighbourGraph, PropagatedLabels
from aral.testing import planted_pool, tiny_settings
from aral.types import NO_IDS, Ids, UnlabelledBatch

D = Net.DISCRIMINATOR
PLAIN: dict[str, object] = {"shift": 0.0, "scale": 0.0, "rotation": 0, "shear": 0, "cut_out": 0.0}
MLP = {"scale": "mlp", "encoder_sizes": (16,), "generator_sizes": (16,), "discriminator_sizes": (16, 16)}
QUIET = MLP | {"input_noise": 0.0, "hidden_noise": 0.0}
COMPACT = {
    "scale": "compact",
    "widths": (4, 6),
    "encoder_widths": (4, 4, 4),
    "generator_widths": (4, 4, 4),
    "sampler_width": 8,
}


def settings(steps: int = 6, **more: object) -> GraphSslSettings:
    """Images as they are: shifted or turned rows would be rows of another class."""
    tables: dict[str, dict[str, object]] = {
        "pretraining": {"steps": steps, "imitation_steps": 3},
        "pseudo_labels": {"confidence": 0.0, "weak": PLAIN, "strong": PLAIN},
        "training": {"steps": steps},
    }
    for key, value in more.items():
        inner = tables.get(key)
        tables[key] = inner | value if isinstance(inner, dict) and isinstance(value, dict) else value
    made = tiny_settings("graph-ssl", steps, **tables)
    assert isinstance(made, GraphSslSettings)
    return made


def alone(**more: object) -> GraphSslSettings:
    """Without clusters and generated images in rounds, and D̃ without noise."""
    weights = {"generated": 0.0, **more.pop("weights", {})}
    pretraining = {"in_rounds": 0.0, **more.pop("pretraining", {})}
    return settings(networks=QUIET, weights=weights, pretraining=pretraining, **more)


def log_probs(step, images: Tensor) -> Tensor:
    return log_softmax(step.nets.discriminator(images).detach(), dim=1)


# Before labels


def test_communities_are_imitated_by_an_image_and_its_neighbour(one_step) -> None:
    """−log of the probability of the image's community, in the last head."""
    step = one_step(
        settings(networks=QUIET, pretraining={"communities_per_class": 2}), pretraining=True, age=0
    )
    (phase,) = step.stage.step(step.nets, step.batch)
    heads, disc, batch = step.nets.modules[Net.CLUSTERS], step.nets.discriminator, step.batch
    found = torch.from_numpy(batch.graph.clusters(batch.unlabelled.ids, 6))
    logits = [heads(disc.features(part.images))[-1] for part in (batch.unlabelled, batch.neighbours)]
    assert logits[0].shape[1] == 6
    by_hand = -torch.cat([log_softmax(part, dim=1)[torch.arange(8), found] for part in logits]).mean()
    assert step.values(phase)["classify communities"] == pytest.approx(float(by_hand.detach()), rel=1e-5)


@pytest.mark.parametrize(("age", "suffix"), [(0, ", heads only"), (5, "")])
def test_cluster_terms_are_means_over_the_heads(age: int, suffix: str, one_step) -> None:
    """−log Σ p·q of neighbours, log K − H(mean p) of both; heads of 3 and 9 clusters, not the communities'."""
    step = one_step(settings(networks=QUIET), pretraining=True, age=age)
    (phase,) = step.stage.step(step.nets, step.batch)
    heads, disc, batch = step.nets.modules[Net.CLUSTERS], step.nets.discriminator, step.batch
    parts = (batch.unlabelled.images, batch.neighbours.images)
    one, other = ([softmax(head, dim=1) for head in heads(disc.features(part))] for part in parts)
    assert [head.shape[1] for head in one] == [3, 9, 6]
    together = [-(one[head] * other[head]).sum(dim=1).log().mean() for head in (0, 1)]
    means = [torch.cat([one[head], other[head]]).mean(dim=0) for head in (0, 1)]
    balance = [math.log(len(mean)) + (mean * mean.log()).sum() for mean in means]
    values = step.values(phase)
    expected = {"neighbours in one cluster": together, "balanced clusters": balance}
    for name, by_head in expected.items():
        assert values[f"{name}{suffix}"] == pytest.approx(float(sum(by_head).detach()) / 2, rel=1e-3)


def test_without_imitation_clusters_train_from_the_first_step(one_step) -> None:
    step = one_step(settings(pretraining={"imitation": 0.0}), pretraining=True, age=0)
    (phase,) = step.stage.step(step.nets, step.batch)
    assert {term.name for term in phase.terms} == {"neighbours in one cluster", "balanced clusters"}


def test_pretraining_moves_the_trunk_and_the_clusters_and_asks_for_no_label(start, one_step) -> None:
    learner = start(settings(), round_number=None)
    before = learner.state_dict()
    assert not learner.step(0).skipped
    after = learner.state_dict()
    moved = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert {name.rpartition(".")[0].split(".")[0] for name in moved} - {""} == {
        "discriminator",
        "clusters",
        "ema",
    }
    assert not [name for name in moved if "class_layer" in name or "realness_head" in name]
    batch = one_step(settings(), pretraining=True).batch
    for name in ("labelled", "propagated_labels", "class_shares"):
        with pytest.raises(ValueError, match="no labels in pretraining"):
            getattr(batch, name)


@pytest.mark.parametrize("pretraining", [True, False])
def test_pretraining_has_an_augmentation_of_its_own(pretraining: bool, monkeypatch, one_step) -> None:
    """The heads are shown nearly blank images before labels, and images as they are in a round."""
    own = {"pretraining": {"strong": PLAIN | {"cut_out": 1.0}}}
    step = one_step(settings(**own), pretraining=pretraining)
    shown: list[Tensor] = []
    features = step.nets.discriminator.features
    monkeypatch.setattr(step.nets.discriminator, "features", lambda x: shown.append(x) or features(x))
    next(step.stage.step(step.nets, step.batch))
    plain = step.batch.unlabelled.images
    at = slice(0, 8) if pretraining else slice(8, 16)  # after the labelled images
    assert torch.allclose(shown[0][at], plain, atol=0.05) != pretraining


def test_without_neighbours_an_image_stands_for_itself(one_step) -> None:
    batch = one_step(settings(pretraining={"neighbours": 0})).batch
    assert batch.neighbours.ids.tolist() == batch.unlabelled.ids.tolist()
    assert torch.equal(batch.neighbours.images, batch.unlabelled.images)


def test_a_neighbour_that_may_not_be_trained_on_is_replaced_by_the_image_itself(
    start, data, labels, monkeypatch
) -> None:
    """Images kept for validation or of no class do not come back: of two neighbours in turn, one is hidden."""
    hidden, known = np.arange(6, 16, dtype=np.int64), labels()
    learner = start(settings(pretraining={"steps": 0}, weights={"generated": 0.0}))
    learner.start_round(1, known, data.pool.without(np.union1d(known.ids, hidden)), Stream.root(1))
    asked: list[Ids] = []

    def planted(graph: NeighbourGraph, ids: Ids, stream: Stream) -> UnlabelledBatch:
        asked.append(ids)
        found = np.where(np.arange(len(ids)) % 2 == 0, hidden[0], known.ids[0])
        return UnlabelledBatch(found, gather(data.pool, found, False))

    monkeypatch.setattr(NeighbourGraph, "neighbour_batch", planted)
    shown: list[Tensor] = []
    disc = learner.nets.discriminator
    features = disc.features
    monkeypatch.setattr(disc, "features", lambda x: shown.append(x) or features(x))
    learner.step(0)
    own = gather(data.pool, asked[0], False)
    expected = own.clone()
    expected[1::2] = gather(data.pool, known.ids[:1], False)
    torch.testing.assert_close(shown[0][16:24], expected, atol=1e-5, rtol=0)


def test_the_pool_decides_and_its_order_does_not(start, data) -> None:
    order = np.random.default_rng(0).permutation(data.pool.ids)
    states = []
    for pool in (data.pool, data.pool.subset(order), data.pool.subset(data.pool.ids[:30])):
        learner = start(settings(), pool, round_number=None)
        for index in range(2):
            learner.step(index)
        states.append(learner.state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert any(not torch.equal(states[0][key], states[2][key]) for key in states[0])


def test_a_learner_without_the_pool_has_no_neighbours(data, labels) -> None:
    known = labels()
    for own, works in ((settings(), False), (alone(), True)):
        learner = own.model_copy(
            update={"pretraining": own.pretraining.model_copy(update={"steps": 0})}
        ).build(Task(data.pool.shape, 3, Stream.root(1)))
        learner.start_round(0, known, data.pool.without(known.ids), Stream.root(2))
        if works:
            assert not learner.step(0).skipped
        else:
            with pytest.raises(ValueError, match="no pool"):
                learner.step(0)


# From clusters to classes


def test_few_labels_are_enough_where_clusters_are_classes(start, data, labels) -> None:
    """Planted rows are found without labels; one label in each cluster makes C right without a step."""
    steps = 90
    own = settings(steps, training={"unlabelled_batch": 30}, pretraining={"imitation_steps": 30})
    learner = start(own, round_number=None)
    for index in range(steps):
        learner.step(index)
    found = learner.predict(data.pool, [Need.CLUSTERS], Stream.root(0)).get(Need.CLUSTERS)
    clusters = found.argmax(dim=1).numpy()
    purity = sum(np.bincount(data.pool_classes[clusters == each]).max() for each in np.unique(clusters))
    assert purity / len(clusters) > 0.95
    assert evaluate(learner, data.test).accuracy < 0.7
    known = labels([0, 1, 2])
    learner.start_round(0, known, data.pool.without(known.ids), Stream.root(2))
    assert evaluate(learner, data.test).accuracy > 0.95


@pytest.mark.parametrize(
    ("steps", "round_number", "from_clusters"), [(6, 0, True), (6, 1, False), (0, 0, False)]
)
def test_c_starts_from_clusters_once_and_only_after_pretraining(
    steps: int, round_number: int, from_clusters: bool, start, data
) -> None:
    own = settings(steps)
    fresh = own.build(Task(data.pool.shape, 3, Stream.root(1))).state_dict()
    after = start(own, round_number=round_number).state_dict()
    for prefix in ("discriminator.", "ema.discriminator."):
        names = [name for name in fresh if name.startswith(f"{prefix}class_layer.")]
        assert names
        assert any(not torch.equal(fresh[name], after[name]) for name in names) == from_clusters


# Four clusters on two features; a second head of two clusters takes no part.
WEIGHTS = [[1.0, 0.0], [0.0, 2.0], [-3.0, 1.0], [5.0, 5.0], [99.0, 99.0], [-99.0, 99.0]]
BIASES = [0.1, 0.2, 0.7, 4.0, 50.0, -50.0]
# Class 0 has two images in cluster 0 and one in cluster 1, class 1 one in cluster 2, class 2 none, class 3 one in
# cluster 1.
FOUND = FirstLabels(torch.tensor([0, 1, 0, 2, 1]), torch.tensor([0, 0, 0, 1, 3]))
EXPECTED = [[2 / 3, 2 / 3], [-3.0, 1.0], [0.0, 0.0], [0.0, 2.0]]
EXPECTED_BIASES = [0.4 / 3, 0.7, (0.4 / 3 + 0.7 + 0.2) / 3 - UNSEEN_CLASS, 0.2]


def planted_heads(normalised: bool) -> tuple[TrunkDiscriminator, ClusterHeads]:
    layer: nn.Module = nn.Linear(2, 4)
    if normalised:
        layer = weight_normalised(nn.Sequential(layer))[0]
    trunk = nn.Sequential(nn.Flatten(), nn.Linear(2, 2))
    classifier, clusters = TrunkDiscriminator(trunk, 2, layer, RealnessHead(2, 1, 4)), ClusterHeads(2, (4, 2))
    with torch.no_grad():
        clusters.layer.weight.copy_(torch.tensor(WEIGHTS))
        clusters.layer.bias.copy_(torch.tensor(BIASES))
    return classifier, clusters


@pytest.mark.parametrize("normalised", [False, True])
def test_a_class_gets_the_mean_weights_of_its_images_clusters(normalised: bool) -> None:
    """Also where weight norm keeps lengths and directions apart, of which a row of zeros has none."""
    classifier, clusters = planted_heads(normalised)
    before = {
        name: value.clone()
        for part in (classifier, clusters)
        for name, value in part.state_dict(prefix=f"{type(part).__name__}.").items()
    }
    classifier_from_clusters(classifier, clusters, FOUND)
    layer = classifier.class_layer
    torch.testing.assert_close(layer.weight, torch.tensor(EXPECTED), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(layer.bias, torch.tensor(EXPECTED_BIASES))
    for part in (classifier, clusters):
        for name, value in part.state_dict(prefix=f"{type(part).__name__}.").items():
            assert torch.equal(value, before[name]) or ".class_layer." in name
    # It can be trained, on the class without labels too.
    logits = classifier(torch.randn(5, 1, 1, 2))
    assert logits.isfinite().all() and (logits.argmax(dim=1) != 2).all()
    parameters = list(layer.parameters())
    gradients = torch.autograd.grad(logits[:, 2].sum(), parameters)
    assert all(parameter.requires_grad and parameter.is_leaf for parameter in parameters)
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert any(gradient[2].abs().max() > 0 for gradient in gradients if gradient.ndim == 2)


def test_one_image_of_each_cluster_makes_the_classifier_the_head() -> None:
    classifier, clusters = planted_heads(False)
    classifier_from_clusters(
        classifier, clusters, FirstLabels(torch.tensor([3, 0, 1, 2]), torch.tensor([0, 1, 2, 3]))
    )
    images = torch.randn(6, 1, 1, 2)
    expected = clusters(classifier.features(images))[0][:, [3, 0, 1, 2]]
    torch.testing.assert_close(classifier(images), expected)


# Pseudo-labels and propagated labels

SURE_0, SURE_1, UNSURE = (0.9, 0.05, 0.05), (0.1, 0.8, 0.1), (0.4, 0.35, 0.25)
Rows = list[tuple[float, ...]]


def terms_with(
    one_step, own: Rows, graph: Rows, confident_share: float = 0.25, align: bool = False
) -> tuple[dict[str, float], Tensor]:
    """The terms of C, and log-probabilities, with a teacher and a graph that give these rows."""
    pool_rows = np.full((100, 3), 1 / 3, dtype=np.float32)
    pool_rows[: round(100 * confident_share)] = (0.6, 0.3, 0.1)
    step = one_step(
        alone(
            training={"unlabelled_batch": len(own)},
            weights={"propagated": 0.5},
            pseudo_labels={"teacher": "ema", "confidence": 0.8, "align": align},
            propagation={"margin": 0.3},
        ),
        teach=lambda images: torch.tensor(own),
        propagated=PropagatedLabels(np.arange(100), pool_rows),
    )
    step.batch.propagated_labels = torch.tensor(graph)
    phase = next(step.stage.step(step.nets, step.batch))
    assert {term.name: term.weight for term in phase.terms if term.weight}["classify propagated"] == 0.5
    return step.values(phase), log_probs(step, step.batch.unlabelled.images)


def of_pairs(log_probabilities: Tensor, pairs: list[tuple[int, int]]) -> float:
    return -sum(float(log_probabilities[image, label]) for image, label in pairs) / len(log_probabilities)


A, B, C = SURE_0, SURE_1, UNSURE


@pytest.mark.parametrize(
    ("own", "graph", "share", "from_own", "from_graph"),
    [
        # Both sure, of one class and of two; only C; only C; only the graph; neither.
        ([A, A, A, B, C, C], [A, B, C, C, B, C], 0.25, [(2, 0)], [(0, 0), (1, 1), (4, 1)]),
        # A graph that knows too few images need not agree; what it knows still counts.
        ([B, A, B, C], [C, C, A, B], 0.24, [(0, 1), (1, 0)], [(2, 0), (3, 1)]),
        # Rows whose sum lacks 0.7 and 0.4: ahead of 0.2 by half, and of 0.35 by a twentieth only.
        ([A, A], [(0.2, 0.1, 0.0), (0.35, 0.25, 0.0)], 0.25, [(1, 0)], []),
        ([A, A], [(0.2, 0.1, 0.0), (0.35, 0.25, 0.0)], 0.24, [(1, 0)], []),
    ],
)
def test_an_image_has_its_label_from_the_graph_or_from_the_classifier_or_none(
    own: Rows,
    graph: Rows,
    share: float,
    from_own: list[tuple[int, int]],
    from_graph: list[tuple[int, int]],
    one_step,
) -> None:
    values, found = terms_with(one_step, own, graph, share)
    assert values["consistency"] == pytest.approx(of_pairs(found, from_own), rel=1e-5)
    assert values["classify propagated"] == pytest.approx(of_pairs(found, from_graph), rel=1e-5)


def test_pseudo_labels_are_aligned_before_the_graph_is_asked(one_step) -> None:
    """Means 0.6, 0.3, 0.1 against a third each: the rows become (0.5, 0.125, 0.375) and (0.2, 0.5, 0.3)."""
    own: Rows = [(0.8, 0.1, 0.1), (0.4, 0.5, 0.1)]
    aligned, _ = terms_with(one_step, own, [UNSURE] * 2, 0.24, align=True)
    plain, found = terms_with(one_step, own, [UNSURE] * 2, 0.24)
    assert aligned["consistency"] == 0
    assert plain["consistency"] == pytest.approx(of_pairs(found, [(0, 0)]), rel=1e-5)


def test_generated_images_count_where_the_classifier_agrees(one_step) -> None:
    """−log p(intended) of those whose intended class has 40 % or more, divided by all of them."""
    step = one_step(
        settings(networks=QUIET, pretraining={"in_rounds": 0.0}, pseudo_labels={"confidence": 0.4})
    )
    with torch.no_grad():  # a classifier that prefers class 0
        step.nets.discriminator.class_layer.bias.add_(torch.tensor([2.0, 0.0, 0.0]))
    phase = next(step.stage.step(step.nets, step.batch))
    z, y = step.batch.prior(step.nets)
    with torch.no_grad():
        intended = (softmax(step.nets.discriminator(step.nets.generate(z, y)), dim=1) * y).sum(dim=1)
    used = intended[intended >= 0.4]
    assert 0 < len(used) < len(intended)
    by_hand = -float(used.log().sum()) / len(intended)
    assert step.values(phase)["classify generated"] == pytest.approx(by_hand, rel=1e-5)


def test_propagated_labels_are_of_the_round_and_of_the_last_labels_for_queries(start, data, labels) -> None:
    """Out-of-distribution images propagate as well."""
    learner = start(settings())
    asked = data.pool.subset(np.array([40, 7, 21], dtype=np.int64))
    graph = NeighbourGraph(data.pool, "gradients", 50, 5, False, Stream.root(3).child("neighbours"))
    with pytest.raises(ValueError, match="no labels to propagate"):
        learner.predict(asked, [Need.PROPAGATED], Stream.root(0))
    for ids, ood in (([0, 1, 2], NO_IDS), (range(9), NO_IDS), (range(9), np.array([30, 33]))):
        known = labels(ids)
        learner.set_labels(known, ood)
        found = learner.predict(asked, [Need.PROPAGATED, Need.PROBABILITIES], Stream.root(0))
        wanted = graph.propagate(known, ood)
        assert found.ids.tolist() == [7, 21, 40]
        assert torch.equal(found.get(Need.PROPAGATED), wanted(np.array([7, 21, 40])))
        assert bool((wanted.class_probs.sum(axis=1) < 0.9).any()) == bool(ood.size)


def test_the_representation_is_that_in_which_neighbours_are_found(start, data) -> None:
    learner = start(settings())
    ids = np.array([40, 7, 21], dtype=np.int64)
    need = [Need.REPRESENTATION]
    found = learner.predict(data.pool.subset(ids), need, Stream.root(0)).get(Need.REPRESENTATION)
    whole = learner.predict(data.pool, need, Stream.root(0)).get(Need.REPRESENTATION)
    assert torch.equal(found, whole[[7, 21, 40]])
    graph = NeighbourGraph(data.pool, "gradients", 50, 5, False, Stream.root(3).child("neighbours"))
    assert graph.neighbour_ids.tolist() == data.pool.ids[nearest_neighbours(whole, 5)[0]].tolist()


# Mixup


def mixed(propagated: float = 0.0, **pseudo_labels: object) -> GraphSslSettings:
    return alone(
        training={"labelled_batch": 2, "unlabelled_batch": 3},
        weights={"propagated": propagated, "pseudo_labels": 0.5},
        pseudo_labels={"mixup": 0.75, "teacher": "ema", **pseudo_labels},
        propagation={"margin": 0.2},
    )


MIXTURE = Mixture(torch.tensor([2, 1, 0, 4, 3]), torch.tensor([0.6, 1.0, 0.7, 0.8, 0.5]))


def mixed_terms(one_step, monkeypatch, own_settings, own: Rows, graph: Rows, soft: Tensor) -> None:
    """Check both terms against images and classes mixed by hand, from the soft labels of x_U."""
    monkeypatch.setattr(Mixture, "draw", classmethod(lambda cls, *arguments: MIXTURE))
    step = one_step(own_settings, teach=lambda images: torch.tensor(own))
    step.batch.propagated_labels = torch.tensor(graph)
    phase = next(step.stage.step(step.nets, step.batch))
    assert {term.name: term.weight for term in phase.terms if term.weight} == {
        "classify mixed labelled": 1.0,
        "classify mixed unlabelled": 0.5,
    }
    batch = step.batch
    with torch.no_grad():  # a new classifier gives each class a third of every image
        step.nets.discriminator.class_layer.bias.add_(torch.tensor([1.0, 0.0, -1.0]))
    images = torch.cat([batch.labelled.images, batch.unlabelled.images])
    classes = torch.cat([batch.labelled.class_probs, soft])
    part = MIXTURE.kept[:, None, None, None]
    logs = log_probs(step, part * images + (1 - part) * images[MIXTURE.partner])
    part = MIXTURE.kept[:, None]
    each = -((part * classes + (1 - part) * classes[MIXTURE.partner]) * logs).sum(dim=1)
    values = step.values(phase)
    assert values["classify mixed labelled"] == pytest.approx(float(each[:2].mean()), rel=1e-4)
    assert values["classify mixed unlabelled"] == pytest.approx(float(each[2:].mean()), rel=1e-4)


def test_mixed_images_are_trained_on_equally_mixed_classes(one_step, monkeypatch) -> None:
    """Pseudo-labels are sharpened: squares of 0.6 and 0.4 are as 9 to 4."""
    own: Rows = [(0.6, 0.4, 0.0), (0.0, 0.5, 0.5), (1.0, 0.0, 0.0)]
    soft = torch.tensor([[9 / 13, 4 / 13, 0.0], [0.0, 0.5, 0.5], [1.0, 0.0, 0.0]])
    mixed_terms(one_step, monkeypatch, mixed(), own, [UNSURE] * 3, soft)


def test_a_propagated_label_wins_and_out_of_distribution_images_have_none(one_step, monkeypatch) -> None:
    own: Rows = [(0.6, 0.4, 0.0)] * 3
    graph: Rows = [(0.2, 0.2, 0.6), (0.4, 0.3, 0.3), (0.1, 0.1, 0.0)]
    soft = torch.tensor([[0.0, 0.0, 1.0], [0.6, 0.4, 0.0], [0.0, 0.0, 0.0]])
    mixed_terms(one_step, monkeypatch, mixed(1.0, temperature=1.0), own, graph, soft)
    mixed_terms(one_step, monkeypatch, mixed(0.0, temperature=1.0), own, graph, torch.tensor(own))


def test_pseudo_labels_are_aligned_before_they_are_sharpened(one_step, monkeypatch) -> None:
    """Means 0.5, 0.4, 0.1 against a third each: factors 2/3, 5/6 and 10/3, rows to one, then squared."""
    own: Rows = [(0.6, 0.3, 0.1), (0.4, 0.5, 0.1), (0.5, 0.4, 0.1)]
    rows = torch.tensor(own) * torch.tensor([2 / 3, 5 / 6, 10 / 3])
    squares = (rows / rows.sum(dim=1, keepdim=True)) ** 2
    soft = squares / squares.sum(dim=1, keepdim=True)
    mixed_terms(one_step, monkeypatch, mixed(align=True), own, [UNSURE] * 3, soft)


# The teacher


@pytest.mark.parametrize("teacher", ["student", "ema"])
def test_only_a_teacher_that_is_an_average_sees_the_averaged_weights(teacher: str, start) -> None:
    def loss(moved: bool) -> float:
        learner = start(alone(pseudo_labels={"teacher": teacher}))
        state = learner.state_dict()
        # A new classifier gives each class a third of every image, so first it is made to prefer some.
        state["discriminator.class_layer.bias"] += torch.tensor([1.0, 0.0, -1.0])
        state["ema.discriminator.class_layer.bias"] += torch.tensor([0.0, 0.0, 9.0 if moved else -9.0])
        learner.load_state_dict(state)
        return learner.step(0).values["consistency"]

    assert (loss(True) != loss(False)) == (teacher == "ema")


@pytest.mark.parametrize("teacher", ["student", "ema"])
def test_the_teachers_statistics_are_of_the_images_it_predicts(teacher: str, start, monkeypatch) -> None:
    """C is trained on images of twice the brightness; the average classifies images as they are."""
    call = Mixture.__call__
    monkeypatch.setattr(
        Mixture, "__call__", lambda self, values: call(self, values) * (2 if values.ndim == 4 else 1)
    )
    squares = planted_pool(60, 3, Stream.root(0), side=8)[0]
    networks = tiny_settings("graph-ssl", networks=COMPACT).networks
    learner = start(mixed(teacher=teacher).model_copy(update={"networks": networks}), squares)
    for index in range(30):
        learner.step(index)
    state = learner.state_dict()
    name = next(key for key in state if key.startswith("ema.") and key.endswith("running_mean"))
    average, newest = state[name], state[name.removeprefix("ema.")]
    if teacher == "ema":
        assert (average.abs() < 0.8 * newest.abs()).all()
    else:
        torch.testing.assert_close(average, newest, atol=0.02, rtol=0.3)


# Batch norm


@pytest.fixture
def compact(one_step) -> Callable[[float], object]:
    pool, _ = planted_pool(30, 3, Stream.root(8), side=8)
    return lambda generated: one_step(settings(networks=COMPACT, weights={"generated": generated}), pool)


def test_generated_images_do_not_shift_the_statistics_of_the_trunk(compact) -> None:
    """C's phase leaves the same statistics with and without them, and the phase of E and G leaves all alone."""
    found = []
    for generated in (1.0, 0.0):
        step = compact(generated)
        statistics = []
        for _ in step.phases():
            buffers = step.nets.discriminator.named_buffers()
            statistics.append({name: value.clone() for name, value in buffers})
        assert statistics[0] and all(
            torch.equal(statistics[0][key], statistics[2][key]) for key in statistics[0]
        )
        found.append(statistics[0])
    assert all(torch.equal(found[0][key], found[1][key]) for key in found[0])


def test_gradient_reaches_the_generator_through_fixed_statistics(compact) -> None:
    step = compact(1.0)
    *_, phase = step.phases()
    (term,) = [term for term in phase.terms if term.name == "feature matching"]
    assert Net.GENERATOR in step.reached(term.compute())
    assert step.nets.discriminator.training
