"""One seed for every test, and small families of all scales."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from aral.networks import (
    BigganFamily,
    CompactFamily,
    Conv32Family,
    Discriminator,
    Encoder,
    Family,
    FeatureFamily,
    Generator,
    ImageShape,
    MlpFamily,
    PixelRange,
    ResnetFamily,
    Sampler,
)
from aral.networks.residual import SelfAttention
from aral.randomness import Stream

LATENT_SIZE = 6


@dataclass(frozen=True)
class Nets:
    """The four networks of one small family, and a batch that fits them."""

    family: Family
    image_shape: ImageShape
    class_count: int
    encoder: Encoder
    generator: Generator
    discriminator: Discriminator
    sampler: Sampler
    images: Tensor
    latents: Tensor
    class_probs: Tensor

    @property
    def modules(self) -> dict[str, nn.Module]:
        return {
            "E": self.encoder,
            "G": self.generator,
            "D": self.discriminator,
            "S": self.sampler,
        }

    def outputs(self, rows: slice = slice(None)) -> dict[str, Tensor]:
        """Every public output, for some rows of the batch."""
        images, latents, class_probs = self.images[rows], self.latents[rows], self.class_probs[rows]
        mean, log_variance = self.encoder(images, class_probs)
        features = self.discriminator.features(images)
        return {
            "mean": mean,
            "log_variance": log_variance,
            "generated": self.generator(latents, class_probs),
            "features": features,
            "logits": self.discriminator(images),
            "realness": self.discriminator.realness(features, latents, class_probs),
            "labelled": self.sampler(latents),
        }

    def train(self, mode: bool) -> None:
        for module in self.modules.values():
            module.train(mode)


SMALL: dict[str, tuple[Family, ImageShape]] = {
    "mlp": (
        MlpFamily(
            encoder_sizes=(12, 10), generator_sizes=(12, 10), discriminator_sizes=(16, 8), sampler_width=16
        ),
        (1, 7, 5),
    ),
    "compact": (
        CompactFamily(
            widths=(4, 6),
            encoder_widths=(4, 6, 8),
            generator_widths=(8, 6, 4),
            sampler_width=16,
        ),
        (1, 9, 12),
    ),
    "conv32": (
        Conv32Family(
            encoder_widths=(4, 6, 8), generator_widths=(8, 6, 4), discriminator_width=6, sampler_width=16
        ),
        (3, 32, 32),
    ),
    "resnet": (
        ResnetFamily(encoder_width=3, generator_width=3, discriminator_width=3, sampler_width=16),
        (3, 64, 64),
    ),
    "biggan": (
        BigganFamily(channels=8, encoder_widths=(4, 4, 8, 8), generator_embedding_size=5, sampler_width=16),
        (3, 32, 32),
    ),
    "features": (
        FeatureFamily(
            encoder_sizes=(12,), generator_sizes=(12, 10), discriminator_sizes=(16, 8), sampler_width=16
        ),
        (35, 1, 1),
    ),
}


def build(scale: str, class_count: int) -> Nets:
    family, image_shape = SMALL[scale]
    count = 4
    images = torch.rand(count, *image_shape)
    return Nets(
        family=family,
        image_shape=image_shape,
        class_count=class_count,
        encoder=family.encoder(image_shape, class_count, LATENT_SIZE),
        generator=family.generator(image_shape, class_count, LATENT_SIZE),
        discriminator=family.discriminator(image_shape, class_count, LATENT_SIZE),
        sampler=family.sampler(LATENT_SIZE),
        images=images if family.pixel_range is PixelRange.UNIT else 2 * images - 1,
        latents=torch.randn(count, LATENT_SIZE),
        class_probs=torch.softmax(torch.randn(count, class_count), dim=1),
    )


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    with Stream.root(0).child("networks").governs_torch():
        yield


@pytest.fixture(params=list(SMALL))
def scale(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def nets(scale: str) -> Nets:
    """Small networks for 3 classes that have seen a few training batches; attention switched on."""
    built = build(scale, class_count=3)
    for module in built.modules.values():
        for part in module.modules():
            if isinstance(part, SelfAttention):
                nn.init.constant_(part.share, 0.5)
    with torch.no_grad():
        for _ in range(3):
            built.outputs()
    return built
