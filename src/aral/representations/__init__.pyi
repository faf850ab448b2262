from .backbone import Backbone, Framing
from .components import half_whitened, leading_components, principal_components
from .efficientnet_lite import efficientnet_lite0
from .extraction import VIEWS, Extracted, ImageArrays, ImageFiles, Images, extract_features, view_of
from .feature_cache import Cached, FeatureCache, NewFeatures
from .gradients import gradient_features, oriented_gradients
from .graph import NeighbourGraph, PropagatedLabels, Representation

__all__ = [
    "VIEWS",
    "Backbone",
    "Cached",
    "Extracted",
    "FeatureCache",
    "Framing",
    "ImageArrays",
    "ImageFiles",
    "Images",
    "NeighbourGraph",
    "NewFeatures",
    "PropagatedLabels",
    "Representation",
    "efficientnet_lite0",
    "extract_features",
    "gradient_features",
    "half_whitened",
    "leading_components",
    "oriented_gradients",
    "principal_components",
    "view_of",
]
