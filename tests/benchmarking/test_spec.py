"""A run's specification: presets, single settings, and errors that name the right setting."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from aral.benchmarking import Method, RunSpec, learner_titles, spec, used_settings
from aral.benchmarking.spec import (
    differences,
    flattened,
    preset_names,
    read_learner_preset,
    read_preset,
    resolve,
    usable,
    validated,
)
from aral.data import NAMES
from aral.errors import BadInput
from aral.learners import LEARNERS
from aral.learners.settings import Net

GRAPH_SSL = Method.parse("graph-ssl")
RELEASED = Method.parse("aral:released+aral-diverse")
"""A learner without a preset of its own, which has every setting of the data sets' presets."""

TITLES = [*learner_titles(), "aral:released:no-sampler", "aral:released:no-encoder"]


def titles_on(name: str) -> list[str]:
    """All, but the paper's values only where it prints some."""
    own = read_preset(name).get("learners", {})
    return [title for title in TITLES if title != "aral:printed" or title in own]


def leaves(table: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Values by full name, sequences as lists."""
    found: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, dict):
            found |= leaves(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = list(value) if isinstance(value, tuple) else value
    return found


def data_of(preset: str, tmp_path: Path) -> str:
    return str(tmp_path) if preset == "folder" else preset


# Presets


def test_every_data_set_has_a_preset_and_folders_too() -> None:
    assert set(preset_names()) == {*NAMES, "folder", "features"}


@pytest.mark.parametrize("name", ["folder", *NAMES])
def test_every_preset_is_valid_for_every_learner(name: str, tmp_path: Path) -> None:
    for title in titles_on(name):
        found = resolve(data_of(name, tmp_path), Method.parse(title))
        assert found.learner.title == title
        assert found.rounds.query_size <= found.rounds.budget
        assert RunSpec.model_validate_json(found.model_dump_json()) == found


@pytest.mark.parametrize("name", ["folder", *NAMES])
def test_every_setting_of_a_preset_arrives_at_some_learner(name: str, tmp_path: Path) -> None:
    """So that none is misspelt, although a learner takes only those that it has."""
    preset = read_preset(name)
    own = preset.pop("learners", {})
    specs = [flattened(resolve(data_of(name, tmp_path), Method.parse(title))) for title in titles_on(name)]
    for setting, value in leaves(preset).items():
        chosen = {"float32", "bfloat16"} if value == "auto" else {str(value)}
        assert any(str(found.get(setting)) in chosen for found in specs), setting
    assert set(own) <= {*TITLES, "aral:paper"}, "parts for learners that do not exist"


def test_a_learner_takes_the_settings_of_the_data_that_it_has() -> None:
    supervised = flattened(resolve("svhn", Method.parse("supervised")))
    assert supervised["learner.training.labelled_batch"] == 64
    assert supervised["learner.optimisers.discriminator.rate"] == 6e-4
    assert supervised["learner.networks.discriminator_width"] == 64
    for name in ("matching_norm", "training.unlabelled_batch", "optimisers.encoder.rate"):
        assert f"learner.{name}" not in supervised
        assert f"learner.{name}" in flattened(resolve("svhn", RELEASED))


@pytest.mark.parametrize("data", NAMES)
def test_a_learners_own_preset_arrives_on_every_data_set(data: str) -> None:
    """It wins over the data's, but for the data's part for that learner; labels a round stay the data's."""
    own = leaves(read_learner_preset("graph-ssl"))
    assert own["rounds.first_query"] == "typical-clusters" and own["learner.networks.scale"] == "compact"
    own |= leaves(read_preset(data).get("learners", {}).get("graph-ssl", {}))
    assert own.pop("learner.training.precision") == "auto"
    found, plain = flattened(resolve(data, GRAPH_SSL)), flattened(resolve(data, RELEASED))
    assert {name: found[name] for name in own} == own
    for name in ("rounds.query_size", "rounds.budget", "side", "pool_size"):
        assert found[name] == plain[name]
    assert "learner.networks.discriminator_sizes" not in found, "sizes of another scale are dropped"


def test_a_part_for_a_variant_arrives_where_the_variant_holds() -> None:
    """MNIST has settings for the paper's objective, which is the default one."""
    rates = {
        title: resolve("mnist", Method.parse(title)).learner.optimisers.discriminator.rate
        for title in ("aral", "aral:no-sampler", "aral:released", "supervised")
    }
    assert rates == {"aral": 1e-3, "aral:no-sampler": 1e-3, "aral:released": 3e-3, "supervised": 3e-3}


def test_the_printed_values_are_those_of_sections_4_1_and_4_2() -> None:
    for data, slow, fast in (("mnist", 1e-3, 3e-3), ("cifar10", 3e-4, 6e-4), ("celeba", 1e-3, 1e-3)):
        learner = resolve(data, Method.parse("aral:printed")).learner
        assert learner.title == "aral:printed" and learner.objective == "paper"
        rates = [
            learner.optimisers.of(net).rate
            for net in (Net.ENCODER, Net.GENERATOR, Net.DISCRIMINATOR, Net.SAMPLER)
        ]
        assert rates == [slow, slow, fast, fast]
        weights = learner.weights
        assert (weights.gan, weights.cls, weights.trd, weights.adv, weights.beta) == (1, 1, 1e-3, 1e-3, 1)
        assert weights.labelled_share == 0.5 and weights.generated_ramp.at(0) == 1
        assert learner.training.average_decay == 0 and learner.latent_size == 100
    assert resolve("mnist", Method.parse("aral:printed")).learner.networks.hidden_noise == 0.5


def test_the_paper_prints_no_values_for_other_data() -> None:
    for settings in ((), ('representation.backbone="gradients"',)):
        data = "mnist" if settings else "digits"
        with pytest.raises(BadInput, match="prints no rates and weights"):
            resolve(data, Method.parse("aral:printed"), settings)


def test_fashion_mnist_has_the_settings_of_mnist_for_every_learner() -> None:
    for title in titles_on("mnist"):
        one, other = (resolve(data, Method.parse(title)) for data in ("mnist", "fashion-mnist"))
        assert [line.partition(":")[0] for line in differences(one, other)] == ["data"], title


@pytest.mark.parametrize("name", ["folder", *NAMES])
def test_images_of_a_separate_gan_are_used_from_the_middle_of_the_first_round(
    name: str, tmp_path: Path
) -> None:
    learner = resolve(data_of(name, tmp_path), Method.parse("no-co-training")).learner
    ramp, steps = learner.weights.generated_ramp, learner.training.steps
    assert ramp.at(0) == 0 and 0 < ramp.at(steps // 3) < 1 and ramp.at(steps // 2) == 1
    assert resolve(data_of(name, tmp_path), RELEASED).learner.weights.generated_ramp.at(0) == 1


def test_only_some_learners_have_a_preset() -> None:
    files = Path(spec.__file__).parent / "presets" / "learners"
    assert {file.stem for file in files.iterdir()} <= set(LEARNERS)
    assert read_learner_preset("supervised") == {}
    assert resolve("digits", Method.parse("supervised")).rounds.first_query == "typiclust"


def test_order_of_presets_and_single_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Data's, learner's, data's part for the learner, its part for the variant, single settings."""
    data = read_preset("digits")
    data["learner"]["training"] |= {"steps": 1, "labelled_batch": 2, "warm_up": 3}
    special = {"learner": {"training": {"steps": 11}, "networks": {"scale": "conv32", "sampler_width": 9}}}
    variant = {"learner": {"training": {"steps": 13}}}
    data["learners"] = {
        "graph-ssl": special,
        "aral": {"learner": {"training": {"steps": 12}}},
        "aral:no-sampler": variant,
    }
    own = {
        "learner": {
            "training": {"steps": 21, "labelled_batch": 22},
            "networks": {"scale": "compact", "depth": 1},
        }
    }
    monkeypatch.setattr(spec, "read_preset", lambda name: {**data, "learners": dict(data["learners"])})
    monkeypatch.setattr(spec, "read_learner_preset", lambda name: own if name == "graph-ssl" else {})
    training = resolve("digits", GRAPH_SSL).learner.training
    assert (training.steps, training.labelled_batch, training.warm_up) == (11, 22, 3)
    networks = resolve("digits", GRAPH_SSL).learner.networks.model_dump()
    assert (networks["scale"], networks["sampler_width"]) == ("conv32", 9) and "depth" not in networks
    steps = "learner.training.steps=31"
    for title, expected in (("aral", 12), ("aral:no-sampler", 13), ("aral:generated-only", 12), ("vaal", 1)):
        assert resolve("digits", Method.parse(title)).learner.training.steps == expected
        assert resolve("digits", Method.parse(title), [steps]).learner.training.steps == 31


def test_paper_settings_of_mnist_and_cifar10() -> None:
    """Section 4.1: rates, latents, labels a round, the distance of feature matching."""
    mnist, cifar10 = resolve("mnist", RELEASED), resolve("cifar10", RELEASED)
    assert (mnist.rounds.query_size, cifar10.rounds.query_size) == (10, 500)
    assert (mnist.learner.latent_size, cifar10.learner.latent_size) == (100, 100)
    assert (mnist.learner.matching_norm, cifar10.learner.matching_norm) == ("squared", "absolute")
    rates = [
        [found.learner.optimisers.encoder.rate, found.learner.optimisers.discriminator.rate]
        for found in (mnist, cifar10)
    ]
    assert rates == [[1e-3, 3e-3], [3e-4, 6e-4]]
    assert mnist.learner.weights.trd == mnist.learner.weights.adv == 0.001


def test_a_folder_takes_the_folder_preset(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    found = resolve(str(photos), RELEASED)
    assert found.data == str(photos)
    assert found.learner.networks.scale == "conv32"
    assert found.folder_name == "photos-aral:released+aral-diverse-seed0"
    few = resolve(str(photos), GRAPH_SSL)
    assert few.learner.networks.scale == "compact"
    assert few.folder_name == "photos-graph-ssl+aral-graph-seed0"


def test_the_current_folder_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = tmp_path / "birds"
    here.mkdir()
    monkeypatch.chdir(here)
    assert resolve(".", RELEASED, seed=3).folder_name == "birds-aral:released+aral-diverse-seed3"
    assert resolve("mnist", RELEASED).folder_name == "mnist-aral:released+aral-diverse-seed0"


def test_auto_records_which_method_it_chose_and_why() -> None:
    """The reason is kept in the file of the run, and is no difference to the method named outright."""
    auto, named = (resolve("digits", Method.parse(text)) for text in ("auto", "graph-ssl+aral-graph"))
    assert auto.chosen and not named.chosen
    read = RunSpec.model_validate_json(auto.model_dump_json())
    assert read.method == named.method and read.method.reason == auto.chosen
    assert auto.model_copy(update={"chosen": ""}) == named and differences(auto, named) == []


# Single settings


def test_settings_are_numbers_words_and_nested() -> None:
    settings = [
        "learner.training.steps=7",
        "learner.weights.trd=1e-2",
        "learner.training.warm_start=false",
        "learner.training.precision=bfloat16",
        'rounds.first_query="random"',
        "learner.networks.encoder_sizes=[12, 8]",
        "learner.weights.generated_ramp.end=50",
        " seed = 9 ",
    ]
    found, plain = resolve("digits", RELEASED, settings), resolve("digits", RELEASED)
    assert found.learner.training.steps == 7
    assert found.learner.weights.trd == 0.01
    assert found.learner.training.warm_start is False
    assert found.learner.training.precision == "bfloat16"
    assert found.rounds.first_query == "random"
    assert found.learner.networks.model_dump()["encoder_sizes"] == (12, 8)
    assert found.learner.weights.generated_ramp.end == 50
    assert found.seed == 9
    # What was not named stays as the preset has it.
    assert len(differences(plain, found)) == 8
    assert found.learner.training.labelled_batch == plain.learner.training.labelled_batch == 64


def test_later_settings_win_over_earlier_ones_and_all_over_fields() -> None:
    assert resolve("digits", RELEASED, ["seed=1", "seed=2"], seed=5).seed == 2
    assert resolve("digits", RELEASED, seed=5).seed == 5


def test_a_field_that_is_none_leaves_the_preset() -> None:
    assert resolve("imagenet", RELEASED, side=None).side == 128
    assert resolve("imagenet", RELEASED, side=64, pool_size=10).side == 64
    assert resolve("imagenet", RELEASED, rounds={"budget": 70000}).rounds.query_size == 64058


@pytest.mark.parametrize(
    ("data", "method", "setting", "meant"),
    [
        ("digits", "aral", "learner.training.step=5", "learner.training.steps"),
        ("digits", "aral", "sed=1", "seed"),
        ("digits", "aral", "learner.optimisers.encoder.rat=1", "learner.optimisers.encoder.rate"),
        ("digits", "aral", "rounds.querysize=4", "rounds.query_size"),
        ("digits", "aral", "learner.networks.encoder_size=[4]", "learner.networks.encoder_sizes"),
        ("cifar10", "aral", "learner.networks.encoder_sizes=[4]", "learner.networks.encoder_widths"),
        (
            "cifar10",
            "aral",
            "learner.networks.discriminator_widht=4",
            "learner.networks.discriminator_width",
        ),
        ("digits", "graph-ssl", "learner.networks.width=[4]", "learner.networks.widths"),
        ("digits", "graph-ssl", "learner.networks.encoder_sizes=[4]", "learner.networks.encoder_widths"),
        ("digits", "graph-ssl", "learner.pretraining.step=4", "learner.pretraining.steps"),
        ("digits", "fixmatch", "learner.pseudo_label.confidence=1", "learner.pseudo_labels.confidence"),
    ],
)
def test_an_unknown_setting_names_the_nearest_that_exists(
    data: str, method: str, setting: str, meant: str
) -> None:
    """Each learner and each scale of networks has settings of its own, and only those are suggested."""
    with pytest.raises(BadInput) as caught:
        resolve(data, Method.parse(method), [setting])
    assert f"'{setting.partition('=')[0]}'" in caught.value.problem
    assert f"Did you mean '{meant}'?" in caught.value.hint


@pytest.mark.parametrize(
    ("method", "setting", "owners"),
    [
        ("supervised", "learner.pseudo_labels.confidence=0.5", "graph-ssl, fixmatch"),
        ("fixmatch", "learner.pretraining.steps=0", "graph-ssl"),
        ("supervised", "learner.training={steps=3, unlabelled_batch=7}", "graph-ssl, aral, vaal"),
        ("vaal", "learner.objective=paper", "aral"),
    ],
)
def test_a_setting_of_other_learners_is_refused_and_its_learners_are_named(
    method: str, setting: str, owners: str
) -> None:
    with pytest.raises(BadInput, match=f"Learner '{method}' has no setting 'learner") as caught:
        resolve("digits", Method.parse(method), [setting])
    assert f"It is a setting of {owners}" in caught.value.hint


@pytest.mark.parametrize(
    ("method", "name"),
    [
        ("supervised", "learner.networks.encoder_sizes"),
        ("bgadl", "learner.networks.sampler_width"),
        ("bgadl", "learner.optimisers.sampler.rate"),
        ("aral:no-sampler", "learner.optimisers.sampler.rate"),
        ("aral:no-encoder", "learner.optimisers.encoder.beta1"),
        ("aral:no-encoder", "learner.sampler_sees"),
    ],
)
def test_a_setting_of_a_network_that_the_method_lacks_is_refused_and_not_shown(
    method: str, name: str
) -> None:
    values = {"sampler_sees": '"sample"', "encoder_sizes": "[4]", "sampler_width": "4"}
    setting = f"{name}={values.get(name.rpartition('.')[2], 0.5)}"
    with pytest.raises(BadInput) as caught:
        resolve("digits", Method.parse(method), [setting])
    assert caught.value.problem == f"Setting '{name}' is not used by '{method}'."
    shown = leaves(used_settings(resolve("digits", Method.parse(method))))
    assert name not in shown and "learner.networks.discriminator_sizes" in shown
    whole = Method.parse("aral")
    assert name in leaves(used_settings(resolve("digits", whole, [setting])))


def test_settings_for_several_methods_are_taken_as_far_as_a_method_has_them() -> None:
    settings = (
        "learner.training.steps=3",
        "learner.pretraining.steps=4",
        "learner.networks.encoder_sizes=[4]",
    )
    assert usable("digits", Method.parse("supervised"), settings) == settings[:1]
    assert usable("digits", GRAPH_SSL, settings) == settings[:2]
    assert usable("digits", RELEASED, settings) == (settings[0], settings[2])
    with pytest.raises(BadInput, match=r"Setting learner\.training\.steps"):
        usable("digits", GRAPH_SSL, ["learner.training.steps=-1"])


@pytest.mark.parametrize(
    ("setting", "problem"),
    [
        ("seed=abc", "Setting seed: "),
        ("learner.training.steps=-1", "Setting learner.training.steps: "),
        ("learner.training.precision=float16", "Setting learner.training.precision: "),
        ("learner.networks.scale=cube", "Setting learner.networks: "),
        ("learner.networks.discriminator_sizes=[]", "Setting learner.networks.discriminator_sizes: "),
        ("learner.weights.trd=nan", "Setting learner.weights.trd: "),
        ("learner.training.flat_share=1.5", "Setting learner.training.flat_share: "),
        ("learner.weights.beta=inf", "Setting learner.weights.beta: "),
        ("learner.encoder=false", "Setting learner: the sampler reads the encoder's codes"),
        ("learner=vaal", "The learner cannot be changed"),
        ("learner.name=vaal", "The learner cannot be changed"),
        ("steps", "'steps' is no setting."),
        ("=3", "'=3' is no setting."),
    ],
)
def test_a_wrong_value_names_its_setting(setting: str, problem: str) -> None:
    with pytest.raises(BadInput) as caught:
        resolve("digits", RELEASED, [setting])
    assert caught.value.problem.startswith(problem)
    assert caught.value.hint


def test_a_teacher_that_is_an_average_needs_an_average() -> None:
    teacher = "learner.pseudo_labels.teacher=ema"
    assert resolve("digits", GRAPH_SSL, [teacher]).learner.pseudo_labels.teacher == "ema"
    with pytest.raises(BadInput, match=r"Setting learner: .*training\.average_decay above 0") as found:
        resolve("digits", GRAPH_SSL, [teacher, "learner.training.average_decay=0"])
    assert "aral settings digits" in found.value.hint


def test_an_unknown_data_set_suggests_the_nearest_and_folders() -> None:
    with pytest.raises(BadInput, match="Did you mean 'mnist'") as caught:
        resolve("mnits", RELEASED)
    assert "./photos" in caught.value.hint
    with pytest.raises(BadInput, match="Unknown data set '/no/such/folder'"):
        resolve("/no/such/folder", RELEASED)


@pytest.mark.parametrize(
    ("setting", "meant"), [("rounds.first_query=typiclus", "typiclust"), ("acquisition=bold", "bald")]
)
def test_names_given_as_settings_are_looked_up(setting: str, meant: str) -> None:
    with pytest.raises(BadInput, match=f"Unknown acquisition .*\n.*Did you mean '{meant}'"):
        resolve("digits", RELEASED, [setting])


def test_an_unknown_preset_suggests_the_nearest() -> None:
    with pytest.raises(BadInput, match="Did you mean 'cifar10'"):
        read_preset("cifar-10")


# Reading and comparing


def test_the_learners_name_decides_which_settings_are_read() -> None:
    """The union of learners is read by its tag, and by nothing else."""
    table = {"data": "digits", "acquisition": "random"}
    found = validated({**table, "learner": {"name": "fixmatch", "pseudo_labels": {"confidence": 0.5}}})
    assert type(found.learner) is LEARNERS["fixmatch"] and found.learner.pseudo_labels.confidence == 0.5
    for wrong in ({"name": "fixmach"}, {"pseudo_labels": {"confidence": 0.5}}):
        with pytest.raises(BadInput, match=r"Setting learner: .*name"):
            validated({**table, "learner": wrong})
    with pytest.raises(BadInput, match="Setting learner: Field required"):
        validated(table)


def test_differences_by_name() -> None:
    one = resolve("digits", RELEASED)
    other = resolve("digits", Method.parse("aral+bald"), ["learner.training.steps=9"], pool_size=50)
    assert differences(one, one) == []
    assert differences(one, other) == [
        "acquisition: aral-diverse → bald",
        "learner.objective: released → paper",
        "learner.training.steps: 400 → 9",
        "pool_size: None → 50",
    ]


def test_differences_between_scales_and_learners_list_both_sides() -> None:
    found = differences(resolve("mnist", RELEASED), resolve("svhn", Method.parse("supervised")))
    assert "learner.networks.scale: mlp → conv32" in found
    assert "learner.networks.discriminator_width: None → 64" in found
    assert "learner.objective: released → None" in found
    assert any(line.startswith("learner.networks.encoder_sizes: [500, 500] → None") for line in found)


def test_a_specification_is_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        resolve("digits", RELEASED).seed = 4
