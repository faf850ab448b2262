"""Presets of the paper's data sets: printed values, those of the released code, and ours (docs/departures.md)."""

from __future__ import annotations

import pytest

from aral.benchmarking import Method, resolve
from aral.learners.settings import Net

NETS = (Net.ENCODER, Net.GENERATOR, Net.DISCRIMINATOR, Net.SAMPLER)
PAPER_SETS = ("mnist", "svhn", "cifar10", "celeba", "imagenet")


def learner_of(data: str, title: str = "aral:released"):
    return resolve(data, Method.parse(title)).learner


@pytest.mark.parametrize(
    ("data", "rates"),
    [
        ("mnist", [1e-3, 1e-3, 3e-3, 3e-3]),
        ("svhn", [3e-4, 3e-4, 6e-4, 6e-4]),
        ("cifar10", [3e-4, 3e-4, 6e-4, 6e-4]),
        ("celeba", [1e-3] * 4),
    ],
)
def test_the_rates_are_the_printed_ones(data: str, rates: list[float]) -> None:
    for title in ("aral:released", "aral:printed", "vaal"):
        assert [learner_of(data, title).optimisers.of(net).rate for net in NETS] == rates, title


@pytest.mark.parametrize("data", PAPER_SETS)
def test_moments_and_decay(data: str) -> None:
    optimisers = learner_of(data).optimisers
    first = [optimisers.of(net).beta1 for net in NETS]
    # S3GAN's D has no first moment either.
    assert first == ([0.0, 0.0, 0.0, 0.5] if data == "imagenet" else [0.0, 0.0, 0.5, 0.5])
    for net in NETS:
        assert (optimisers.of(net).beta2, optimisers.of(net).weight_decay) == (0.999, 0.0)


@pytest.mark.parametrize(
    ("data", "batch"), [("mnist", 100), ("svhn", 64), ("cifar10", 100), ("celeba", 64), ("imagenet", 64)]
)
def test_batches(data: str, batch: int) -> None:
    training = learner_of(data).training
    assert (training.labelled_batch, training.unlabelled_batch) == (batch, batch)


@pytest.mark.parametrize("data", PAPER_SETS)
def test_schedule_and_averages(data: str) -> None:
    training = learner_of(data).training
    assert training.flat_share == pytest.approx(2 / 3) and training.average_decay == 0.999
    assert training.rate_floor == (1e-4 if data == "svhn" else 0)
    if data != "imagenet":
        printed = learner_of(data, "aral:printed").training
        assert (printed.flat_share, printed.average_decay, printed.rate_floor) == (1, 0, 0)


@pytest.mark.parametrize(("data", "input_dropout"), [("svhn", 0.15), ("cifar10", 0.2)])
def test_dropout_of_the_convolutional_discriminator(data: str, input_dropout: float) -> None:
    networks, printed = learner_of(data).networks, learner_of(data, "aral:printed").networks
    assert (networks.input_dropout, networks.block_dropout, networks.input_noise) == (
        input_dropout,
        0.5,
        0.05,
    )
    assert (printed.input_dropout, printed.block_dropout, printed.input_noise) == (0, 0.5, 0)
    assert networks.discriminator_width == {"svhn": 64, "cifar10": 96}[data]


def test_noise_of_the_perceptron() -> None:
    networks, printed = learner_of("mnist").networks, learner_of("mnist", "aral:printed").networks
    assert (networks.input_noise, networks.hidden_noise) == (0.3, 0.5)
    assert (printed.input_noise, printed.hidden_noise) == (0, 0.5)


@pytest.mark.parametrize(("data", "size"), [(name, 64 if name == "imagenet" else 100) for name in PAPER_SETS])
def test_latent_size_and_weights(data: str, size: int) -> None:
    found = learner_of(data, "aral")
    assert found.latent_size == size
    weights = found.weights
    assert (weights.gan, weights.cls, weights.trd, weights.adv, weights.beta) == (1, 1, 1e-3, 1e-3, 1)
