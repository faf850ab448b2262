"""Fairness: what must be equal, what may differ, and what is found in the stores afterwards."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch

import aral
from aral.benchmarking import (
    GridSpec,
    Method,
    Rounds,
    Unit,
    learner_titles,
    parity_hash,
    parity_table,
    resolve,
    run,
    units,
)
from aral.benchmarking.parity import check_equal, verify, versions
from aral.benchmarking.runs import data_fingerprint
from aral.errors import BadInput
from aral.loop import Store
from aral.loop.reading import store_reading
from aral.testing import planted_data, tiny_settings
from aral.types import Selection

OTHER = "aral:released+aral-diverse"
SPEC = resolve("digits", Method.parse("random"), seed=1, threads=1)
ARAL = resolve("digits", Method.parse(OTHER), seed=1, threads=1)
IDS = np.array([7, 3, 5])


def unit(method: str, *settings: str, data: str = "digits") -> Unit:
    return Unit(method, resolve(data, Method.parse(method), settings, seed=1, threads=1))


def test_methods_of_one_seed_have_one_hash_and_seeds_have_their_own() -> None:
    assert parity_hash(SPEC, "f", IDS) == parity_hash(ARAL, "f", IDS)
    other = resolve("digits", Method.parse("random"), seed=2, threads=1)
    assert parity_hash(other, "f", IDS) != parity_hash(SPEC, "f", IDS)


def test_the_hash_is_of_the_table_as_sorted_json() -> None:
    table = parity_table(SPEC, "f") | {"first query": [7, 3, 5]}
    text = json.dumps(dict(sorted(table.items())), separators=(",", ":"))
    assert parity_hash(SPEC, "f", IDS) == hashlib.sha256(text.encode()).hexdigest()[:12]
    assert "learner.name" not in table and table["learner.training.steps"] == 400


@pytest.mark.parametrize(
    "setting",
    [
        "pool_size=50",
        "test_size=50",
        "threads=2",
        "side=64",
        'device="mps"',
        "rounds.query_size=11",
        "rounds.budget=90",
        'rounds.first_query="random"',
        "rounds.validation_share=0.1",
        "rounds.validation_steps=7",
        "learner.training.steps=401",
        "learner.training.labelled_batch=65",
        "learner.training.warm_up=5",
        "learner.training.flat_share=0.5",
        "learner.training.rate_floor=1e-5",
        "learner.training.warm_start=false",
        "learner.training.average_decay=0.5",
        'learner.training.precision="bfloat16"',
        "learner.optimisers.discriminator.rate=0.002",
        "learner.optimisers.discriminator.weight_decay=0.1",
        "learner.networks.discriminator_sizes=[256, 128, 64]",
        "learner.classifier.width=8",
        "learner.networks.input_noise=0.1",
        "learner.networks.hidden_noise=0.1",
    ],
)
def test_what_must_be_equal_changes_the_hash_and_is_named(setting: str) -> None:
    changed = unit(OTHER, setting)
    assert parity_hash(changed.spec, "f", IDS) != parity_hash(SPEC, "f", IDS)
    compared = [Unit("a", SPEC), changed]
    with pytest.raises(BadInput, match="seed 1 would not be compared fairly") as error:
        check_equal(compared, allow=False)
    name = setting.partition("=")[0]
    assert name in error.value.problem
    assert "supervised+random" in error.value.problem and "aral:released+aral" in error.value.problem
    named = check_equal(compared, allow=True)[1]
    assert named and all(line.startswith(name.rpartition(".")[0]) for line in named)


@pytest.mark.parametrize(
    ("method", "setting"),
    [
        (OTHER, "acquisition=random"),
        (OTHER, "learner.weights.adv=0.5"),
        (OTHER, "learner.weights.cls=0.5"),
        (OTHER, 'learner.objective="paper"'),
        (OTHER, "learner.sampler=false"),
        (OTHER, "learner.latent_size=5"),
        (OTHER, "learner.optimisers.encoder.rate=0.5"),
        (OTHER, "learner.training.unlabelled_batch=7"),
        (OTHER, "learner.prediction.mc_passes=7"),
        (OTHER, "learner.prediction.batch=7"),
        (OTHER, 'learner.graph.compare="pixels"'),
        (OTHER, "learner.networks.encoder_sizes=[9]"),
        (OTHER, "learner.networks.generator_sizes=[9]"),
        (OTHER, "learner.networks.sampler_width=9"),
        ("no-co-training", "learner.optimisers.critic.rate=0.5"),
        ("no-co-training", "learner.separate_gan.predictor=0.5"),
        ("pseudo-label", "learner.entropy=0.5"),
        ("supervised", "learner.weight=0.5"),
    ],
)
def test_what_belongs_to_a_method_is_free(method: str, setting: str) -> None:
    own = unit(method, setting)
    assert own.spec != unit(method).spec
    assert parity_hash(own.spec, "f", IDS) == parity_hash(SPEC, "f", IDS)
    assert check_equal([Unit("a", SPEC), own], allow=False) == {1: ()}


def test_the_papers_methods_are_comparable() -> None:
    names = [
        *("random", "vaal", "bgadl", "ceal", "aral:no-sampler", "aral:no-encoder", "aral:generated-only"),
        *("aral:released:no-sampler", "no-co-training", OTHER),
    ]
    assert check_equal([unit(name, data="cifar10") for name in names], allow=False) == {1: ()}


def test_augmentation_that_is_really_applied_must_be_equal() -> None:
    """FixMatch shifts labelled images, supervised training takes them as they are."""
    compared = [unit("fixmatch"), unit("random")]
    (line,) = check_equal(compared, allow=True)[1]
    assert line == "augmentation of labelled images: fixmatch+random shift 0.1, supervised+random none"
    plain = unit("fixmatch", "learner.pseudo_labels.weak.shift=0")
    assert check_equal([plain, unit("random")], allow=False) == {1: ()}
    strong = unit("fixmatch", "learner.pseudo_labels.strong.rotation=90")
    assert parity_hash(strong.spec, "f", IDS) == parity_hash(unit("fixmatch").spec, "f", IDS)


def test_graph_ssl_states_its_strong_augmentation_mixup_and_pretraining() -> None:
    settings = [
        f"learner.pseudo_labels.strong.{name}=0" for name in ("scale", "rotation", "shear", "cut_out")
    ]
    settings += ["learner.pseudo_labels.strong.shift=0.2", "learner.pretraining.steps=7"]
    table = parity_table(unit("graph-ssl", *settings).spec, "f")
    assert table["augmentation of labelled images"] == "shift 0.2"
    assert table["pretraining steps"] == 7
    weak = unit("graph-ssl", *settings, "learner.pseudo_labels.weak.rotation=90")
    assert parity_table(weak.spec, "f") == table
    mixed = parity_table(unit("graph-ssl", *settings, "learner.pseudo_labels.mixup=0.75").spec, "f")
    assert mixed["augmentation of labelled images"] == "shift 0.2, mixup 0.75"
    assert parity_table(SPEC, "f")["pretraining steps"] == 0


@pytest.mark.parametrize("title", sorted(set(learner_titles()) - {"aral:printed"}))
def test_every_learner_states_the_same_things(title: str) -> None:
    """A setting that only one of the classes has must not be compared."""
    names = set(parity_table(resolve("digits", Method.parse(title)), "f"))
    plain = set(parity_table(SPEC, "f"))
    differing = {name for name in names ^ plain if not name.startswith("learner.networks.")}
    if title == "linear":  # it has no networks and makes no gradient step
        unused = ("learner.training.", "learner.optimisers.", "learner.classifier")
        assert differing == {name for name in plain if name.startswith(unused)}
        assert not [name for name in names if name.startswith("learner.")]
        return
    assert differing == set()
    assert {"learner.training.steps", "learner.optimisers.discriminator.rate", "device"} <= names
    own = ("encoder", "generator", "sampler", "critic", "decoder", "clusters")
    assert not [name for name in names for net in own if f".{net}" in name]


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
    rounds = Rounds(query_size=3, budget=3)
    spec = SPEC.model_copy(update={"learner": tiny_settings(steps=1), "rounds": rounds})
    with store_reading(run(spec, data, tmp_path / "run")) as store:
        assert store.setting("versions") == {"aral": aral.__version__, "torch": torch.__version__}


def test_a_learner_with_a_preset_of_its_own_is_compared_with_itself() -> None:
    """graph-ssl trains other networks for other steps, which is said; its queries can be compared fairly."""
    one, other = unit("graph-ssl"), unit("graph-ssl+random")
    assert check_equal([one, other], allow=False) == {1: ()}
    with pytest.raises(BadInput, match="would not be compared fairly") as error:
        check_equal([Unit("a", SPEC), one], allow=False)
    for name in ("learner.networks.scale", "learner.training.steps", "rounds.first_query"):
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
    assert "aral:released+aral-diverse-seed1" in odd.differences[0] and "vaal" not in odd.differences[0]


FEATURES = 'representation.backbone="gradients"'


def test_what_a_method_does_not_use_is_compared_among_the_others_only() -> None:
    """Logistic regression has no training steps; two others must agree in theirs."""
    few = [unit(name, FEATURES, "learner.training.steps=7") for name in ("supervised+random", "aral")]
    linear = unit("linear", FEATURES)
    assert check_equal([linear, *few], allow=False) == check_equal([*few, linear], allow=False) == {1: ()}
    with pytest.raises(
        BadInput, match=r"learner\.training\.steps: supervised\+random 7, aral\+aral 1000"
    ) as error:
        check_equal([linear, few[0], unit("aral", FEATURES)], allow=False)
    assert "linear" not in error.value.problem
    with pytest.raises(BadInput, match=r"rounds\.budget: .*linear\+margin 90"):
        check_equal([few[0], unit("linear", FEATURES, "rounds.budget=90")], allow=False)


@pytest.mark.parametrize("order", [("linear", "supervised+random"), ("supervised+random", "linear")])
def test_units_with_and_without_a_setting_have_one_hash(order: tuple[str, str], tmp_path: Path) -> None:
    """It is the same whichever has recorded first, and depends on the setting."""
    hashes = []
    for steps in (7, 8):
        settings = (FEATURES, f"learner.training.steps={steps}")
        grid = GridSpec(name="g", data="digits", methods=order, seeds=(0,), settings=settings)
        made = units(grid)
        for number, each in enumerate(made, 1):
            record(tmp_path / str(steps), each, [4, 2])
            found = verify(made, tmp_path / str(steps))[0]
            assert (found.verified, found.differences) == (number, ())
            hashes.append(found.hash)
    assert hashes[0] == hashes[1] != hashes[2] == hashes[3]
    changed = made[1].spec.model_copy(update={"side": 64})
    other = tmp_path / "other"
    record(other, made[0], [4, 2])
    record(other, Unit(made[1].name, changed), [4, 2])
    assert verify(made, other)[0].verified == 1 and verify(made, other)[0].differences


def test_other_data_in_one_unit_are_found(tmp_path: Path) -> None:
    made = units(GridSpec(name="g", data="digits", methods=("random", "vaal"), seeds=(0,)))
    record(tmp_path, made[0], [4, 2])
    record(tmp_path, made[1], [4, 2], "other images")
    assert "vaal+vaal-seed0" in verify(made, tmp_path)[0].differences[0]
    assert verify(made, tmp_path / "nothing")[0].hash == ""
