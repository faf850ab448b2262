from . import (
    adversarial,
    class_logit_realness,
    classification,
    feature_matching,
    gaussian,
    hinge,
    labelled_or_unlabelled,
    reconstruction,
    rotation,
    self_training,
)

__all__ = [
    "adversarial",
    "class_logit_realness",
    "classification",
    "feature_matching",
    "gaussian",
    "hinge",
    "labelled_or_unlabelled",
    "reconstruction",
    "rotation",
    "self_training",
]
