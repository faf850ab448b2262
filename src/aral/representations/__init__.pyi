from .backbone import Backbone, FeaturePart, Framing
from .catalogue import REPRESENTATIONS, backbone_of, make_backbone
from .choice import Choice, Facts, choose_backbone, view_agreement
from .components import half_whitened, leading_components, principal_components
from .efficientnet_lite import efficientnet_lite0
from .extraction import (
    VIEWS,
    Extracted,
    ImageArrays,
    ImageBytes,
    ImageFiles,
    Images,
    extract_features,
    features_in_order,
    view_of,
)
from .feature_cache import Cached, FeatureCache, NewFeatures
from .feature_sets import FeatureReader, features_of, projected, with_features
from .gradients import gradient_features, oriented_gradients
from .graph import NeighbourGraph, PropagatedLabels, Representation
from .projection import Projection, fit_projection, project
from .settings import AUTO, PIXELS, Fit, RepresentationSettings, backbone_by_size
from .sharded_features import Absent, FeaturesFolder, ShardFeatures
from .text import TextTower, cosine_similarities, zero_shot_probabilities

__all__ = [
    "AUTO",
    "PIXELS",
    "REPRESENTATIONS",
    "VIEWS",
    "Absent",
    "Backbone",
    "Cached",
    "Choice",
    "Extracted",
    "Facts",
    "FeatureCache",
    "FeaturePart",
    "FeatureReader",
    "FeaturesFolder",
    "Fit",
    "Framing",
    "ImageArrays",
    "ImageBytes",
    "ImageFiles",
    "Images",
    "NeighbourGraph",
    "NewFeatures",
    "Projection",
    "PropagatedLabels",
    "Representation",
    "RepresentationSettings",
    "ShardFeatures",
    "TextTower",
    "backbone_by_size",
    "backbone_of",
    "choose_backbone",
    "cosine_similarities",
    "efficientnet_lite0",
    "extract_features",
    "features_in_order",
    "features_of",
    "fit_projection",
    "gradient_features",
    "half_whitened",
    "leading_components",
    "make_backbone",
    "oriented_gradients",
    "principal_components",
    "project",
    "projected",
    "view_agreement",
    "view_of",
    "with_features",
    "zero_shot_probabilities",
]
