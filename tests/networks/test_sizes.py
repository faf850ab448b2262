"""Parameter counts at the paper's sizes and the compact ones, by formulas written out here; odd sides."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from aral.networks import (
    BigganFamily,
    CompactFamily,
    Conv32Family,
    Family,
    ImageShape,
    MlpFamily,
    ResnetFamily,
)
from aral.networks.residual import ResidualDown, ResidualUp, SelfAttention

K = 10
Z = 100


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def realness_count(features: int) -> int:
    # w and b; e; A; hidden layer of 128 with biases; its output without
    return features + 1 + K * features + Z * features + (Z + K) * 128 + 128 + 128


def weight_normed(in_size: int, out_size: int) -> int:
    # v, one length g a unit, one bias a unit
    return in_size * out_size + 2 * out_size


def test_mlp_at_paper_size() -> None:
    family, shape = MlpFamily(), (1, 28, 28)
    # A batch norm has a gain and a bias a unit, so the linear layer before it needs none.
    encoder = (784 + K) * 500 + 2 * 500 + 500 * 500 + 2 * 500 + 500 * 2 * Z + 2 * Z
    generator = (Z + K) * 500 + 2 * 500 + 500 * 500 + 2 * 500 + 500 * 784 + 784
    trunk = sum(
        weight_normed(i, o) for i, o in [(784, 1000), (1000, 500), (500, 250), (250, 250), (250, 250)]
    )
    assert count(family.encoder(shape, K, Z)) == encoder == 749_200
    assert count(family.generator(shape, K, Z)) == generator == 699_784
    discriminator = trunk + weight_normed(250, K) + realness_count(250)
    assert count(family.discriminator(shape, K, Z)) == discriminator == 1_583_107


def test_conv32_at_paper_size() -> None:
    family, shape = Conv32Family(), (3, 32, 32)
    with torch.device("meta"):
        encoder = family.encoder(shape, K, Z)
        generator = family.generator(shape, K, Z)
        discriminator = family.discriminator(shape, K, Z)
        for_svhn = Conv32Family(discriminator_width=64).discriminator(shape, K, Z)
    convolutions = 25 * ((3 + K) * 128 + 128 * 256 + 256 * 512)
    norms = 2 * (128 + 256 + 512)
    assert count(encoder) == convolutions + norms + 512 * 4 * 4 * 2 * Z + 2 * Z == 5_777_992
    start = (Z + K) * 4 * 4 * 512 + 4 * 4 * 512
    convolutions = 25 * (512 * 256 + 256 * 128 + 128 * 3) + 3
    assert count(generator) == start + convolutions + norms == 5_016_707

    def trunk(w: int) -> int:
        first = weight_normed(3 * 9, w) + 2 * weight_normed(w * 9, w)
        second = weight_normed(w * 9, 2 * w) + 2 * weight_normed(2 * w * 9, 2 * w)
        third = weight_normed(2 * w * 9, 2 * w) + 2 * weight_normed(2 * w, 2 * w)
        return first + second + third

    assert count(discriminator) == trunk(96) + weight_normed(192, K) + realness_count(192) == 1_443_893
    assert count(for_svhn) == trunk(64) + weight_normed(128, K) + realness_count(128)


def test_compact_at_its_own_size() -> None:
    """One convolution at full resolution, two at each half; no bias before a batch norm, none shared."""
    family, shape = CompactFamily(), (1, 28, 28)
    with torch.device("meta"):
        encoder = family.encoder(shape, K, Z)
        generator = family.generator(shape, K, Z)
        discriminator = family.discriminator(shape, K, Z)
    trunk = 9 * (1 * 32 + 32 * 64 + 64 * 64 + 64 * 128 + 128 * 128) + 2 * (32 + 64 + 64 + 128 + 128)
    assert count(discriminator) == trunk + 128 * K + K + realness_count(128) == 307_435
    assert discriminator.feature_size == 128
    # 28 is halved to 14, 7 and 4
    norms = 2 * (16 + 32 + 64)
    convolutions = 25 * ((1 + K) * 16 + 16 * 32 + 32 * 64)
    assert count(encoder) == convolutions + norms + 64 * 4 * 4 * 2 * Z + 2 * Z
    convolutions = 25 * (64 * 32 + 32 * 16 + 16 * 1) + 1
    assert count(generator) == (Z + K) * 4 * 4 * 64 + 4 * 4 * 64 + convolutions + norms
    sides: list[int] = []
    for module in discriminator.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda _, __, output: sides.append(output.shape[-1]))
    discriminator(torch.zeros(1, *shape, device="meta"))
    assert sides == [28, 14, 14, 7, 7]
    deeper = CompactFamily(widths=(2, 3), depth=3).discriminator((1, 8, 8), 2, 2)
    assert sum(isinstance(module, nn.Conv2d) for module in deeper.modules()) == 1 + 3


@given(height=st.integers(8, 33), width=st.integers(8, 33), channels=st.sampled_from([1, 3]))
@settings(max_examples=15, deadline=None)
def test_compact_takes_any_side_from_eight(height: int, width: int, channels: int) -> None:
    family = CompactFamily(widths=(2, 2, 2), encoder_widths=(2, 2, 2), generator_widths=(2, 2, 2))
    shape = (channels, height, width)
    with torch.device("meta"):
        images = family.generator(shape, 2, 3)(torch.zeros(2, 3), torch.zeros(2, 2))
        assert images.shape == (2, *shape)
        assert family.encoder(shape, 2, 3)(images, torch.zeros(2, 2))[0].shape == (2, 3)
        assert family.discriminator(shape, 2, 3)(images).shape == (2, 2)


def test_sampler_at_paper_size() -> None:
    expected = Z * 512 + 512 + 3 * (512 * 512 + 512) + 512 + 1
    for family in (MlpFamily(), Conv32Family(), ResnetFamily(), BigganFamily()):
        sampler = family.sampler(Z)
        assert count(sampler) == expected
        assert sum(isinstance(module, nn.Linear) for module in sampler.modules()) == 5


def test_resnet_has_four_blocks_of_two_convolutions() -> None:
    family, shape = ResnetFamily(), (3, 64, 64)
    with torch.device("meta"):
        members: list[tuple[nn.Module, type[nn.Module]]] = [
            (family.encoder(shape, K, Z), ResidualDown),
            (family.discriminator(shape, K, Z), ResidualDown),
            (family.generator(shape, K, Z), ResidualUp),
        ]
    for network, kind in members:
        blocks = [module for module in network.modules() if isinstance(module, kind)]
        convolutions = [[p for p in block.modules() if isinstance(p, nn.Conv2d)] for block in blocks]
        assert [sum(p.kernel_size == (3, 3) for p in parts) for parts in convolutions] == [2, 2, 2, 2]


def test_biggan_reaches_imagenet_size() -> None:
    """At 96 channels, 128×128 and 1000 classes BigGAN has about 70 million weights in G and 88 in D."""
    family = BigganFamily(channels=96)
    with torch.device("meta"):
        generator = family.generator((3, 128, 128), 1000, 120)
        discriminator = family.discriminator((3, 128, 128), 1000, 120)
        images = generator(torch.zeros(2, 120), torch.zeros(2, 1000))
        assert images.shape == (2, 3, 128, 128)
        assert discriminator.features(images).shape == (2, 16 * 96)
    assert 65e6 < count(generator) < 80e6
    assert 85e6 < count(discriminator) < 92e6


def test_biggan_attends_at_the_stated_resolution() -> None:
    sides: list[int] = []

    def note(module: nn.Module, inputs: tuple[torch.Tensor], output: torch.Tensor) -> None:
        sides.append(inputs[0].shape[-1])

    for reduction in (2, 4, None):
        family = BigganFamily(channels=2, attention_reduction=reduction, generator_embedding_size=2)
        generator = family.generator((3, 64, 64), 2, 4)
        discriminator = family.discriminator((3, 64, 64), 2, 4)
        for network in (generator, discriminator):
            for module in network.modules():
                if isinstance(module, SelfAttention):
                    module.register_forward_hook(note)
        discriminator(generator(torch.zeros(2, 4), torch.zeros(2, 2)))
    assert sides == [32, 32, 16, 16]


@given(height=st.integers(9, 41), width=st.integers(9, 41), channels=st.sampled_from([1, 3]))
@settings(max_examples=15, deadline=None)
def test_conv32_takes_any_side_from_nine(height: int, width: int, channels: int) -> None:
    family = Conv32Family(encoder_widths=(2, 2, 2), generator_widths=(2, 2, 2), discriminator_width=2)
    shape = (channels, height, width)
    with torch.device("meta"):
        images = family.generator(shape, 2, 3)(torch.zeros(2, 3), torch.zeros(2, 2))
        assert images.shape == (2, *shape)
        assert family.encoder(shape, 2, 3)(images, torch.zeros(2, 2))[0].shape == (2, 3)
        assert family.discriminator(shape, 2, 3)(images).shape == (2, 2)


def test_resnet_and_biggan_at_other_sides() -> None:
    resnet = ResnetFamily(encoder_width=2, generator_width=2, discriminator_width=2)
    biggan = BigganFamily(channels=2, encoder_widths=(2, 2, 2, 2))
    cases: list[tuple[Family, ImageShape]] = [
        (resnet, (3, 32, 48)),
        (resnet, (1, 96, 96)),
        (biggan, (1, 64, 64)),
        (biggan, (3, 128, 128)),
    ]
    with torch.no_grad():
        for family, shape in cases:
            images = family.generator(shape, 2, 3)(torch.zeros(2, 3), torch.zeros(2, 2))
            assert images.shape == (2, *shape)
            assert family.encoder(shape, 2, 3)(images, torch.zeros(2, 2))[0].shape == (2, 3)
            assert family.discriminator(shape, 2, 3)(images).shape == (2, 2)
