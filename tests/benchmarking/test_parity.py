"""Fairness: what must be equal, what may differ, and what is found in the stores afterwards."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from aral.benchmarking.effective import BEGIN_WITHOUT_LABELS, LABELLED_AS, versions
from aral.learners.spec import Net
from aral.learners.step import Part

import aral
from aral.benchmarking import GridSpec, Unit, parity_hash, parity_table, resolve, units
from aral.benchmarking.methods import LEARNERS, Method, make_learner
from aral.benchmarking.parity import check_equal, verify
from aral.benchmarking.runs import data_fingerprint, run
from aral.benchmarking.spec import Rounds
from aral.errors import BadInput
from aral.learners import PhasedLearner
from aral.loop import Store
from aral.loop.reading import store_reading
from aral.randomness import Stream
from aral.testing import planted_data, tiny_model
from aral.types import Selection

SPEC = resolve("digits", Method.parse("random"), seed=1, threads=1)
OTHER = "aral-released+aral-diverse"
ARAL = resolve("digits", Method.parse(OTHER), seed=1, threads=1)
IDS = np.array([7, 3, 5])


def test_methods_of_one_seed_have_one_hash_and_seeds_have_their_own() -> None:
    assert parity_hash(SPEC, "f", IDS) == parity_hash(ARAL, "f", IDS)
    other = resolve("digits", Method.parse("random"), seed=2, threads=1)
    assert parity_hash(other, "f", IDS) != parity_hash(SPEC, "f", IDS)


def test_the_hash_is_of_the_table_as_sorted_json() -> None:
    table = parity_table(SPEC, "f") | {"first query": [7, 3, 5]}
    text = json.dumps(dict(sorted(table.items())), separators=(",", ":"))
    assert parity_hash(SPEC, "f", IDS) == hashlib.sha256(text.encode()).hexdigest()[:12]
    assert "learner" not in table and table["model.training.steps"] == 400


@pytest.mark.parametrize(
    "setting",
    [
        "pool_size=50",
        "test_size=50",
        "threads=2",
        "side=64",
        "rounds.query_size=11",
        "rounds.budget=90",
        'rounds.first_query="random"',
        "rounds.validation_share=0.1",
        "rounds.validation_steps=7",
        "model.training.steps=401",
        "model.training.labelled_batch=65",
        "model.training.flat_share=0.5",
        "model.training.rate_floor=1e-5",
        "model.training.warm_start=false",
        "model.training.average_decay=0.5",
        'model.training.precision="bfloat16"',
        "model.optimisers.discriminator.rate=0.002",
        "model.networks.discriminator_sizes=[256, 128, 64]",
        "model.classifier.width=8",
        "model.networks.input_noise=0.1",
        "model.networks.hidden_noise=0.1",
    ],
)
def test_what_must_be_equal_changes_the_hash_and_is_named(setting: str) -> None:
    changed = resolve("digits", Method.parse(OTHER), [setting], seed=1)
    changed = changed if setting.startswith("threads") else changed.model_copy(update={"threads": 1})
    assert parity_hash(changed, "f", IDS) != parity_hash(SPEC, "f", IDS)
    compared = [Unit("a", SPEC), Unit("b", changed)]
    with pytest.raises(BadInput, match="seed 1 would not be compared fairly") as error:
        check_equal(compared, allow=False)
    assert setting.partition("=")[0] in error.value.problem
    assert "supervised+random" in error.value.problem and "aral-released+aral" in error.value.problem
    named = check_equal(compared, allow=True)[1]
    assert named and all(line.startswith(setting.partition("=")[0].rpartition(".")[0]) for line in named)


@pytest.mark.parametrize(
    "setting",
    [
        "model.weights.adv=0.5",
        "model.latent_size=5",
        "model.optimisers.encoder.rate=0.5",
        "model.training.unlabelled_batch=7",
        "model.training.mc_passes=7",
        "model.optimisers.critic.rate=0.5",
        "model.separate_gan.predictor=0.5",
        "model.self_training.weak.shift=0.2",
        "model.self_training.strong.shift=0.2",
        "model.networks.encoder_sizes=[9]",
        "model.networks.generator_sizes=[9]",
    ],
)
def test_what_belongs_to_a_method_is_free(setting: str) -> None:
    own = resolve("digits", Method.parse(OTHER), [setting], seed=1, threads=1)
    assert parity_hash(own, "f", IDS) == parity_hash(SPEC, "f", IDS)
    assert check_equal([Unit("a", SPEC), Unit("b", own)], allow=False) == {1: ()}


def test_the_papers_methods_are_comparable() -> None:
    names = ("random", "vaal", "bgadl", "ceal", "no-active-learning", "no-encoder", "no-co-training", OTHER)
    compared = [Unit(name, resolve("cifar10", Method.parse(name), threads=1)) for name in names]
    assert check_equal(compared, allow=False) == {0: ()}


def test_augmentation_that_is_really_applied_must_be_equal() -> None:
    """`consistency` shifts labelled images, `supervised` takes them as they are, whatever the settings say."""
    names = ("consistency", "random")
    compared = [Unit(name, resolve("digits", Method.parse(name), threads=1)) for name in names]
    (line,) = check_equal(compared, allow=True)[0]
    assert line == (
        "labelled images are trained on: consistency+random with shift 0.1, supervised+random as they are"
    )
    plain = ["model.self_training.weak.shift=0"]
    compared = [Unit(name, resolve("digits", Method.parse(name), plain, threads=1)) for name in names]
    assert check_equal(compared, allow=False) == {0: ()}
    strong = [(), ("model.self_training.strong.rotation=90",)]
    compared = [Unit(str(own), resolve("digits", Method.parse("aral"), own, threads=1)) for own in strong]
    assert not check_equal([compared[0]], allow=False)[0]
    one, other = (parity_hash(unit.spec, "f", IDS) for unit in compared)
    assert one != other


def test_steps_before_labels_count_where_they_run() -> None:
    """The setting is equal, but only one of the learners trains before labels."""
    names = ("aral+random", "supervised+random")
    one, other = (
        parity_table(resolve("digits", Method.parse(name), ["model.partitioning.steps=7"]), "f")
        for name in names
    )
    assert one["model.partitioning.steps"] == other["model.partitioning.steps"] == 7
    assert (one["steps before labels"], other["steps before labels"]) == (7, 0)


@pytest.mark.parametrize("name", sorted(LEARNERS))
def test_what_is_said_of_a_learner_is_what_its_phases_do(name: str) -> None:
    model = tiny_model(steps=2)
    learner = make_learner(name, model, planted_data().pool, 3, Stream.root(0))
    assert isinstance(learner, PhasedLearner)
    seen = {
        part
        for phase in learner.phases
        if Net.DISCRIMINATOR in phase.trains
        for part in phase.sees & {Part.LABELLED, Part.WEAK_LABELLED, Part.STRONG_LABELLED}
    }
    assert seen == {LABELLED_AS.get(name, Part.LABELLED)}
    assert bool(learner._before_labels) == (name in BEGIN_WITHOUT_LABELS)


def test_versions_belong_to_the_hash_as_they_were_recorded(tmp_path: Path) -> None:
    made = units(GridSpec(name="g", data="digits", methods=("random", "vaal", OTHER), seeds=(0,)))
    for unit in made:
        record(tmp_path, unit, [4, 2])
    assert verify(made, tmp_path)[0].differences == ()
    with Store.open(tmp_path / made[1].name, create=False) as store:
        store.record_setting("versions", versions() | {"torch": "1.0"})
    (line,) = verify(made, tmp_path)[0].differences
    assert "versions" in line and "vaal+vaal-seed0" in line and OTHER not in line


def test_a_run_records_its_versions(tmp_path: Path) -> None:
    data = planted_data(pool_size=40)
    spec = SPEC.model_copy(update={"model": tiny_model(steps=1), "rounds": Rounds(query_size=3, budget=3)})
    with store_reading(run(spec, data, tmp_path / "run")) as store:
        assert store.setting("versions") == {"aral": aral.__version__, "torch": torch.__version__}


def test_a_learner_with_a_preset_of_its_own_is_compared_with_itself() -> None:
    """`aral` trains other networks for other steps, which is said; its queries can be compared fairly."""
    few = {name: resolve("digits", Method.parse(name), seed=1, threads=1) for name in ("aral", "aral+random")}
    one, other = (Unit(name, spec) for name, spec in few.items())
    assert check_equal([one, other], allow=False) == {1: ()}
    with pytest.raises(BadInput, match="would not be compared fairly") as error:
        check_equal([Unit("a", SPEC), one], allow=False)
    for name in ("model.networks.scale", "model.training.steps", "rounds.first_query"):
        assert f"{name}: " in error.value.problem


def test_data_and_first_labels_belong_to_the_hash() -> None:
    hashes = {
        parity_hash(SPEC, "f", IDS),
        parity_hash(SPEC, "g", IDS),
        parity_hash(SPEC, "f", np.array([3, 7, 5])),
        parity_hash(SPEC, "f", None),
    }
    assert len(hashes) == 4


def test_the_fingerprint_covers_pool_test_set_and_classes() -> None:
    data, same, other = planted_data(), planted_data(), planted_data(seed=1)
    assert data_fingerprint(data) == data_fingerprint(same)
    prints = {data_fingerprint(data), data_fingerprint(other)}
    for name in ("pool_classes", "test"):
        classes = data.pool_classes.copy()
        classes[0] = 1 - classes[0]
        changes = {"pool_classes": classes, "test": other.test}
        prints.add(data_fingerprint(type(data)(**vars(data) | {name: changes[name]})))
    assert len(prints) == 4


def record(folder: Path, unit: Unit, ids: list[int], fingerprint: str = "f") -> None:
    with Store.open(folder / unit.name, create=True) as store:
        store.record_setting("spec", json.loads(unit.spec.model_dump_json()))
        store.record_setting("data fingerprint", fingerprint)
        store.record_setting("versions", versions())
        chosen = np.array(ids, dtype=np.int64)
        store.record_query(0, Selection(chosen, np.zeros(len(ids)), "random", ("",) * len(ids)))


def test_parity_is_verified_from_what_the_units_recorded(tmp_path: Path) -> None:
    grid = GridSpec(name="g", data="digits", methods=("random", "vaal", OTHER), seeds=(0, 1))
    made = units(grid)
    for unit in made[:5]:
        record(tmp_path, unit, [4, 2] if unit.spec.seed == 0 else [1, 2])
    found = verify(made, tmp_path)
    assert (found[0].verified, found[1].verified) == (3, 2)
    assert found[0].hash == parity_hash(made[1].spec, "f", np.array([4, 2]))
    assert found[0].hash != found[1].hash and found[0].differences == found[1].differences == ()
    record(tmp_path, made[5], [2, 1])
    odd = verify(made, tmp_path)[1]
    assert odd.verified == 2 and len(odd.differences) == 1
    assert "aral-released+aral-diverse-seed1" in odd.differences[0] and "vaal" not in odd.differences[0]


def test_other_data_in_one_unit_are_found(tmp_path: Path) -> None:
    made = units(GridSpec(name="g", data="digits", methods=("random", "vaal"), seeds=(0,)))
    record(tmp_path, made[0], [4, 2])
    record(tmp_path, made[1], [4, 2], "other images")
    assert "vaal+vaal-seed0" in verify(made, tmp_path)[0].differences[0]
    assert verify(made, tmp_path / "nothing")[0].hash == ""
