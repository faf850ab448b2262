from .biggan import BigganDiscriminator, BigganFamily
from .cluster_heads import ClusterHeads
from .compact import CompactFamily
from .conv32 import Conv32Family
from .families import AnyFamily
from .features import FeatureFamily
from .interface import Discriminator, Encoder, Family, Generator, ImageShape, PixelRange, Sampler
from .layers import GaussianNoise
from .mlp import MlpFamily
from .parts import RealnessHead, TrunkDiscriminator
from .resnet import ResnetFamily

__all__ = [
    "AnyFamily",
    "BigganDiscriminator",
    "BigganFamily",
    "ClusterHeads",
    "CompactFamily",
    "Conv32Family",
    "Discriminator",
    "Encoder",
    "Family",
    "FeatureFamily",
    "GaussianNoise",
    "Generator",
    "ImageShape",
    "MlpFamily",
    "PixelRange",
    "RealnessHead",
    "ResnetFamily",
    "Sampler",
    "TrunkDiscriminator",
]
