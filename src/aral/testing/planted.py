"""Small data whose classes are known by construction, and networks small enough to train in a blink."""

from __future__ import annotations

import numpy as np
import torch

from aral.data import DataSet
from aral.learners.spec import Model, Training
from aral.networks import MlpFamily
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


def tiny_model(steps: int = 5, **training: object) -> Model:
    """Perceptrons of a few units that train a step in milliseconds."""
    return Model(
        networks=MlpFamily(
            encoder_sizes=(16,), generator_sizes=(16,), discriminator_sizes=(16, 16), input_noise=0.1
        ),
        latent_size=4,
        training=Training.model_validate(
            {"steps": steps, "labelled_batch": 8, "unlabelled_batch": 8, "average_decay": 0.9} | training
        ),
    )
