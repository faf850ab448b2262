"""The four networks E, G, D̃ and S at several scales, sized by arguments."""

from aral.networks.biggan import BigganDiscriminator, BigganFamily
from aral.networks.compact import CompactFamily
from aral.networks.conv32 import Conv32Family
from aral.networks.discriminators import RealnessHead
from aral.networks.families import AnyFamily
from aral.networks.interface import (
    Discriminator,
    Encoder,
    Family,
    Generator,
    ImageShape,
    PixelRange,
    Sampler,
)
from aral.networks.layers import GaussianNoise
from aral.networks.mlp import MlpFamily
from aral.networks.partition import Partition
from aral.networks.resnet import ResnetFamily

__all__ = [
    "AnyFamily",
    "BigganDiscriminator",
    "BigganFamily",
    "CompactFamily",
    "Conv32Family",
    "Discriminator",
    "Encoder",
    "Family",
    "GaussianNoise",
    "Generator",
    "ImageShape",
    "MlpFamily",
    "Partition",
    "PixelRange",
    "RealnessHead",
    "ResnetFamily",
    "Sampler",
]
