"""Trainer × acquisition: every pair either runs a round on planted data or is refused before training."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from aral.acquisition import ACQUISITIONS, Need, PoolView
from aral.benchmarking.methods import LEARNERS, OWN_ACQUISITION, SHORT_NAMES, Method, make_learner
from aral.benchmarking.runs import run
from aral.benchmarking.spec import Rounds, RunSpec
from aral.errors import BadInput
from aral.learners import Learner
from aral.loop import Strategy, check_strategy
from aral.randomness import Stream
from aral.testing import planted_data, tiny_model
from aral.types import ImageSet, LabelledSet

DATA = planted_data(pool_size=40)
IDS = np.arange(6, dtype=np.int64)
LABELLED = LabelledSet(DATA.pool.subset(IDS), DATA.pool_classes[IDS], 3)
UNLABELLED = DATA.pool.without(IDS)
SMALL = tiny_model(steps=2, mc_passes=3, synthesised=5)
SAMPLER, CODES, GENERATOR = {Need.SAMPLER_LOGITS}, {Need.LATENTS}, {Need.SYNTHESISED}
GROUPS = {Need.CLUSTERS}
SUPPLIES = {
    "aral": SAMPLER | CODES | GENERATOR | GROUPS,
    "supervised": set(),
    "pseudo-label": set(),
    "consistency": set(),
    "vaal": SAMPLER | CODES | GENERATOR,
    "bgadl": CODES | GENERATOR,
    "aral-paper": SAMPLER | CODES | GENERATOR,
    "aral-released": SAMPLER | CODES | GENERATOR,
    "aral-no-active": CODES | GENERATOR,
    "aral-no-encoder": GENERATOR,
    "aral-paper-no-active": CODES | GENERATOR,
    "aral-paper-no-encoder": GENERATOR,
    "no-co-training": SAMPLER | CODES | GENERATOR,
    "generated-only": SAMPLER | CODES | GENERATOR,
}
every_learner = pytest.mark.parametrize("name", sorted(LEARNERS))


def made(name: str) -> Learner:
    learner = make_learner(name, SMALL, DATA.pool, 3, Stream.root(0))
    learner.set_pool(DATA.pool, Stream.root(3))
    return learner


def begun(name: str, unlabelled: ImageSet = UNLABELLED) -> Learner:
    learner = made(name)
    learner.start_round(0, LABELLED, unlabelled, Stream.root(1))
    return learner


@cache
def trained(name: str) -> Learner:
    """One learner serves all acquisitions: predicting changes nothing."""
    learner = begun(name)
    for index in range(learner.steps_per_round):
        assert not learner.step(index).skipped
    return learner


@every_learner
@pytest.mark.parametrize("query", sorted(ACQUISITIONS))
def test_a_pair_runs_or_is_refused(name: str, query: str) -> None:
    acquisition = ACQUISITIONS[query]
    strategy = Strategy(acquisition, ACQUISITIONS["random"])
    if not acquisition.needs <= made(name).supplies:
        with pytest.raises(BadInput, match=f"'{query}' needs .* learner '{name}' does not supply"):
            check_strategy(strategy, made(name))
        return
    learner = trained(name)
    check_strategy(strategy, learner)
    learner.set_labels(LABELLED)
    view = PoolView(
        learner.predict(UNLABELLED, acquisition.needs, Stream.root(2)),
        learner.predict(LABELLED.images, acquisition.needs, Stream.root(3)),
        LABELLED.classes,
        3,
    )
    chosen = acquisition(view, 4, Stream.root(4))
    assert len(chosen) == 4 and set(chosen.ids.tolist()) <= set(UNLABELLED.ids.tolist())


@every_learner
def test_what_a_learner_supplies(name: str) -> None:
    always = {Need.PROBABILITIES, Need.MC_PROBABILITIES, Need.FEATURES, Need.PROPAGATED, Need.REPRESENTATION}
    found = trained(name).supplies & frozenset(Need)
    assert found >= always | SUPPLIES[name]
    assert not found & ({*SAMPLER, *CODES, *GENERATOR} - SUPPLIES[name])


@every_learner
def test_what_is_supplied_arrives_and_predicting_changes_nothing(name: str) -> None:
    learner = begun(name)
    learner.step(0)
    before = learner.state_dict()
    learner.set_labels(LABELLED)
    needs = [Need.PROBABILITIES, Need.FEATURES, Need.PROPAGATED, Need.REPRESENTATION, *SUPPLIES[name]]
    found = learner.predict(UNLABELLED, needs, Stream.root(2))
    for need in needs:
        assert torch.isfinite(found.get(need)).all()
    learner.diagnose(LABELLED.images, UNLABELLED)
    learner.gallery(UNLABELLED, 2, Stream.root(3))
    after = learner.state_dict()
    assert all(torch.equal(value, after[key]) for key, value in before.items())


@every_learner
def test_pictures_and_figures_suit_the_networks(name: str) -> None:
    learner = trained(name)
    gallery = learner.gallery(UNLABELLED.subset(UNLABELLED.ids[:4]), 2, Stream.root(3))
    figures = learner.diagnose(LABELLED.images, UNLABELLED)
    assert (gallery is not None) == (Need.SYNTHESISED in SUPPLIES[name])
    assert ("latent std" in figures) == (Need.LATENTS in SUPPLIES[name])
    assert ("sampler AUC" in figures) == (Need.SAMPLER_LOGITS in SUPPLIES[name])
    if gallery is not None:
        assert gallery.generated.shape[:2] == (3, 2)
        assert len(gallery.reconstructions) == len(gallery.originals) == (4 if "latent std" in figures else 0)


@every_learner
def test_training_resumes_bit_for_bit(name: str) -> None:
    straight = begun(name)
    for index in range(4):
        straight.step(index)
    first, resumed = begun(name), begun(name)
    for index in range(2):
        first.step(index)
    torch.rand(3)
    resumed.load_state_dict(first.state_dict())
    for index in range(2, 4):
        resumed.step(index)
    one, other = straight.state_dict(), resumed.state_dict()
    assert one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


@every_learner
def test_full_training_on_a_pool_without_unlabelled_images(name: str) -> None:
    learner = made(name)
    nothing = DATA.pool.subset(IDS[:0])
    learner.start_round(0, LabelledSet(DATA.pool, DATA.pool_classes, 3), nothing, Stream.root(1))
    losses = learner.step(0)
    assert not losses.skipped and all(np.isfinite(value) for value in losses.values.values())


@every_learner
def test_names_agree(name: str) -> None:
    assert made(name).name == name


@pytest.mark.parametrize(
    "name", ["no-active-learning", "no-encoder", "no-co-training", "random", "gaal", "bgadl"]
)
def test_whole_methods_run_two_rounds_as_a_session(name: str, tmp_path: Path) -> None:
    """The four ablations, query synthesis and BGADL: first query, training, evaluation, second query."""
    method = Method("aral-no-encoder", "gaal") if name == "gaal" else Method.parse(name)
    spec = RunSpec(
        data="digits",
        learner=method.learner,
        acquisition=method.acquisition,
        threads=torch.get_num_threads(),
        rounds=Rounds(query_size=4, budget=8, first_query="random"),
        model=SMALL,
    )
    folder = run(spec, DATA, tmp_path / "run")
    assert len(list((folder / "pictures").glob("round-*.safetensors"))) == 2


def test_the_papers_ablations_have_names() -> None:
    methods = {
        name: Method.parse(name) for name in ("no-active-learning", "no-encoder", "no-co-training", "random")
    }
    assert [str(method).partition("+")[2] for method in methods.values()] == [
        "random",
        "bald",
        "vaal",
        "random",
    ]
    assert set(SHORT_NAMES) >= {"no-active-learning", "no-encoder", "random"}
    for name, query in OWN_ACQUISITION.items():
        check_strategy(Strategy(ACQUISITIONS[query], ACQUISITIONS["random"]), made(name))
