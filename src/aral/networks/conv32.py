"""Scale "conv32": plain convolutions for images around 32×32 (the paper's SVHN and CIFAR-10 networks)."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

from pydantic import NonNegativeFloat, PositiveInt
from torch import nn

from aral.networks.discriminators import RealnessHead, TrunkDiscriminator, class_head
from aral.networks.encoders import ClassMapEncoder, strided_body
from aral.networks.generators import PlainGenerator
from aral.networks.interface import Discriminator, Encoder, Generator, ImageShape, PixelRange
from aral.networks.layers import (
    ChannelsLast,
    DropoutRate,
    GaussianNoise,
    GlobalMean,
    he_initialised,
    weight_normalised,
)
from aral.networks.sampler import FamilyWithSamplerMlp
from aral.networks.shapes import refuse_unless

_SLOPE = 0.2
_SMALLEST_SIDE = 9  # D̃ halves twice, rounding up, and then needs 3×3 maps


def transposed_body(
    image_shape: ImageShape, in_size: int, start_width: int, widths: tuple[int, ...]
) -> nn.Sequential:
    """A linear layer to small maps, then 5×5 transposed convolutions of stride 2, for images of any side.

    Each side is halved as often as there are convolutions, rounding up; on the way back the output padding
    makes up for the rounding, so 28×28 grows as 4, 7, 14, 28.

    Args:
        image_shape: (C, H, W) of the output.
        in_size: Z + K.
        start_width: channels of the smallest maps.
        widths: channels after each convolution but the last one, which gives C.
    """
    channels, *sides = image_shape
    paddings: list[tuple[int, int]] = []
    for _ in range(len(widths) + 1):
        paddings.insert(0, (1 - sides[0] % 2, 1 - sides[1] % 2))
        sides = [(side + 1) // 2 for side in sides]
    layers: list[nn.Module] = [
        nn.Linear(in_size, start_width * sides[0] * sides[1]),
        nn.Unflatten(1, (start_width, *sides)),
        ChannelsLast(),
    ]
    out_widths = (*widths, channels)
    for depth, (in_width, out_width) in enumerate(pairwise((start_width, *out_widths))):
        # Biases only at the end: elsewhere the batch norm that follows would subtract them again.
        is_last = depth == len(widths)
        convolution = nn.ConvTranspose2d(
            in_width, out_width, 5, stride=2, padding=2, output_padding=paddings[depth], bias=is_last
        )
        layers += [nn.BatchNorm2d(in_width), nn.ReLU(), convolution]
    return nn.Sequential(*layers)


def _three_convolutions(channels: int, width: int, last_stride: int) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for stride in (1, 1, last_stride):
        layers += [nn.Conv2d(channels, width, 3, stride=stride, padding=1), nn.LeakyReLU(_SLOPE)]
        channels = width
    return layers


class Conv32Family(FamilyWithSamplerMlp):
    """Convolutions for images with sides from 9 pixels up; the paper's CIFAR-10 networks by default.

    Sides need not be equal, nor divisible by anything: 28×28 and 32×32 both fit. The nets halve a side
    three times, so the linear layers of E and G grow with it, and beyond 48 or so the resnet family is the
    better choice. D̃ is the classifier of Salimans et al. (2016): three blocks of three convolutions with
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

    def encoder(self, image_shape: ImageShape, class_count: int, latent_size: int) -> Encoder:
        """A new E."""
        self._check(image_shape)
        return ClassMapEncoder(strided_body(image_shape, class_count, latent_size, self.encoder_widths, 5))

    def generator(self, image_shape: ImageShape, class_count: int, latent_size: int) -> Generator:
        """A new G."""
        self._check(image_shape)
        start_width, *widths = self.generator_widths
        body = transposed_body(image_shape, latent_size + class_count, start_width, tuple(widths))
        return PlainGenerator(body, nn.Tanh())

    def discriminator(self, image_shape: ImageShape, class_count: int, latent_size: int) -> Discriminator:
        """A new D̃ with C and c_rf."""
        self._check(image_shape)
        width, wide = self.discriminator_width, 2 * self.discriminator_width
        last_block: list[nn.Module] = []
        for kernel_size in (3, 1, 1):
            last_block += [nn.Conv2d(wide, wide, kernel_size), nn.LeakyReLU(_SLOPE)]
        trunk = nn.Sequential(
            ChannelsLast(),
            GaussianNoise(self.input_noise),
            nn.Dropout(self.input_dropout),
            *_three_convolutions(image_shape[0], width, last_stride=2),
            nn.Dropout(self.block_dropout),
            *_three_convolutions(width, wide, last_stride=2),
            nn.Dropout(self.block_dropout),
            *last_block,
            GlobalMean(),
        )
        return TrunkDiscriminator(
            weight_normalised(he_initialised(trunk, _SLOPE)),
            wide,
            weight_normalised(class_head(wide, class_count)),
            RealnessHead(wide, latent_size, class_count),
        )

    def _check(self, image_shape: ImageShape) -> None:
        refuse_unless(
            min(image_shape[1:]) >= _SMALLEST_SIDE,
            self.scale,
            image_shape,
            f"any height and width from {_SMALLEST_SIDE} pixels up",
            "Use scale = 'mlp', which takes images of any size, or enlarge the images.",
        )
