"""A run's specification: presets, single settings, and errors that name the right setting."""

from __future__ import annotations

from pathlib import Path

import pytest

from aral.benchmarking import spec as specification
from aral.benchmarking.methods import LEARNERS, Method
from aral.benchmarking.spec import (
    RunSpec,
    differences,
    flattened,
    preset_names,
    read_learner_preset,
    read_preset,
    resolve,
    validated,
)
from aral.data import NAMES
from aral.errors import BadInput

ARAL = Method.parse("aral")
RELEASED = Method.parse("aral-released+aral-diverse")
"""A method whose learner has no preset of its own."""


def test_every_data_set_has_a_preset_and_folders_too() -> None:
    assert set(preset_names()) == {*NAMES, "folder"}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("learner", sorted(LEARNERS))
def test_every_preset_is_valid_for_every_learner(name: str, learner: str) -> None:
    spec = resolve(name, Method.parse(learner))
    assert (spec.data, spec.learner) == (name, learner)
    assert spec.rounds.query_size <= spec.rounds.budget
    assert RunSpec.model_validate_json(spec.model_dump_json()) == spec


@pytest.mark.parametrize("name", ["folder", *NAMES])
def test_every_setting_of_a_preset_arrives(name: str, tmp_path: Path) -> None:
    def check(table: dict[str, object], found: dict[str, object]) -> None:
        for key, value in table.items():
            here = found[key]
            if isinstance(value, dict):
                assert isinstance(here, dict)
                check(value, here)
            else:
                assert here == (tuple(value) if isinstance(value, list) else value)

    preset = read_preset(name)
    preset.pop("learner", None)
    check(preset, resolve(str(tmp_path) if name == "folder" else name, RELEASED).model_dump())


def leaves(table: dict[str, object], prefix: str = "") -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in table.items():
        found |= leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found


@pytest.mark.parametrize("data", NAMES)
def test_a_learners_own_preset_arrives_on_every_data_set(data: str) -> None:
    """Its settings win over the data's, but for the data's part for it; labels a round stay the data's."""
    own = leaves(read_learner_preset("aral"))
    assert own["rounds.first_query"] == "typical-clusters" and own["model.networks.scale"] == "compact"
    own |= leaves(read_preset(data).get("learner", {}).get("aral", {}))
    spec, plain = flattened(resolve(data, ARAL)), flattened(resolve(data, RELEASED))
    assert {name: spec[name] for name in own} == own
    for name in ("rounds.query_size", "rounds.budget", "side", "pool_size"):
        assert spec[name] == plain[name]
    assert "model.networks.discriminator_sizes" not in spec, "sizes of another scale are left behind"


def test_fashion_mnist_has_the_settings_of_mnist_for_every_learner() -> None:
    for learner in LEARNERS:
        one, other = (resolve(data, Method.parse(learner)) for data in ("mnist", "fashion-mnist"))
        assert [line.partition(":")[0] for line in differences(one, other)] == ["data"], learner


