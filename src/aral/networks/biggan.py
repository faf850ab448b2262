"""Scale "biggan": large residual nets in the manner of BigGAN and S3GAN (the paper's ImageNet networks)."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

from jaxtyping import Float
from pydantic import PositiveInt
from torch import Tensor, nn

from aral.networks.interface import Encoder, Generator, ImageShape, PixelRange, refuse_unless
from aral.networks.layers import (
    BatchNorm,
    ChannelsLast,
    DropoutRate,
    GlobalSum,
    linear_map,
    spectrally_normalised,
)
from aral.networks.parts import (
    ClassMapEncoder,
    FamilyWithSamplerMlp,
    RealnessHead,
    ResidualGenerator,
    TrunkDiscriminator,
    class_head,
    strided_body,
)
from aral.networks.residual import ResidualDown, ResidualUp, SelfAttention

_START_SIDE = 4
_SMALLEST_SIDE = 32
_WIDEST = 16  # channel multiples stop growing here


class BigganDiscriminator(TrunkDiscriminator):
    """D̃ with a third head, for self-supervision by rotation (Chen et al. 2019; Lučić et al. 2019, S3GAN).

    Args:
        trunk: N×C×H×W -> N×F.
        feature_size: F.
        class_layer: N×F -> N×K.
        realness_head: (features, latents, class_probs) -> N.
        rotation_layer: N×F -> N×4.
    """

    def __init__(
        self,
        trunk: nn.Module,
        feature_size: int,
        class_layer: nn.Module,
        realness_head: nn.Module,
        rotation_layer: nn.Module,
    ) -> None:
        super().__init__(trunk, feature_size, class_layer, realness_head)
        self.rotation_layer = rotation_layer

    def rotation(self, features: Float[Tensor, "N F"]) -> Float[Tensor, "N 4"]:
        """Logits of the quarter turns (0, 1, 2 or 3) by which the images were rotated, float32."""
        return self.rotation_layer(features).float()


class BigganFamily(FamilyWithSamplerMlp):
    """Residual nets with class-conditional batch norm, spectral norm, self-attention and projection.

    For square images whose side is a power of two from 32 up; by default as for ImageNet at 128×128. G
    (Brock et al. 2019) starts from 4×4 maps and doubles them; the whole latent code and a shared linear
    embedding of the class probabilities govern every batch norm, as in BigGAN-deep. D̃ halves the image to
    4×4 maps, adds one more block, and sums over positions. All their convolutions and linear layers have
    spectral norm, but for two: the class embedding of G, and the realness head, whose ‖A z‖ would be about
    √Z with a singular value of 1 and saturate the logits from the first step. E is plain strided
    convolutions, as in VAAL (Sinha et al. 2019): 4×4, stride 2, batch norm, ReLU. On a CPU, 32×32 images
    with ``channels`` 8 are practical.
    """

    scale: Literal["biggan"] = "biggan"
    """Name of the family."""
    channels: PositiveInt = 64
    """Channels of the largest maps of G and D̃, multiplied up to 16 times as the maps shrink. BigGAN: 96."""
    encoder_widths: tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt] = (128, 256, 512, 1024)
    """Channels after each convolution of E."""
    generator_embedding_size: PositiveInt = 128
    """Numbers that stand for the class in G."""
    attention_reduction: Literal[2, 4] | None = 2
    """Self-attention acts on maps of the image's side divided by this (64 at 128×128); None for none."""
    block_dropout: DropoutRate = 0.0
    """Share of the values that D̃ drops inside a block in training; above 0 for Monte-Carlo passes."""

    @property
    def pixel_range(self) -> PixelRange:
        """[-1, 1]."""
        return PixelRange.SYMMETRIC

    def encoder(self, image_shape: ImageShape, class_count: int, latent_size: int) -> Encoder:
        """A new E."""
        self._check(image_shape)
        return ClassMapEncoder(strided_body(image_shape, class_count, latent_size, self.encoder_widths, 4))

    def generator(self, image_shape: ImageShape, class_count: int, latent_size: int) -> Generator:
        """A new G."""
        self._check(image_shape)
        image_channels, side, _ = image_shape
        narrowing = self._widths(side)[::-1]
        widths = [narrowing[0], *narrowing]
        embedding_size = self.generator_embedding_size if class_count else 0
        code_size = latent_size + embedding_size
        blocks: list[nn.Module] = []
        map_side = _START_SIDE
        for in_width, out_width in pairwise(widths):
            blocks.append(ResidualUp(in_width, out_width, code_size))
            map_side *= 2
            blocks += self._attention(side, map_side, out_width)
        start = nn.Sequential(
            nn.Linear(code_size, widths[0] * _START_SIDE**2),
            nn.Unflatten(1, (widths[0], _START_SIDE, _START_SIDE)),
        )
        output = nn.Sequential(
            BatchNorm(widths[-1]), nn.ReLU(), nn.Conv2d(widths[-1], image_channels, 3, padding=1)
        )
        return ResidualGenerator(
            start=spectrally_normalised(start),
            blocks=[spectrally_normalised(block) for block in blocks],
            output=spectrally_normalised(output),
            class_embedding=linear_map(class_count, embedding_size, std=1.0),
            conditioned=True,
        )

    def discriminator(
        self, image_shape: ImageShape, class_count: int, latent_size: int
    ) -> BigganDiscriminator:
        """A new D̃ with C, c_rf and the rotation head."""
        self._check(image_shape)
        image_channels, side, _ = image_shape
        relu = nn.ReLU()
        blocks: list[nn.Module] = []
        map_side, in_width = side, image_channels
        for out_width in self._widths(side):
            blocks.append(
                ResidualDown(
                    in_width,
                    out_width,
                    activation=relu,
                    dropout=self.block_dropout,
                    activate_first=map_side < side,
                )
            )
            map_side, in_width = map_side // 2, out_width
            blocks += self._attention(side, map_side, out_width)
        blocks.append(
            ResidualDown(in_width, in_width, activation=relu, dropout=self.block_dropout, halve=False)
        )
        trunk = nn.Sequential(ChannelsLast(), *blocks, relu, GlobalSum())
        return BigganDiscriminator(
            spectrally_normalised(trunk),
            in_width,
            spectrally_normalised(class_head(in_width, class_count)),
            RealnessHead(in_width, latent_size, class_count),
            spectrally_normalised(nn.Linear(in_width, 4)),
        )

    def _widths(self, side: int) -> list[int]:
        """Channels from the largest maps to the smallest: one entry a halving from the image to 4×4."""
        halvings = (side // _START_SIDE).bit_length() - 1
        return [self.channels * min(_WIDEST, 2**depth) for depth in range(halvings)]

    def _attention(self, image_side: int, map_side: int, width: int) -> list[nn.Module]:
        reduction = self.attention_reduction
        return [SelfAttention(width)] if reduction and map_side * reduction == image_side else []

    def _check(self, image_shape: ImageShape) -> None:
        _, height, width = image_shape
        refuse_unless(
            height == width and height >= _SMALLEST_SIDE and height.bit_count() == 1,
            self.scale,
            image_shape,
            f"square images whose side is a power of two, from {_SMALLEST_SIDE} up (such as 128×128)",
            "Resize the images, or use scale = 'conv32' (any side from 9 up) or 'mlp' (any size).",
        )
