from . import (
    adversarial,
    classification,
    clustering,
    feature_matching,
    gaussian,
    hinge,
    pseudo_labels,
    reconstruction,
    released,
    rotation,
    sampler,
)

__all__ = [
    "adversarial",
    "classification",
    "clustering",
    "feature_matching",
    "gaussian",
    "hinge",
    "pseudo_labels",
    "reconstruction",
    "released",
    "rotation",
    "sampler",
]
