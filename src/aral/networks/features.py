"""Scale "features": perceptrons for the features of a representation, images of F channels and one position.

Images of more positions are flattened.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from pydantic import NonNegativeFloat, PositiveInt
from torch import nn

from aral.networks.interface import (
    Discriminator,
    Encoder,
    Generator,
    ImageShape,
    PixelRange,
)
from aral.networks.layers import BatchNorm, GaussianNoise, he_initialised
from aral.networks.mlp import MlpEncoder
from aral.networks.parts import (
    FamilyWithSamplerMlp,
    PlainGenerator,
    RealnessHead,
    TrunkDiscriminator,
    class_head,
)

SLOPE = 0.2
"""Slope of leaky ReLU for negative inputs."""


class FeatureFamily(FamilyWithSamplerMlp):
    """Perceptrons on feature vectors, with leaky ReLU; E and G with batch norm, D̃ with Gaussian noise.

    E is (F+K)-256-2Z, G (Z+K)-256-256-F and D̃ F-512-256. Features are expected with variance 1 on average.
    """

    scale: Literal["features"] = "features"
    """Name of the family."""
    encoder_sizes: tuple[PositiveInt, ...] = (256,)
    """Units in the hidden layers of E."""
    generator_sizes: tuple[PositiveInt, ...] = (256, 256)
    """Units in the hidden layers of G."""
    discriminator_sizes: tuple[PositiveInt, ...] = (512, 256)
    """Units in the hidden layers of D̃; C reads the last one, or the features themselves where there is none."""
    input_noise: NonNegativeFloat = 0.5
    """Standard deviation of the noise on what D̃ reads in training."""
    hidden_noise: NonNegativeFloat = 0.5
    """Standard deviation of the noise after each hidden layer of D̃ in training."""
    sampler_width: PositiveInt = 128
    """Units in each hidden layer of S."""

    @property
    def pixel_range(self) -> PixelRange:
        """All real numbers."""
        return PixelRange.REAL

    def encoder(self, image_shape: ImageShape, class_count: int, latent_size: int) -> Encoder:
        """A new E."""
        return MlpEncoder(_stack(_size(image_shape) + class_count, self.encoder_sizes, 2 * latent_size))

    def generator(self, image_shape: ImageShape, class_count: int, latent_size: int) -> Generator:
        """A new G."""
        stack = _stack(latent_size + class_count, self.generator_sizes, _size(image_shape))
        return PlainGenerator(nn.Sequential(*stack, nn.Unflatten(1, image_shape)), nn.Identity())

    def discriminator(self, image_shape: ImageShape, class_count: int, latent_size: int) -> Discriminator:
        """A new D̃ with C and c_rf."""
        in_size = _size(image_shape)
        layers: list[nn.Module] = [nn.Flatten(), GaussianNoise(self.input_noise)]
        for size in self.discriminator_sizes:
            layers += [nn.Linear(in_size, size), nn.LeakyReLU(SLOPE), GaussianNoise(self.hidden_noise)]
            in_size = size
        trunk = he_initialised(nn.Sequential(*layers), negative_slope=SLOPE)
        head = RealnessHead(in_size, latent_size, class_count)
        return TrunkDiscriminator(trunk, in_size, class_head(in_size, class_count), head)


def _size(image_shape: ImageShape) -> int:
    """F: numbers of one image."""
    return math.prod(image_shape)


def _stack(in_size: int, hidden_sizes: Sequence[int], out_size: int) -> nn.Sequential:
    """Linear layers with batch norm and leaky ReLU between them; the last one is bare."""
    layers: list[nn.Module] = []
    for size in hidden_sizes:
        # No bias: batch norm would subtract it again.
        layers += [nn.Linear(in_size, size, bias=False), BatchNorm(size), nn.LeakyReLU(SLOPE)]
        in_size = size
    return nn.Sequential(*layers, nn.Linear(in_size, out_size))
