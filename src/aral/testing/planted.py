"""Small data whose classes are known by construction, and networks that train a step in milliseconds."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from aral.data import DataSet
from aral.learners import LEARNERS, LearnerSettings, variant_settings
from aral.learners.settings import SemiSupervisedTraining
from aral.randomness import Stream
from aral.types import ImageSet, LabelledSet


def planted_pool(size: int, class_count: int, stream: Stream, side: int = 6) -> tuple[ImageSet, np.ndarray]:
    """Grey noise with one bright row: the row's number is the class. Classes take turns by id."""
    classes = np.arange(size, dtype=np.int64) % class_count
    pixels = stream.numpy().integers(0, 80, (size, 1, side, side), dtype=np.uint8)
    pixels[np.arange(size), 0, classes] += 150
    return ImageSet.of(torch.from_numpy(pixels)), classes


def planted_data(pool_size: int = 60, test_size: int = 30, class_count: int = 3, seed: int = 0) -> DataSet:
    """A data set of :func:`planted_pool` images."""
    stream = Stream.root(seed).child("planted")
    pool, classes = planted_pool(pool_size, class_count, stream.child("pool"))
    test, test_classes = planted_pool(test_size, class_count, stream.child("test"))
    names = tuple(f"row {index}" for index in range(class_count))
    return DataSet("planted", pool, classes, LabelledSet(test, test_classes, class_count), names)


def tiny_settings(learner: str = "supervised", steps: int = 5, **settings: Any) -> LearnerSettings:
    """Settings of a learner with perceptrons of a few units that train a step in milliseconds.

    Args:
        learner: a learner, with variants as in ``aral:released``.
        steps: training steps a round.
        settings: further settings; a table is merged into the setting of its name, but networks of another scale
            replace the perceptrons.
    """
    name, _, variants = learner.partition(":")
    table: dict[str, Any] = {
        "networks": {
            "scale": "mlp",
            "encoder_sizes": (16,),
            "generator_sizes": (16,),
            "discriminator_sizes": (16, 16),
            "input_noise": 0.1,
        },
        "latent_size": 4,
        "training": {"steps": steps, "labelled_batch": 8, "average_decay": 0.9},
        **variant_settings(name, tuple(variants.split(":")) if variants else ()),
    }
    training = LEARNERS[name].model_fields["training"].annotation
    if isinstance(training, type) and issubclass(training, SemiSupervisedTraining):
        table["training"]["unlabelled_batch"] = 8
    for key, value in settings.items():
        inner = table.get(key)
        merged = isinstance(inner, dict) and isinstance(value, dict)
        if merged and value.get("scale", "mlp") == "mlp":
            value = inner | value
        table[key] = value
    return LEARNERS[name].model_validate({"name": name, **table})
