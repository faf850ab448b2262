"""Scale "conv32": plain convolutions for images around 32×32 (the paper's SVHN and CIFAR-10 networks)."""

from __future__ import annotations

from typing import Literal

from pydantic import NonNegativeFloat, PositiveInt
from torch import nn

from aral.networks.interface import Discriminator, ImageShape, PixelRange
from aral.networks.layers import (
    ChannelsLast,
    Dropout,
    DropoutRate,
    GaussianNoise,
    GlobalMean,
    he_initialised,
    weight_normalised,
)
from aral.networks.parts import RealnessHead, TrunkDiscriminator, class_head
from aral.networks.plain import PlainFamily

_SLOPE = 0.2
_SMALLEST_SIDE = 9  # D̃ halves twice, rounding up, and then needs 3×3 maps


def _three_convolutions(channels: int, width: int, last_stride: int) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for stride in (1, 1, last_stride):
        layers += [nn.Conv2d(channels, width, 3, stride=stride, padding=1), nn.LeakyReLU(_SLOPE)]
        channels = width
    return layers


class Conv32Family(PlainFamily):
    """Convolutions for images with sides from 9 pixels up; the paper's CIFAR-10 networks by default.

    Sides need not be equal, nor divisible by anything: 28×28 and 32×32 both fit. The nets halve a side
    three times, so the linear layers of E and G grow with it, and beyond about 48 pixels the resnet family is
    better. D̃ is the classifier of Salimans et al. (2016): three blocks of three convolutions with
    weight norm and leaky ReLU, dropout before each block, and the mean over positions at the end.
    """

    scale: Literal["conv32"] = "conv32"
    """Name of the family."""
    encoder_widths: tuple[PositiveInt, PositiveInt, PositiveInt] = (128, 256, 512)
    """Channels after each 5×5 convolution of E."""
    generator_widths: tuple[PositiveInt, PositiveInt, PositiveInt] = (512, 256, 128)
    """Channels before each 5×5 transposed convolution of G."""
    discriminator_width: PositiveInt = 96
    """Channels in the first block of D̃; the other two and the features have twice as many. SVHN: 64."""
    input_dropout: DropoutRate = 0.2
    """Share of the input values that D̃ drops in training."""
    input_noise: NonNegativeFloat = 0.05
    """Standard deviation of the noise on the pixels that D̃ reads in training, in the unit of [-1, 1]."""
    block_dropout: DropoutRate = 0.5
    """Share of the values that D̃ drops after its first and second block in training."""

    @property
    def pixel_range(self) -> PixelRange:
        """[-1, 1]."""
        return PixelRange.SYMMETRIC

    @property
    def smallest_side(self) -> int:
        """Determined by how often the nets halve a side."""
        return _SMALLEST_SIDE

    def discriminator(self, image_shape: ImageShape, class_count: int, latent_size: int) -> Discriminator:
        """A new D̃ with C and c_rf."""
        self.check(image_shape)
        width, wide = self.discriminator_width, 2 * self.discriminator_width
        last_block: list[nn.Module] = []
        for kernel_size in (3, 1, 1):
            last_block += [nn.Conv2d(wide, wide, kernel_size), nn.LeakyReLU(_SLOPE)]
        trunk = nn.Sequential(
            ChannelsLast(),
            GaussianNoise(self.input_noise),
            Dropout(self.input_dropout),
            *_three_convolutions(image_shape[0], width, last_stride=2),
            Dropout(self.block_dropout),
            *_three_convolutions(width, wide, last_stride=2),
            Dropout(self.block_dropout),
            *last_block,
            GlobalMean(),
        )
        return TrunkDiscriminator(
            weight_normalised(he_initialised(trunk, _SLOPE)),
            wide,
            weight_normalised(class_head(wide, class_count)),
            RealnessHead(wide, latent_size, class_count),
        )