@pytest.mark.parametrize("name", ["folder", *NAMES])
def test_images_of_a_gan_apart_come_in_from_the_middle_of_the_first_round(name: str, tmp_path: Path) -> None:
    data = str(tmp_path) if name == "folder" else name
    model = resolve(data, Method.parse("no-co-training")).model
    ramp, steps = model.weights.generated_ramp, model.training.steps
    assert ramp.at(0) == 0 and 0 < ramp.at(steps // 3) < 1 and ramp.at(steps // 2) == 1
    assert resolve(data, RELEASED).model.weights.generated_ramp.at(0) == 1


def test_who_is_to_label_must_be_there() -> None:
    averaged = "model.self_training.averaged=true"
    assert resolve("digits", ARAL, [averaged]).model.self_training.averaged
    with pytest.raises(BadInput, match=r"Setting model: .*training.average_decay above 0") as found:
        resolve("digits", ARAL, [averaged, "model.training.average_decay=0"])
    assert found.value.hint == "Change one of them with --set; 'aral settings digits' shows all."


def test_only_some_learners_have_a_preset() -> None:
    files = Path(specification.__file__).parent / "presets" / "learners"
    assert {file.stem for file in files.iterdir()} <= set(LEARNERS)
    assert read_learner_preset("supervised") == {}
    assert resolve("digits", Method.parse("supervised")).rounds.first_query == "typiclust"


def test_the_datas_part_for_a_learner_wins_over_the_learners_and_single_settings_over_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = read_preset("digits")
    data["model"]["training"] |= {"steps": 1, "labelled_batch": 2, "mc_passes": 3}
    special = {"model": {"training": {"steps": 11}, "networks": {"scale": "conv32", "sampler_width": 9}}}
    data["learner"] = {"aral": special, "vaal": {"model": {"training": {"steps": 12}}}}
    own = {
        "model": {
            "training": {"steps": 21, "labelled_batch": 22},
            "networks": {"scale": "compact", "depth": 1},
        }
    }
    monkeypatch.setattr(specification, "read_preset", lambda name: {**data, "learner": dict(data["learner"])})
    monkeypatch.setattr(specification, "read_learner_preset", lambda name: own if name == "aral" else {})
    training = resolve("digits", ARAL).model.training
    assert (training.steps, training.labelled_batch, training.mc_passes) == (11, 22, 3)
    networks = resolve("digits", ARAL).model.networks.model_dump()
    assert (networks["scale"], networks["sampler_width"]) == ("conv32", 9) and "depth" not in networks
    assert resolve("digits", ARAL, ["model.training.steps=31"]).model.training.steps == 31
    assert resolve("digits", RELEASED).model.training.steps == 1
    assert resolve("digits", Method.parse("vaal")).model.training.steps == 12


def test_paper_settings_of_mnist_and_cifar10() -> None:
    """Section 4.1: rates, latents, labels a round, the distance of feature matching."""
    mnist, cifar10 = resolve("mnist", RELEASED), resolve("cifar10", RELEASED)
    assert (mnist.rounds.query_size, cifar10.rounds.query_size) == (10, 500)
    assert (mnist.model.latent_size, cifar10.model.latent_size) == (100, 100)
    assert (mnist.model.matching_norm, cifar10.model.matching_norm) == ("squared", "absolute")
    rates = [
        [spec.model.optimisers.encoder.rate, spec.model.optimisers.discriminator.rate]
        for spec in (mnist, cifar10)
    ]
    assert rates == [[1e-3, 3e-3], [3e-4, 6e-4]]
    assert mnist.model.weights.trd == mnist.model.weights.adv == 0.001


def test_a_folder_takes_the_folder_preset(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    spec = resolve(str(photos), RELEASED)
    assert spec.data == str(photos)
    assert spec.model.networks.scale == "conv32"
    assert spec.folder_name == "photos-aral-released+aral-diverse-seed0"
    few = resolve(str(photos), ARAL)
    assert few.model.networks.scale == "compact" and few.folder_name == "photos-aral+aral-graph-seed0"


def test_the_folder_here_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = tmp_path / "birds"
    here.mkdir()
    monkeypatch.chdir(here)
    assert resolve(".", RELEASED, seed=3).folder_name == "birds-aral-released+aral-diverse-seed3"
    assert resolve("mnist", RELEASED).folder_name == "mnist-aral-released+aral-diverse-seed0"


def test_settings_are_numbers_words_and_nested() -> None:
    settings = [
        "model.training.steps=7",
        "model.weights.trd=1e-2",
        "model.training.warm_start=false",
        "model.training.precision=bfloat16",
        'rounds.first_query="random"',
        "model.networks.encoder_sizes=[12, 8]",
        "model.weights.generated_ramp.end=50",
        " seed = 9 ",
    ]
    spec, plain = resolve("digits", RELEASED, settings), resolve("digits", RELEASED)
    assert spec.model.training.steps == 7
    assert spec.model.weights.trd == 0.01
    assert spec.model.training.warm_start is False
    assert spec.model.training.precision == "bfloat16"
    assert spec.rounds.first_query == "random"
    assert spec.model.networks.model_dump()["encoder_sizes"] == (12, 8)
    assert spec.model.weights.generated_ramp.end == 50
    assert spec.seed == 9
    # What was not named stays as the preset has it.
    assert len(differences(plain, spec)) == 8
    assert spec.model.training.labelled_batch == plain.model.training.labelled_batch == 64


def test_later_settings_win_over_earlier_ones_and_all_over_fields() -> None:
    assert resolve("digits", RELEASED, ["seed=1", "seed=2"], seed=5).seed == 2
    assert resolve("digits", RELEASED, seed=5).seed == 5


def test_a_field_that_is_none_leaves_the_preset() -> None:
    assert resolve("imagenet", RELEASED, side=None).side == 128
    assert resolve("imagenet", RELEASED, side=64, pool_size=10).side == 64
    assert resolve("imagenet", RELEASED, rounds={"budget": 70000}).rounds.query_size == 64058


@pytest.mark.parametrize(
    ("data", "setting", "meant"),
    [
        ("digits", "model.training.step=5", "model.training.steps"),
        ("digits", "sed=1", "seed"),
        ("digits", "model.optimisers.encoder.rat=1", "model.optimisers.encoder.rate"),
        ("digits", "rounds.querysize=4", "rounds.query_size"),
        ("digits", "model.networks.encoder_size=[4]", "model.networks.encoder_sizes"),
        ("cifar10", "model.networks.encoder_sizes=[4]", "model.networks.encoder_widths"),
        ("cifar10", "model.networks.discriminator_widht=4", "model.networks.discriminator_width"),
        ("aral on digits", "model.networks.width=[4]", "model.networks.widths"),
        ("aral on digits", "model.networks.encoder_sizes=[4]", "model.networks.encoder_widths"),
        ("aral on digits", "model.partitioning.step=4", "model.partitioning.steps"),
    ],
)
def test_an_unknown_setting_names_the_nearest_that_exists(data: str, setting: str, meant: str) -> None:
    """Each scale of networks has settings of its own, and only those are suggested."""
    with pytest.raises(BadInput) as caught:
        resolve(data.rpartition(" ")[2], ARAL if " on " in data else RELEASED, [setting])
    assert caught.value.problem == f"Unknown setting '{setting.partition('=')[0]}'."
    assert f"Did you mean '{meant}'?" in caught.value.hint


@pytest.mark.parametrize(
    ("setting", "problem"),
    [
        ("seed=abc", "Setting seed: "),
        ("model.training.steps=-1", "Setting model.training.steps: "),
        ("model.training.precision=float16", "Setting model.training.precision: "),
        ("model=5", "Setting model: "),
        ("model.networks.scale=cube", "Setting model.networks: "),
        ("model.weights.trd=nan", "Setting model.weights.trd: "),
        ("model.training.flat_share=1.5", "Setting model.training.flat_share: "),
        ("model.weights.beta=inf", "Setting model.weights.beta: "),
        ("steps", "'steps' is no setting."),
        ("=3", "'=3' is no setting."),
    ],
)
def test_a_wrong_value_names_its_setting(setting: str, problem: str) -> None:
    with pytest.raises(BadInput) as caught:
        resolve("digits", RELEASED, [setting])
    assert caught.value.problem.startswith(problem)
    assert caught.value.hint


def test_an_unknown_data_set_suggests_the_nearest_and_folders() -> None:
    with pytest.raises(BadInput, match="Did you mean 'mnist'") as caught:
        resolve("mnits", RELEASED)
    assert "./photos" in caught.value.hint
    with pytest.raises(BadInput, match="Unknown data set '/no/such/folder'"):
        resolve("/no/such/folder", RELEASED)


@pytest.mark.parametrize(
    ("setting", "kind", "meant"),
    [
        ("rounds.first_query=typiclus", "acquisition", "typiclust"),
        ("acquisition=bold", "acquisition", "bald"),
        ("learner=supervise", "method", "supervised"),
    ],
)
def test_names_given_as_settings_are_looked_up(setting: str, kind: str, meant: str) -> None:
    with pytest.raises(BadInput, match=f"Unknown {kind} .*\n.*Did you mean '{meant}'"):
        resolve("digits", RELEASED, [setting])


def test_an_unknown_preset_suggests_the_nearest() -> None:
    with pytest.raises(BadInput, match="Did you mean 'cifar10'"):
        read_preset("cifar-10")


def test_validated_refuses_what_is_missing() -> None:
    with pytest.raises(BadInput, match="Setting learner: Field required"):
        validated({"data": "mnist", "acquisition": "random"})


def test_differences_by_name() -> None:
    one = resolve("digits", RELEASED)
    other = resolve("digits", Method.parse("supervised+bald"), ["model.training.steps=9"], pool_size=50)
    assert differences(one, one) == []
    assert differences(one, other) == [
        "acquisition: aral-diverse → bald",
        "learner: aral-released → supervised",
        "model.training.steps: 400 → 9",
        "pool_size: None → 50",
    ]


def test_differences_between_scales_list_both_sides() -> None:
    found = differences(resolve("mnist", RELEASED), resolve("svhn", RELEASED))
    assert "model.networks.scale: mlp → conv32" in found
    assert "model.networks.discriminator_width: None → 64" in found
    assert any(line.startswith("model.networks.encoder_sizes: [500, 500] → None") for line in found)


def test_a_specification_is_frozen() -> None:
    spec = resolve("digits", RELEASED)
    with pytest.raises(ValueError, match="frozen"):
        spec.seed = 4  # type: ignore[misc]
