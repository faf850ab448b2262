"""Scale "mlp": perceptrons for small images in [0, 1] (the paper's MNIST networks)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field, NonNegativeFloat, PositiveInt
from torch import Tensor, nn

from aral.networks.interface import Discriminator, Encoder, Generator, ImageShape, PixelRange
from aral.networks.layers import BatchNorm, GaussianNoise, he_initialised, weight_normalised
from aral.networks.parts import (
    FamilyWithSamplerMlp,
    PlainGenerator,
    RealnessHead,
    TrunkDiscriminator,
    bounded_gaussian,
    class_head,
)


class MlpEncoder(Encoder):
    """E on the pixels and class probabilities side by side.

    Args:
        body: N×(C·H·W+K) -> N×2Z.
    """

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(
        self, images: Float[Tensor, "N C H W"], class_probs: Float[Tensor, "N K"]
    ) -> tuple[Float[Tensor, "N Z"], Float[Tensor, "N Z"]]:
        """Mean and log-variance of q(z|x, y), float32; the log-variance lies within ±10."""
        return bounded_gaussian(self.body(torch.cat([images.flatten(1), class_probs], dim=1)))


def softplus_stack(in_size: int, hidden_sizes: Sequence[int], out_size: int) -> nn.Sequential:
    """Linear layers with batch norm and softplus between them; the last one is bare."""
    layers: list[nn.Module] = []
    for size in hidden_sizes:
        # No bias: batch norm would subtract it again.
        layers += [nn.Linear(in_size, size, bias=False), BatchNorm(size), nn.Softplus()]
        in_size = size
    return nn.Sequential(*layers, nn.Linear(in_size, out_size))


class MlpFamily(FamilyWithSamplerMlp):
    """Perceptrons for images of any shape; the paper's MNIST networks (section 4.1) by default.

    E is (C·H·W+K)-500-500-2Z and G (Z+K)-500-500-C·H·W, with batch norm and softplus. D̃ is
    C·H·W-1000-500-250-250-250 with weight norm, ReLU and Gaussian noise (Salimans et al. 2016).
    """

    scale: Literal["mlp"] = "mlp"
    """Name of the family."""
    encoder_sizes: tuple[PositiveInt, ...] = (500, 500)
    """Units in the hidden layers of E."""
    generator_sizes: tuple[PositiveInt, ...] = (500, 500)
    """Units in the hidden layers of G."""
    discriminator_sizes: tuple[PositiveInt, ...] = Field((1000, 500, 250, 250, 250), min_length=1)
    """Units in the hidden layers of D̃; the last one is the count of features."""
    input_noise: NonNegativeFloat = 0.3
    """Standard deviation of the noise on the pixels that D̃ reads in training, in the unit of [0, 1]."""
    hidden_noise: NonNegativeFloat = 0.5
    """Standard deviation of the noise after each hidden layer of D̃ in training."""

    @property
    def pixel_range(self) -> PixelRange:
        """[0, 1]."""
        return PixelRange.UNIT

    def encoder(self, image_shape: ImageShape, class_count: int, latent_size: int) -> Encoder:
        """A new E."""
        channels, height, width = image_shape
        in_size = channels * height * width + class_count
        return MlpEncoder(softplus_stack(in_size, self.encoder_sizes, 2 * latent_size))

    def generator(self, image_shape: ImageShape, class_count: int, latent_size: int) -> Generator:
        """A new G."""
        channels, height, width = image_shape
        stack = softplus_stack(latent_size + class_count, self.generator_sizes, channels * height * width)
        return PlainGenerator(nn.Sequential(*stack, nn.Unflatten(1, image_shape)), nn.Sigmoid())

    def discriminator(self, image_shape: ImageShape, class_count: int, latent_size: int) -> Discriminator:
        """A new D̃ with C and c_rf."""
        channels, height, width = image_shape
        in_size = channels * height * width
        layers: list[nn.Module] = [nn.Flatten(), GaussianNoise(self.input_noise)]
        for size in self.discriminator_sizes:
            layers += [nn.Linear(in_size, size), nn.ReLU(), GaussianNoise(self.hidden_noise)]
            in_size = size
        trunk = weight_normalised(he_initialised(nn.Sequential(*layers), negative_slope=0.0))
        class_layer = weight_normalised(class_head(in_size, class_count))
        head = RealnessHead(in_size, latent_size, class_count)
        return TrunkDiscriminator(trunk, in_size, class_layer, head)
