"""Multinomial logistic regression on features: of the learner ``linear``, and of the check of generated features."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64, Int64


def fit_logistic(
    features: Float64[np.ndarray, "n F"],
    classes: Int64[np.ndarray, " n"],
    class_count: int,
    inverse_penalty: float,
) -> tuple[Float64[np.ndarray, "K F"], Float64[np.ndarray, " K"]]:
    """Weights and biases of multinomial logistic regression by scikit-learn.

    A class without labels has weights 0 and a logit 10 below the smallest bias: it is never predicted. With labels of
    a single class, that class always is.

    Args:
        features: of the labelled images.
        classes: 0..K−1.
        class_count: K.
        inverse_penalty: C.
    """
    present = np.unique(classes)
    weights, bias = np.zeros((class_count, features.shape[1])), np.zeros(class_count)
    if present.size > 1:
        from sklearn.linear_model import LogisticRegression

        model = LogisticRegression(C=inverse_penalty, max_iter=1000).fit(features, classes)
        coefficients, intercepts = model.coef_, model.intercept_
        if present.size == 2:  # scikit-learn keeps one row: the logit of the second class
            coefficients = np.concatenate([-coefficients, coefficients]) / 2
            intercepts = np.concatenate([-intercepts, intercepts]) / 2
        weights[present], bias[present] = coefficients, intercepts
    bias[np.setdiff1d(np.arange(class_count), present)] = bias[present].min() - 10.0
    return weights, bias
