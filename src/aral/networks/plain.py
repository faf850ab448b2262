"""The base of the families of plain convolutions: E, G, and the check of the image size."""

from __future__ import annotations

from abc import abstractmethod
from itertools import pairwise

from pydantic import PositiveInt
from torch import nn

from aral.networks.interface import Encoder, Generator, ImageShape, PixelRange, refuse_unless
from aral.networks.layers import BatchNorm, ChannelsLast
from aral.networks.parts import ClassMapEncoder, FamilyWithSamplerMlp, PlainGenerator, strided_body


def transposed_body(
    image_shape: ImageShape, in_size: int, start_width: int, widths: tuple[int, ...]
) -> nn.Sequential:
    """A linear layer to small maps, then 5×5 transposed convolutions of stride 2, for images of any side.

    The sides of the smallest maps are those of the image, halved once for each convolution and rounded up;
    the output padding compensates for the rounding, so 28×28 grows as 4, 7, 14, 28.

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
        layers += [BatchNorm(in_width), nn.ReLU(), convolution]
    return nn.Sequential(*layers)


class PlainFamily(FamilyWithSamplerMlp):
    """E of strided and G of transposed 5×5 convolutions; D̃ is each family's own."""

    scale: str
    """Name of the family."""
    encoder_widths: tuple[PositiveInt, PositiveInt, PositiveInt]
    """Channels after each 5×5 convolution of E."""
    generator_widths: tuple[PositiveInt, PositiveInt, PositiveInt]
    """Channels before each 5×5 transposed convolution of G."""

    @property
    @abstractmethod
    def smallest_side(self) -> int:
        """Images need at least this height and width."""

    def encoder(self, image_shape: ImageShape, class_count: int, latent_size: int) -> Encoder:
        """A new E."""
        self.check(image_shape)
        return ClassMapEncoder(strided_body(image_shape, class_count, latent_size, self.encoder_widths, 5))

    def generator(self, image_shape: ImageShape, class_count: int, latent_size: int) -> Generator:
        """A new G."""
        self.check(image_shape)
        start_width, *widths = self.generator_widths
        body = transposed_body(image_shape, latent_size + class_count, start_width, tuple(widths))
        return PlainGenerator(body, nn.Tanh() if self.pixel_range is PixelRange.SYMMETRIC else nn.Sigmoid())

    def check(self, image_shape: ImageShape) -> None:
        """Refuse images that are too small.

        Raises:
            BadInput: says which sides would do.
        """
        refuse_unless(
            min(image_shape[1:]) >= self.smallest_side,
            self.scale,
            image_shape,
            f"any height and width from {self.smallest_side} pixels up",
            "Use scale = 'mlp', which takes images of any size, or enlarge the images.",
        )
