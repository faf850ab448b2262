"""Settings for any image size: they fit together, and larger images cost little more."""

from __future__ import annotations

from pathlib import Path

import pytest

from aral.annotation import TrainingOptions, read_options, write_options
from aral.annotation.training_presets import (
    ProjectFacts,
    chosen_representation,
    first_query_size,
    query_size,
    spec_for,
    widths,
)
from aral.errors import BadInput


@pytest.mark.parametrize("side", [28, 32, 48, 64, 96, 128])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_size_gives_networks_that_take_it(tmp_path: Path, side: int, channels: int) -> None:
    spec = spec_for(tmp_path, ProjectFacts((channels, side, side), 1000, 5, None), TrainingOptions())
    family = spec.learner.networks
    discriminator = family.discriminator((channels, side, side), 5, spec.learner.latent_size)
    assert sum(parameter.numel() for parameter in discriminator.parameters()) < 1_000_000
    assert spec.learner.pretraining.imitation_steps < spec.learner.pretraining.steps


def work_of(side: int, images: int) -> float:
    """Products of the 3×3 convolutions of D̃ in one step: the first stage has one, each other two."""
    total, before = 0.0, 3
    for stage, width in enumerate(widths(side)):
        pixels = (side / 2**stage) ** 2
        total += pixels * 9 * (before * width + (width * width if stage else 0))
        before = width
    return total * images


def test_the_work_grows_far_less_than_the_pixels(tmp_path: Path) -> None:
    batches = {}
    for side in (28, 128):
        spec = spec_for(tmp_path, ProjectFacts((3, side, side), 10_000, 5, None), TrainingOptions())
        batches[side] = spec.learner.training.unlabelled_batch
    assert work_of(128, batches[128]) < 2 * work_of(28, batches[28])
    assert (128 / 28) ** 2 > 20


def test_small_folders_are_looked_at_less_often(tmp_path: Path) -> None:
    def before(images: int, **options: object) -> int:
        facts = ProjectFacts((1, 28, 28), images, 5, None)
        return spec_for(tmp_path, facts, TrainingOptions.model_validate(options)).learner.pretraining.steps

    assert (before(20), before(1000), before(60_000)) == (200, 625, 1200)
    assert before(60_000, effort="quick") == 480


def test_query_sizes() -> None:
    def size(class_count: int, budget: int | None, wish: int | None = None) -> int:
        return query_size(
            ProjectFacts((1, 28, 28), 500, class_count, budget), TrainingOptions(query_size=wish)
        )

    assert (size(2, None), size(2, 300), size(2, 5000), size(30, 100), size(2, 300, 7)) == (
        10,
        30,
        100,
        30,
        7,
    )
    assert (first_query_size(2, 10), first_query_size(3, 10), first_query_size(8, 10)) == (4, 6, 10)


def test_options_are_kept_and_wrong_ones_refused(tmp_path: Path) -> None:
    assert read_options(tmp_path) == TrainingOptions()
    chosen = TrainingOptions(effort="quick", settings=("learner.training.steps=7",))
    write_options(tmp_path, chosen)
    assert read_options(tmp_path) == chosen
    for wrong in (TrainingOptions(method="arall"), TrainingOptions(settings=("learner.steps=1",))):
        with pytest.raises(BadInput):
            write_options(tmp_path, wrong)
    assert read_options(tmp_path) == chosen
    (tmp_path / "training.json").write_text('{"efort": 1}')
    with pytest.raises(BadInput, match=r"training\.json"):
        read_options(tmp_path)


def test_single_settings_have_the_last_word(tmp_path: Path) -> None:
    options = TrainingOptions(settings=("learner.training.steps=7", 'learner.networks.scale="mlp"'))
    spec = spec_for(tmp_path, ProjectFacts((1, 28, 28), 500, 3, None), options)
    assert (spec.learner.training.steps, spec.learner.networks.model_dump()["scale"]) == (7, "mlp")


@pytest.mark.parametrize("method", ["supervised", "aral", "vaal", "pseudo-label", "fixmatch", "max-entropy"])
def test_a_project_may_use_any_method(method: str, tmp_path: Path) -> None:
    """What the project chooses for graph-ssl, such as the length of pretraining, is left out of other methods."""
    spec = spec_for(
        tmp_path, ProjectFacts((3, 32, 32), 500, 3, 100), TrainingOptions(method=method, effort="quick")
    )
    assert spec.learner.training.steps == 160 and spec.rounds.query_size == 10


@pytest.mark.parametrize(
    ("options", "side", "channels", "expected"),
    [
        (TrainingOptions(), 128, 3, "efficientnet-lite0-spatial"),
        (TrainingOptions(), 96, 1, "efficientnet-lite0-spatial"),
        (TrainingOptions(), 12, 3, "efficientnet-lite0-spatial"),
        (TrainingOptions(), 64, 1, "pixels"),
        (TrainingOptions(representation="gradients"), 64, 1, "gradients"),
        (TrainingOptions(method="graph-ssl"), 128, 3, "pixels"),
        (TrainingOptions(method="linear+margin"), 128, 3, "efficientnet-lite0-spatial"),
    ],
)
def test_only_small_grey_images_are_read_as_pixels_unless_the_options_say_so(
    options: TrainingOptions, side: int, channels: int, expected: str
) -> None:
    assert chosen_representation(options, side, channels) == expected
