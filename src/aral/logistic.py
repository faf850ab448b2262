"""Multinomial logistic regression with a calibrated temperature, on features: exact, and quick with few labels."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

TEMPERATURES = (0.05, 20.0)
"""Limits of the temperature."""

FOLDS = 5


def calibrated_probabilities(
    features: Float64[np.ndarray, "n F"],
    classes: Int64[np.ndarray, " n"],
    class_count: int,
    others: Float64[np.ndarray, "N F"],
    inverse_penalty: float = 1.0,
) -> Float64[np.ndarray, "N K"]:
    """Class probabilities of other images, by a regression on the labelled ones, divided by its temperature.

    Args:
        features: of the labelled images.
        classes: 0..K−1.
        class_count: K.
        others: features of the other images.
        inverse_penalty: C of scikit-learn.
    """
    weights, bias = calibrated_logistic(features, classes, class_count, inverse_penalty)
    return class_probabilities(others, weights, bias)


def class_probabilities(
    features: Float64[np.ndarray, "N F"], weights: Float64[np.ndarray, "K F"], bias: Float64[np.ndarray, " K"]
) -> Float64[np.ndarray, "N K"]:
    """Softmax of the logits of a logistic regression."""
    logits = features @ weights.T + bias
    found = np.exp(logits - logits.max(axis=1, keepdims=True))
    return found / found.sum(axis=1, keepdims=True)


def calibrated_logistic(
    features: Float64[np.ndarray, "n F"],
    classes: Int64[np.ndarray, " n"],
    class_count: int,
    inverse_penalty: float = 1.0,
) -> tuple[Float64[np.ndarray, "K F"], Float64[np.ndarray, " K"]]:
    """Weights and biases of :func:`fit_logistic`, both divided by :func:`calibrated_temperature`."""
    weights, bias = fit_logistic(features, classes, class_count, inverse_penalty)
    temperature = calibrated_temperature(features, classes, class_count, inverse_penalty)
    return weights / temperature, bias / temperature


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


def calibrated_temperature(
    features: Float64[np.ndarray, "n F"],
    classes: Int64[np.ndarray, " n"],
    class_count: int,
    inverse_penalty: float,
) -> float:
    """The temperature with the smallest cross-validated cross-entropy of the labels (Guo et al. 2017).

    Up to five folds, stratified; classes with a single label are in no validation fold. With fewer than two labels of
    two classes: 1.
    """
    counts = np.bincount(classes, minlength=class_count)
    several = np.flatnonzero(counts[classes] > 1)
    single = np.flatnonzero(counts[classes] == 1)
    folds = min(FOLDS, int(counts[counts > 1].min(initial=FOLDS)))
    if np.unique(classes[several]).size < 2:
        return 1.0
    logits, truth = [], []
    from sklearn.model_selection import StratifiedKFold

    for rest, held in StratifiedKFold(folds, shuffle=True, random_state=0).split(several, classes[several]):
        used = np.concatenate([several[rest], single])
        weights, bias = fit_logistic(features[used], classes[used], class_count, inverse_penalty)
        logits.append(features[several[held]] @ weights.T + bias)
        truth.append(classes[several[held]])
    return best_temperature(np.concatenate(logits), np.concatenate(truth))


def best_temperature(
    logits: Float64[np.ndarray, "n K"],
    classes: Int64[np.ndarray, " n"],
    limits: tuple[float, float] = TEMPERATURES,
) -> float:
    """The temperature within the limits whose quotients of the logits have the smallest cross-entropy.

    Args:
        logits: of images that were not trained on; log probabilities serve as well.
        classes: of these images, 0..K−1.
        limits: the smallest and the largest temperature.
    """
    from scipy.optimize import minimize_scalar

    best: Any = minimize_scalar(
        lambda log_t: cross_entropy_of(logits / np.exp(log_t), classes),
        bounds=tuple(np.log(limits)),
        method="bounded",
    )
    return float(np.exp(best.x))


def cross_entropy_of(logits: Float64[np.ndarray, "n K"], classes: Int64[np.ndarray, " n"]) -> float:
    """−log softmax of the true class, mean, nats."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_sum = np.log(np.exp(shifted).sum(axis=1))
    return float((log_sum - shifted[np.arange(classes.size), classes]).mean())
