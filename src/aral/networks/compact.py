"""Scale "compact": small convolutional nets with batch norm, for training on a CPU."""

from __future__ import annotations

from typing import Literal

from pydantic import PositiveInt
from torch import nn

from aral.networks.interface import Discriminator, ImageShape, PixelRange
from aral.networks.layers import BatchNorm, ChannelsLast, GlobalMean
from aral.networks.parts import RealnessHead, TrunkDiscriminator, class_head
from aral.networks.plain import PlainFamily

_SLOPE = 0.1
_SMALLEST_SIDE = 8  # D̃ halves a side twice, E and G three times


class CompactFamily(PlainFamily):
    """Convolutions for images with sides from 8 pixels up.

    D̃ is a stack of 3×3 convolutions with batch norm and leaky ReLU and no dropout: augmentation and the unlabelled
    images prevent overfitting. The first stage has one convolution, because it runs at full resolution; the others
    have ``depth`` each. Max pooling between stages comes before batch norm, which saves more than a quarter of the
    time of a training step.
    """

    scale: Literal["compact"] = "compact"
    """Name of the family."""
    widths: tuple[PositiveInt, ...] = (32, 64, 128)
    """Channels of D̃'s stages; each stage but the first halves the side."""
    depth: PositiveInt = 2
    """Convolutions in each stage but the first."""
    encoder_widths: tuple[PositiveInt, PositiveInt, PositiveInt] = (16, 32, 64)
    """Channels after each 5×5 convolution of E."""
    generator_widths: tuple[PositiveInt, PositiveInt, PositiveInt] = (64, 32, 16)
    """Channels before each 5×5 transposed convolution of G."""
    sampler_width: PositiveInt = 128
    """Units in each hidden layer of S."""

    @property
    def pixel_range(self) -> PixelRange:
        """[0, 1]."""
        return PixelRange.UNIT

    @property
    def smallest_side(self) -> int:
        """Determined by how often the nets halve a side."""
        return max(_SMALLEST_SIDE, 2 ** (len(self.widths) - 1))

    def discriminator(self, image_shape: ImageShape, class_count: int, latent_size: int) -> Discriminator:
        """A new D̃ with C and c_rf."""
        self.check(image_shape)
        layers: list[nn.Module] = [ChannelsLast()]
        channels = image_shape[0]
        for stage, width in enumerate(self.widths):
            count = self.depth if stage else 1
            for place in range(count):
                layers.append(_convolution(channels, width))
                if place == count - 1 and stage < len(self.widths) - 1:
                    layers.append(
                        nn.MaxPool2d(2)
                    )  # first: batch norm and activation have a quarter of the work
                layers += [BatchNorm(width), nn.LeakyReLU(_SLOPE, inplace=True)]
                channels = width
        trunk = nn.Sequential(*layers, GlobalMean())
        return TrunkDiscriminator(
            trunk,
            channels,
            class_head(channels, class_count),
            RealnessHead(channels, latent_size, class_count),
        )


def _convolution(in_channels: int, out_channels: int) -> nn.Conv2d:
    # No bias: batch norm would subtract it again.
    return nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
