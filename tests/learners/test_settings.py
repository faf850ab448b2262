"""Learners' settings: variants and titles, networks and unused settings, what a method says of itself."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from aral.data.augmentation import Augmentation
from aral.learners import LEARNERS, AnyLearner, AralSettings, Net, variant_settings
from aral.testing import tiny_settings

E, G, D, S = Net.ENCODER, Net.GENERATOR, Net.DISCRIMINATOR, Net.SAMPLER


@pytest.mark.parametrize(
    ("settings", "title", "nets"),
    [
        ({}, "aral", {D, G, E, S}),
        ({"objective": "paper"}, "aral", {D, G, E, S}),
        ({"objective": "released"}, "aral:released", {D, G, E, S}),
        ({"sampler": False}, "aral:no-sampler", {D, G, E}),
        ({"sampler": False, "encoder": False}, "aral:no-encoder", {D, G}),
        ({"sampler": False, "objective": "released"}, "aral:released:no-sampler", {D, G, E}),
        (
            {"sampler": False, "encoder": False, "objective": "released"},
            "aral:released:no-encoder",
            {D, G},
        ),
        ({"unlabelled_in_discriminator": False}, "aral:generated-only", {D, G, E, S}),
        (
            {"unlabelled_in_discriminator": False, "sampler": False},
            "aral:no-sampler:generated-only",
            {D, G, E},
        ),
    ],
)
def test_variants_of_aral(settings: dict[str, object], title: str, nets: set[Net]) -> None:
    """Those that another one includes are not named beside it, nor is the default objective."""
    made = AralSettings.model_validate(settings)
    assert (made.title, made.nets) == (title, nets)
    variants = tuple(title.partition(":")[2].split(":")) if ":" in title else ()
    assert made == AralSettings.model_validate(variant_settings("aral", variants))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"encoder": False}, "encoder=false needs sampler=false"),
        ({"objective": "released", "unlabelled_in_discriminator": False}, "choose objective='paper'"),
    ],
)
def test_contradictory_settings_of_aral_are_refused(settings: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        AralSettings.model_validate(settings)


@pytest.mark.parametrize(
    ("title", "unused", "used"),
    [
        (
            "supervised",
            {"networks.encoder_sizes", "networks.generator_sizes", "networks.sampler_width"},
            {"networks.discriminator_sizes", "networks.input_noise", "latent_size"},
        ),
        (
            "aral:no-sampler",
            {"networks.sampler_width", "optimisers.sampler", "sampler_sees"},
            {"networks.encoder_sizes", "optimisers.encoder", "sampler"},
        ),
        (
            "aral:no-encoder",
            {"networks.encoder_sizes", "optimisers.encoder", "optimisers.sampler", "sampler_sees"},
            {"networks.generator_sizes", "encoder", "optimisers.generator"},
        ),
        ("bgadl", {"networks.sampler_width", "optimisers.sampler"}, {"optimisers.encoder"}),
        ("no-co-training", set(), {"optimisers.decoder", "optimisers.critic", "networks.generator_sizes"}),
        ("aral", set(), {"sampler", "encoder", "sampler_sees"}),
    ],
)
def test_settings_of_networks_that_a_method_lacks_are_unused(
    title: str, unused: set[str], used: set[str]
) -> None:
    found = tiny_settings(title).unused
    assert unused <= found and not used & found
    assert unused or not found


def test_unused_settings_change_nothing(start) -> None:
    """What is called unused really is: the same weights after a step."""
    changes = {"networks": {"encoder_sizes": (7,), "sampler_width": 9}}
    for title in ("supervised", "aral:no-encoder"):
        states = []
        for change in ({}, changes):
            learner = start(tiny_settings(title, **change))
            learner.step(0)
            states.append(learner.state_dict())
        assert states[0].keys() == states[1].keys()
        assert all((states[0][key] == states[1][key]).all() for key in states[0])


@pytest.mark.parametrize("name", LEARNERS)
def test_the_name_decides_the_class_of_settings(name: str) -> None:
    reader: TypeAdapter[AnyLearner] = TypeAdapter(AnyLearner)
    settings = tiny_settings(name, 3)
    assert type(settings) is LEARNERS[name] and settings.name == name
    assert reader.validate_json(settings.model_dump_json()) == settings
    with pytest.raises(ValidationError, match="Extra inputs"):
        reader.validate_python({"name": name, "another": 1})


@pytest.mark.parametrize("name", sorted(set(LEARNERS) - {"fixmatch", "graph-ssl"}))
def test_most_learners_train_on_labelled_images_as_they_are(name: str) -> None:
    settings = tiny_settings(name)
    assert settings.labelled_augmentation == Augmentation()
    assert (settings.mixup, settings.pretraining_steps, settings.neighbours) == (0.0, 0, 0)


def test_fixmatch_and_graph_ssl_say_how_they_change_labelled_images(one_step, monkeypatch) -> None:
    """And do so: the labelled images that the classifier is shown are augmented in that way."""
    weak, strong = Augmentation(shift=0.3), Augmentation(cut_out=1.0)
    for name, expected in (("fixmatch", weak), ("graph-ssl", strong)):
        own = {"pseudo_labels": {"weak": weak, "strong": strong}}
        settings = tiny_settings(name, **own)
        assert settings.labelled_augmentation == expected
        step = one_step(settings)
        asked: list[tuple[Augmentation, int]] = []
        augmented = type(step.batch).augmented

        def spied(batch, images, by, label, asked=asked, augmented=augmented):
            asked.append((by, images.ids[0]))
            return augmented(batch, images, by, label)

        monkeypatch.setattr(type(step.batch), "augmented", spied)
        next(step.stage.step(step.nets, step.batch))
        monkeypatch.undo()
        assert (expected, step.batch.labelled.ids[0]) in asked
    mixed = tiny_settings("graph-ssl", pseudo_labels={"mixup": 0.75}, pretraining={"steps": 7})
    assert (mixed.mixup, mixed.pretraining_steps, mixed.neighbours) == (0.75, 7, 5)
