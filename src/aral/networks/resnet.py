"""Scale "resnet": residual nets for images around 64×64 (the paper's CelebA networks)."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

from pydantic import PositiveInt
from torch import nn

from aral.networks.interface import Discriminator, Encoder, Generator, ImageShape, PixelRange, refuse_unless
from aral.networks.layers import (
    BatchNorm,
    ChannelsLast,
    DropoutRate,
    GlobalMean,
    he_initialised,
    weight_normalised,
)
from aral.networks.parts import (
    ClassMapEncoder,
    FamilyWithSamplerMlp,
    RealnessHead,
    ResidualGenerator,
    TrunkDiscriminator,
    class_head,
)
from aral.networks.residual import ResidualDown, ResidualUp

_SLOPE = 0.2
_HALVING = 16  # four blocks, each of which halves or doubles the side
_SMALLEST_SIDE = 32


class ResnetFamily(FamilyWithSamplerMlp):
    """Four residual blocks of two convolutions in each of E, G and D̃; by default for 64×64 images.

    Heights and widths are multiples of 16 from 32 up. E and G have batch norm, D̃ has weight norm and
    dropout. The paper states no channel counts; ours are w, 2w, 4w and 8w with w = 64.
    """

    scale: Literal["resnet"] = "resnet"
    """Name of the family."""
    encoder_width: PositiveInt = 64
    """w of E: channels after its stem; its blocks give w, 2w, 4w and 8w."""
    generator_width: PositiveInt = 64
    """w of G: it starts from 8w channels, its blocks give 8w, 4w, 2w and w."""
    discriminator_width: PositiveInt = 64
    """w of D̃, as for E; there are 8w features."""
    block_dropout: DropoutRate = 0.5
    """Share of the values that D̃ drops between the two convolutions of a block in training."""

    @property
    def pixel_range(self) -> PixelRange:
        """[-1, 1]."""
        return PixelRange.SYMMETRIC

    def encoder(self, image_shape: ImageShape, class_count: int, latent_size: int) -> Encoder:
        """A new E."""
        self._check(image_shape)
        channels, height, width = image_shape
        widths = _growing(self.encoder_width)
        last_size = widths[-1] * (height // _HALVING) * (width // _HALVING)
        body = nn.Sequential(
            ChannelsLast(),
            nn.Conv2d(channels + class_count, widths[0], 3, padding=1, bias=False),
            *(ResidualDown(i, o, activation=nn.ReLU(), batch_norm=True) for i, o in pairwise(widths)),
            BatchNorm(widths[-1]),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(last_size, 2 * latent_size),
        )
        return ClassMapEncoder(body)

    def generator(self, image_shape: ImageShape, class_count: int, latent_size: int) -> Generator:
        """A new G."""
        self._check(image_shape)
        channels, height, width = image_shape
        widths = _growing(self.generator_width)[::-1]
        start_shape = (widths[0], height // _HALVING, width // _HALVING)
        start_size = start_shape[0] * start_shape[1] * start_shape[2]
        return ResidualGenerator(
            start=nn.Sequential(
                nn.Linear(latent_size + class_count, start_size), nn.Unflatten(1, start_shape)
            ),
            # Reversed, w occurs twice at the end; G doubles 8w first instead, where maps are smallest.
            blocks=[ResidualUp(i, o, 0) for i, o in pairwise((widths[0], *widths[:-1]))],
            output=nn.Sequential(
                BatchNorm(widths[-1]), nn.ReLU(), nn.Conv2d(widths[-1], channels, 3, padding=1)
            ),
            class_embedding=nn.Identity(),
            conditioned=False,
        )

    def discriminator(self, image_shape: ImageShape, class_count: int, latent_size: int) -> Discriminator:
        """A new D̃ with C and c_rf."""
        self._check(image_shape)
        widths = _growing(self.discriminator_width)
        leaky = nn.LeakyReLU(_SLOPE)
        blocks = (
            ResidualDown(i, o, activation=leaky, dropout=self.block_dropout) for i, o in pairwise(widths)
        )
        stem = nn.Conv2d(image_shape[0], widths[0], 3, padding=1)
        trunk = nn.Sequential(ChannelsLast(), stem, *blocks, leaky, GlobalMean())
        return TrunkDiscriminator(
            weight_normalised(he_initialised(trunk, _SLOPE)),
            widths[-1],
            weight_normalised(class_head(widths[-1], class_count)),
            RealnessHead(widths[-1], latent_size, class_count),
        )

    def _check(self, image_shape: ImageShape) -> None:
        refuse_unless(
            all(side >= _SMALLEST_SIDE and side % _HALVING == 0 for side in image_shape[1:]),
            self.scale,
            image_shape,
            f"heights and widths that are multiples of {_HALVING}, from {_SMALLEST_SIDE} up (such as 64×64)",
            "Resize the images, or use scale = 'conv32', which takes any side from 9 up.",
        )


def _growing(width: int) -> tuple[int, int, int, int, int]:
    return width, width, 2 * width, 4 * width, 8 * width
