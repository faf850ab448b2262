"""The ImageNet pipeline at toy size: the preset's own table, only sizes and counts replaced."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from aral.learners.spec import Net

from aral.acquisition import Need
from aral.benchmarking.methods import Method, make_learner
from aral.benchmarking.spec import RunSpec, resolve
from aral.learners import PhasedLearner
from aral.networks import BigganDiscriminator, BigganFamily
from aral.networks.vgg import VggFamily
from aral.randomness import Stream
from aral.types import ImageSet, LabelledSet

TOY = [
    "model.networks.channels=8",
    "model.networks.encoder_widths=[4, 4, 8, 8]",
    "model.networks.generator_embedding_size=4",
    "model.networks.sampler_width=16",
    "model.classifier.width=4",
    "model.classifier.hidden_size=16",
    "model.classifier.pooled_side=1",
    "model.classifier.input_side=40",
    "model.latent_size=8",
    "model.training.steps=2",
    "model.training.labelled_batch=4",
    "model.training.unlabelled_batch=4",
    "model.training.synthesised=3",
    "model.weights.generated_ramp={begin=0, end=0}",
]


def toy(*settings: str) -> RunSpec:
    return resolve("imagenet", Method.parse("no-co-training"), [*TOY, *settings])


def started(spec: RunSpec) -> tuple[PhasedLearner, ImageSet]:
    generator = torch.Generator().manual_seed(0)
    pool = ImageSet.of(torch.randint(0, 256, (12, 3, 32, 32), dtype=torch.uint8, generator=generator))
    learner = make_learner(spec.learner, spec.model, pool, 3, Stream.root(0))
    assert isinstance(learner, PhasedLearner)
    ids = np.arange(5, dtype=np.int64)
    learner.start_round(0, LabelledSet(pool.subset(ids), ids % 3, 3), pool.without(ids), Stream.root(1))
    return learner, pool


def test_the_preset_is_the_papers_pipeline() -> None:
    spec = resolve("imagenet", Method.parse("no-co-training"))
    assert (spec.learner, spec.acquisition, spec.side) == ("no-co-training", "vaal", 256)
    assert isinstance(spec.model.networks, BigganFamily) and spec.model.latent_size == 64
    assert isinstance(spec.model.classifier, VggFamily) and spec.model.classifier.input_side == 224
    gan = spec.model.separate_gan
    assert (gan.loss, gan.labels, gan.rotation, gan.rotation_of_generated) == ("hinge", "hard", 1.0, 0.2)
    assert resolve("imagenet", Method.parse("aral")).model.classifier is None


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_it_trains_and_answers_a_query_at_toy_size(precision: str) -> None:
    learner, pool = started(toy(f'model.training.precision="{precision}"'))
    for index in range(2):
        losses = learner.step(index)
        assert not losses.skipped
        assert all(np.isfinite(value) for value in losses.values.values())
        assert {"tell turns", "show turns", "fool critic", "classify generated"} <= losses.values.keys()
    found = learner.predict(pool, [Need.PROBABILITIES, Need.SAMPLER_LOGITS, Need.SYNTHESISED], Stream.root(2))
    torch.testing.assert_close(found.get(Need.PROBABILITIES).sum(dim=1), torch.ones(12))
    assert found.get(Need.SYNTHESISED).shape == (3, 16)
    assert learner.gallery(pool.subset(pool.ids[:2]), 1, Stream.root(3)) is not None


def test_weights_of_rotation_are_the_presets() -> None:
    learner, _ = started(toy())
    weights = {term.name: term.weight for phase in learner.phases for term in phase.terms}
    assert (weights["tell turns"], weights["show turns"]) == (1.0, 0.2)
    assert isinstance(learner.nets.judge(Net.CRITIC), BigganDiscriminator)
    assert not isinstance(learner.nets.discriminator, BigganDiscriminator)


def test_each_part_trains_apart() -> None:
    """Rotation reaches the critic on real images and G on generated ones; C's loss reaches C alone."""
    learner, _ = started(toy('model.training.precision="float32"'))
    for phase in learner.phases:
        before = {
            net: {k: v.clone() for k, v in m.named_parameters()} for net, m in learner.nets.modules.items()
        }
        stage = learner._stage
        learner._stage = replace(stage, phases=(phase,))
        learner.step(0)
        learner._stage = stage
        moved = {
            net
            for net, module in learner.nets.modules.items()
            if any(not torch.equal(before[net][name], value) for name, value in module.named_parameters())
        }
        assert moved == phase.trains, phase.name


def test_it_resumes_bit_for_bit() -> None:
    (straight, _), (first, _), (resumed, _) = (started(toy()) for _ in range(3))
    straight.step(0)
    straight.step(1)
    first.step(0)
    resumed.load_state_dict(first.state_dict())
    resumed.step(1)
    one, other = straight.state_dict(), resumed.state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)
