from .biggan import BigganDiscriminator, BigganFamily
from .compact import CompactFamily
from .conv32 import Conv32Family
from .discriminators import RealnessHead
from .families import AnyFamily
from .interface import Discriminator, Encoder, Family, Generator, ImageShape, PixelRange, Sampler
from .layers import GaussianNoise
from .mlp import MlpFamily
from .partition import Partition
from .resnet import ResnetFamily

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
