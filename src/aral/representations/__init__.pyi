from .components import half_whitened, leading_components, principal_components
from .gradients import gradient_features, oriented_gradients
from .graph import NeighbourGraph, PropagatedLabels, Representation

__all__ = [
    "NeighbourGraph",
    "PropagatedLabels",
    "Representation",
    "gradient_features",
    "half_whitened",
    "leading_components",
    "oriented_gradients",
    "principal_components",
]
