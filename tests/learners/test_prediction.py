"""Outputs of learners: order of ids, Monte-Carlo passes, galleries, synthesis, and every pair with an acquisition."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from aral.acquisition import ACQUISITIONS, Choice, JointBatch, Need, PoolView
from aral.acquisition.bald import all_configurations, gains
from aral.acquisition.uncertainty import entropy
from aral.benchmarking import Method, Rounds, RunSpec, learner_titles, make_learner, run
from aral.benchmarking.methods import make_learner_without_weights
from aral.errors import BadInput
from aral.learners import Learner, Net, Nets, synthesise
from aral.loop import Session, Store, Strategy, check_strategy
from aral.networks.interface import Discriminator, Generator
from aral.randomness import Stream
from aral.testing import planted_data, tiny_settings
from aral.types import ClassAnswer, ImageSet, LabelledSet

DATA = planted_data(pool_size=40)
IDS = np.arange(6, dtype=np.int64)
LABELLED = LabelledSet(DATA.pool.subset(IDS), DATA.pool_classes[IDS], 3)
UNLABELLED = DATA.pool.without(IDS)
ALWAYS = {
    Need.PROBABILITIES,
    Need.FEATURES,
    Need.MIXING_CHANGES,
    Need.PROPAGATED,
    Need.REPRESENTATION,
}
STOCHASTIC = {Need.MC_PROBABILITIES}
"""Of all learners here but logistic regression: their perceptrons have noise."""
SAMPLER, CODES, GENERATOR = {Need.SAMPLER_LOGITS}, {Need.LATENTS}, {Need.SYNTHESISED}
SUPPLIES: dict[str, set[Need]] = {
    "graph-ssl": SAMPLER | CODES | GENERATOR | {Need.CLUSTERS},
    "aral": SAMPLER | CODES | GENERATOR,
    "aral:released": SAMPLER | CODES | GENERATOR,
    "aral:no-sampler": CODES | GENERATOR,
    "aral:no-encoder": GENERATOR,
    "aral:generated-only": SAMPLER | CODES | GENERATOR,
    "aral:released:no-sampler": CODES | GENERATOR,
    "aral:released:no-encoder": GENERATOR,
    "vaal": SAMPLER | CODES | GENERATOR,
    "vaal:authors": SAMPLER | CODES | GENERATOR,
    "aral:pseudo-labels": SAMPLER | CODES | GENERATOR,
    "aral:printed": SAMPLER | CODES | GENERATOR,
    "linear": {Need.DROPPED_CLASSES},
    "supervised": set(),
    "pseudo-label": set(),
    "fixmatch": set(),
    "bgadl": CODES | GENERATOR,
    "no-co-training": SAMPLER | CODES | GENERATOR,
}


def supplied_by(title: str) -> set[Need]:
    return ALWAYS | SUPPLIES[title] | (set() if title == "linear" else STOCHASTIC)


every_learner = pytest.mark.parametrize("title", SUPPLIES)


def small(title: str, steps: int = 2, **more: object):
    generative = {"synthesised": 5} if Need.SYNTHESISED in SUPPLIES[title] else {}
    return tiny_settings(title, steps, prediction={"mc_passes": 3} | generative | more)


def made(title: str, **more: object) -> Learner:
    learner = make_learner(small(title, **more), DATA.pool, 3, Stream.root(0))
    learner.set_pool(DATA.pool, Stream.root(3))
    learner.set_labels(LABELLED)
    return learner


@cache
def trained(title: str) -> Learner:
    """One learner serves all acquisitions: predicting changes nothing."""
    learner = made(title)
    learner.start_round(0, LABELLED, UNLABELLED, Stream.root(1))
    for index in range(learner.steps_per_round):
        assert not learner.step(index).skipped
    return learner


def test_the_table_has_every_learner() -> None:
    assert set(learner_titles()) <= set(SUPPLIES)


@every_learner
def test_what_is_supplied_arrives_and_predicting_changes_nothing(title: str) -> None:
    learner = trained(title)
    assert learner.supplies == supplied_by(title)
    before = learner.state_dict()
    found = learner.predict(UNLABELLED, learner.supplies, Stream.root(2))
    assert (found.ids == UNLABELLED.ids).all()
    for need in learner.supplies:
        assert torch.isfinite(found.get(need)).all()
    figures = learner.diagnose(LABELLED.images, UNLABELLED)
    gallery = learner.gallery(UNLABELLED.subset(UNLABELLED.ids[:4]), 2, Stream.root(3))
    assert ("latent std" in figures) == ("latent KL" in figures) == (Need.LATENTS in SUPPLIES[title])
    assert ("sampler AUC" in figures) == (Need.SAMPLER_LOGITS in SUPPLIES[title])
    assert (gallery is not None) == (Need.SYNTHESISED in SUPPLIES[title])
    if gallery is not None:
        assert gallery.generated.shape[:2] == (3, 2)
        assert len(gallery.reconstructions) == len(gallery.originals) == (4 if "latent std" in figures else 0)
        assert all(part.min() >= 0 and part.max() <= 1 for part in vars(gallery).values() if len(part))
    after = learner.state_dict()
    assert all(torch.equal(value, after[key]) for key, value in before.items())


@every_learner
@pytest.mark.parametrize("query", sorted(ACQUISITIONS))
def test_a_pair_runs_or_is_refused(title: str, query: str) -> None:
    acquisition, learner = ACQUISITIONS[query], trained(title)
    strategy = Strategy(acquisition, ACQUISITIONS["random"])
    if not acquisition.needs <= supplied_by(title):
        with pytest.raises(BadInput, match=f"'{query}' needs .* learner '{title}' does not supply"):
            check_strategy(strategy, learner)
        return
    check_strategy(strategy, learner)
    view = PoolView(
        learner.predict(UNLABELLED, acquisition.needs, Stream.root(2)),
        learner.predict(LABELLED.images, acquisition.needs, Stream.root(3)),
        LABELLED.classes,
        3,
    )
    chosen = acquisition(view, 4, Stream.root(4))
    assert len(chosen) == 4 and set(chosen.ids.tolist()) <= set(UNLABELLED.ids.tolist())


@pytest.mark.parametrize(
    "name",
    ["aral:no-sampler", "aral:no-encoder", "aral:no-encoder+gaal", "no-co-training", "random", "bgadl"],
)
def test_whole_methods_run_two_rounds_as_a_session(name: str, tmp_path: Path) -> None:
    """First query, training, evaluation, second query."""
    method = Method.parse(name)
    spec = RunSpec(
        data="digits",
        learner=small(method.learner),
        acquisition=method.acquisition,
        threads=torch.get_num_threads(),
        rounds=Rounds(query_size=4, budget=8, first_query="random"),
    )
    folder = run(spec, DATA, tmp_path / "run")
    assert len(list((folder / "pictures").glob("round-*.safetensors"))) == 2


# Order, passes, conditions


def test_predictions_come_in_order_of_id_whatever_the_batch() -> None:
    needs = [Need.PROBABILITIES, Need.FEATURES, Need.LATENTS, Need.SAMPLER_LOGITS]
    one, other = (made("aral", batch=batch).predict(DATA.pool, needs, Stream.root(0)) for batch in (1000, 7))
    assert (one.ids == DATA.pool.ids).all()
    for need in needs:
        torch.testing.assert_close(one.get(need), other.get(need))
    torch.testing.assert_close(one.get(Need.PROBABILITIES).sum(dim=1), torch.ones(len(DATA.pool)))


def test_only_dropout_and_noise_are_active_in_monte_carlo_passes() -> None:
    learner = trained("supervised")
    passes = learner.predict(DATA.pool, [Need.MC_PROBABILITIES], Stream.root(0)).get(Need.MC_PROBABILITIES)
    assert passes.shape == (len(DATA.pool), 3, 3)
    assert (passes.std(dim=1) > 0).any()
    again = learner.predict(DATA.pool, [Need.MC_PROBABILITIES], Stream.root(0)).get(Need.MC_PROBABILITIES)
    assert torch.equal(passes, again), "the stream decides them"
    calm = [learner.predict(DATA.pool, [Need.PROBABILITIES], Stream.root(seed)) for seed in (1, 2)]
    assert torch.equal(*(found.get(Need.PROBABILITIES) for found in calm))


def passes_of(learner: Learner, images: ImageSet, seed: int = 0) -> Tensor:
    return learner.predict(images, [Need.MC_PROBABILITIES], Stream.root(seed)).get(Need.MC_PROBABILITIES)


CONVOLUTIONS = {"scale": "conv32", "discriminator_width": 4, "input_noise": 0.3}
RESIDUAL = {"scale": "biggan", "channels": 2, "encoder_widths": (2, 2, 2, 2), "block_dropout": 0.5}


@pytest.mark.parametrize("networks", [{"scale": "mlp"}, CONVOLUTIONS], ids=["mlp", "conv32"])
def test_a_monte_carlo_pass_is_one_network_for_all_images_and_batches(networks: dict[str, object]) -> None:
    """Exact copies have equal passes, in one batch or in several; another stream draws other networks."""
    pixels = torch.randint(256, (12, 1, 12, 12), generator=Stream.root(4).torch()).to(torch.uint8)
    copies = ImageSet.of(pixels.repeat(2, 1, 1, 1))

    def drawn(batch: int, seed: int = 0) -> Tensor:
        prediction = {"mc_passes": 4, "batch": batch}
        settings = tiny_settings("supervised", networks=networks, prediction=prediction)
        return passes_of(make_learner(settings, copies, 3, Stream.root(0)), copies, seed)

    for passes in (drawn(1000), drawn(12), drawn(5)):
        assert (passes.std(dim=1) > 1e-3).any()
        torch.testing.assert_close(passes[:12], passes[12:])
        torch.testing.assert_close(passes, drawn(1000))
    assert not torch.allclose(drawn(1000, seed=1), drawn(1000), atol=1e-3)


def test_batchbald_sees_that_a_copy_is_redundant() -> None:
    """Of an uncertain image and its copy the joint information is well below twice that of one."""
    spread = tiny_settings("supervised", networks={"hidden_noise": 6.0}, prediction={"mc_passes": 30})
    learner = make_learner(spread, DATA.pool, 3, Stream.root(0))
    passes = passes_of(learner, ImageSet.of(DATA.pool.pixels[:20].repeat(2, 1, 1, 1))).double()
    bald = entropy(passes.mean(dim=1)) - entropy(passes).mean(dim=1)
    row = int(bald[:20].argmax())
    gain = gains(passes[row + 20][None], all_configurations(passes[row][None]))
    assert bald[row] > 0.2
    assert (bald[row] + gain.item()) / (2 * bald[row]) < 0.85


def test_labelled_and_unlabelled_images_of_a_query_have_the_same_passes(tmp_path: Path) -> None:
    """The session gives an acquisition passes of one committee, whichever set an image is in."""
    seen: list[PoolView] = []

    def watched(pool: PoolView, n: int, stream: Stream) -> Choice:
        seen.append(pool)
        return Choice.of(list(range(n)), [0.0] * n, str)

    data = planted_data(pool_size=40)
    pixels = data.pool.pixels.clone()
    pixels[20:] = pixels[:20]
    needs = frozenset({Need.MC_PROBABILITIES})
    strategy = Strategy(JointBatch("watched", needs, watched), ACQUISITIONS["random"])
    pool = ImageSet.of(pixels)
    with Store.open(tmp_path / "run", create=True) as store:
        learner = make_learner(small("supervised"), pool, 3, Stream.root(0))
        session = Session(store, pool, 3, learner, strategy, Stream.root(1))
        session.tell([ClassAnswer(int(image), int(image) % 3) for image in session.ask(5).ids], "oracle")
        session.fit()
        session.ask(2)
    (view,) = seen
    known, rest = view.labelled, view.unlabelled
    rows = dict(zip(rest.ids.tolist(), rest.get(Need.MC_PROBABILITIES), strict=True))
    compared = 0
    for image, passes in zip(known.ids.tolist(), known.get(Need.MC_PROBABILITIES), strict=True):
        copy = (image + 20) % 40
        if copy in rows:
            torch.testing.assert_close(rows[copy], passes)
            compared += 1
    assert compared


@pytest.mark.parametrize(
    ("networks", "supplied"),
    [
        ({"scale": "mlp"}, True),
        ({"scale": "mlp", "input_noise": 0.0, "hidden_noise": 0.0}, False),
        ({"scale": "compact"}, False),
        (CONVOLUTIONS, True),
        ({"scale": "conv32", "input_noise": 0.0, "input_dropout": 0.0, "block_dropout": 0.0}, False),
        ({"scale": "resnet"}, True),
        (RESIDUAL, True),
        (RESIDUAL | {"block_dropout": 0.0}, False),
    ],
    ids=str,
)
def test_monte_carlo_passes_need_a_stochastic_layer(networks: dict[str, object], supplied: bool) -> None:
    settings = tiny_settings("supervised", networks=networks)
    learner = make_learner_without_weights(settings, (3, 32, 32), 3)
    assert (Need.MC_PROBABILITIES in learner.supplies) is supplied
    strategy = Strategy(ACQUISITIONS["bald"], ACQUISITIONS["random"])
    if supplied:
        check_strategy(strategy, learner)
        return
    with pytest.raises(BadInput, match="'bald' needs mc probabilities") as caught:
        check_strategy(strategy, learner)
    assert "entropy" in caught.value.hint and "conv32" in caught.value.hint


@pytest.mark.parametrize(("title", "conditional"), [("aral", True), ("vaal", False)])
def test_the_encoder_is_given_the_classifiers_probabilities(title: str, conditional: bool) -> None:
    """With another classifier the codes of the same images change."""
    learner = made(title)
    before = learner.predict(DATA.pool, [Need.LATENTS], Stream.root(0)).get(Need.LATENTS)
    state = learner.state_dict()
    state["ema.discriminator.class_layer.bias"] += torch.tensor([9.0, 0.0, 0.0])
    learner.load_state_dict(state)
    after = learner.predict(DATA.pool, [Need.LATENTS], Stream.root(0)).get(Need.LATENTS)
    assert torch.allclose(before, after) != conditional


def test_clusters_are_the_averaged_networks_of_the_first_head() -> None:
    learner = trained("graph-ssl")
    found = learner.predict(DATA.pool, [Need.CLUSTERS, Need.FEATURES], Stream.root(0))
    clusters = found.get(Need.CLUSTERS)
    assert clusters.shape == (len(DATA.pool), 3)
    state = {name: value.double() for name, value in learner.state_dict().items()}
    weight, bias = (state[f"ema.clusters.layer.{name}"][:3] for name in ("weight", "bias"))
    by_hand = torch.softmax(found.get(Need.FEATURES).double() @ weight.T + bias, dim=1)
    torch.testing.assert_close(clusters.double(), by_hand, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(weight, state["clusters.layer.weight"][:3], atol=1e-5)


# Query synthesis, on a generator and a classifier whose most uncertain images are known


class Paint(Generator):
    """An image is its two latents, shifted by the class."""

    def __init__(self) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.tensor([[0.5, 0.0], [-0.5, 0.0]]))

    def forward(self, latents: Tensor, class_probs: Tensor) -> Tensor:
        shift = class_probs @ self.shift if class_probs.shape[1] else torch.zeros(2)
        return (latents + shift).reshape(-1, 1, 1, 2)


class FirstPixel(Discriminator):
    """Two classes, told by the sign of the first pixel: most uncertain where it is 0."""

    feature_size = 2

    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(2.0))

    def features(self, images: Tensor) -> Tensor:
        return images.flatten(1)

    def classify(self, features: Tensor) -> Tensor:
        return self.slope * torch.stack([features[:, 0], -features[:, 0]], dim=1)

    def divide_logits(self, temperature: float) -> None:
        with torch.no_grad():
            self.slope.div_(temperature)

    def realness(self, features: Tensor, latents: Tensor, class_probs: Tensor) -> Tensor:
        return features.sum(dim=1)


def planted_nets(conditional: bool = True) -> Nets:
    modules = {Net.GENERATOR: Paint(), Net.DISCRIMINATOR: FirstPixel()}
    return Nets(modules, latent_size=2, class_count=2, conditional=conditional)


@pytest.mark.parametrize("conditional", [True, False])
def test_synthesised_images_move_to_the_boundary(conditional: bool) -> None:
    nets = planted_nets(conditional)
    found = synthesise(nets, nets.discriminator, 6, Stream.root(0), steps=100)
    assert found.images.shape == (6, 1, 1, 2)
    assert found.images[:, 0, 0, 0].abs().max() < 0.1
    assert found.entropies.min() > 0.95 * math.log(2)


def test_a_latent_that_does_not_matter_stays() -> None:
    nets = planted_nets()
    first, last = (synthesise(nets, nets.discriminator, 6, Stream.root(0), steps=steps) for steps in (0, 30))
    torch.testing.assert_close(first.latents[:, 1].sort().values, last.latents[:, 1].sort().values)
    assert first.class_probs.sum(dim=0).tolist() == [3, 3]


@pytest.mark.parametrize("rate", [0.1, 30.0])
def test_the_most_uncertain_come_first_and_none_gets_worse(rate: float) -> None:
    """Even with a rate at which the latents jump about."""
    nets = planted_nets()
    first = synthesise(nets, nets.discriminator, 8, Stream.root(1), steps=0)
    last = synthesise(nets, nets.discriminator, 8, Stream.root(1), steps=5, rate=rate)
    assert (last.entropies.diff() <= 0).all() and (last.entropies >= first.entropies).all()
    again = torch.special.entr(nets.discriminator(last.images).softmax(dim=1)).sum(dim=1)
    torch.testing.assert_close(again, last.entropies)


def test_synthesis_changes_no_network_and_its_stream_decides() -> None:
    nets = planted_nets()
    before = [p.detach().clone() for module in nets.modules.values() for p in module.parameters()]
    with torch.no_grad():  # as in prediction
        one, same, other = (synthesise(nets, nets.discriminator, 3, Stream.root(seed)) for seed in (0, 0, 1))
    after = [p for module in nets.modules.values() for p in module.parameters()]
    assert all(torch.equal(a, b) and b.grad is None for a, b in zip(before, after, strict=True))
    assert not one.images.requires_grad and not one.latents.requires_grad
    assert torch.equal(one.images, same.images) and not torch.equal(one.images, other.images)
