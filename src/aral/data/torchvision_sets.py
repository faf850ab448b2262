"""Named data sets from the files that torchvision keeps, or downloads when it is allowed to.

torchvision unpickles CIFAR-10's original files after it has verified their checksums. That is the one
place where a pickle is read on behalf of this package; ``cifar10.npz`` avoids it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aral.data.arrays import Layout, check_labels, images_from_array
from aral.data.celeba import read_celeba
from aral.data.dataset import DataSet
from aral.types import LabelledSet

DIGITS = tuple("0123456789")
CLOTHES = (
    "T-shirt/top",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)
CIFAR10_CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)

ABSENT = (RuntimeError, OSError, ValueError, EOFError, ImportError)
"""What torchvision raises when files are missing or damaged, or when a download fails."""


def _datasets() -> Any:
    """torchvision's data sets, imported when they are asked for: that takes as long as importing PyTorch."""
    from torchvision import datasets

    return datasets


def _of_parts(name: str, names: tuple[str, ...], layout: Layout, pool: Any, test: Any) -> DataSet:
    """A data set from two pairs of torchvision arrays (images, labels)."""
    (pool_images, pool_labels), (test_images, test_labels) = pool, test
    classes: NDArray[Any] = np.asarray(test_labels)
    return DataSet(
        name,
        images_from_array(np.asarray(pool_images), layout),
        check_labels(np.asarray(pool_labels), len(names)),
        LabelledSet(
            images_from_array(np.asarray(test_images), layout), check_labels(classes, len(names)), len(names)
        ),
        names,
    )


def _mnist(root: Path, download: bool) -> DataSet:
    parts = [_datasets().MNIST(root, train=train, download=download) for train in (True, False)]
    return _of_parts("mnist", DIGITS, Layout.NHW, *((part.data, part.targets) for part in parts))


def _fashion_mnist(root: Path, download: bool) -> DataSet:
    parts = [_datasets().FashionMNIST(root, train=train, download=download) for train in (True, False)]
    return _of_parts("fashion-mnist", CLOTHES, Layout.NHW, *((part.data, part.targets) for part in parts))


def _svhn(root: Path, download: bool) -> DataSet:
    parts = [_datasets().SVHN(root, split=split, download=download) for split in ("train", "test")]
    return _of_parts("svhn", DIGITS, Layout.NCHW, *((part.data, part.labels) for part in parts))


def _cifar10(root: Path, download: bool) -> DataSet:
    parts = [_datasets().CIFAR10(root, train=train, download=download) for train in (True, False)]
    return _of_parts("cifar10", CIFAR10_CLASSES, Layout.NHWC, *((part.data, part.targets) for part in parts))


def _celeba(root: Path, download: bool) -> DataSet:
    if download:
        _datasets().CelebA(root, split="all", download=True)
    if not (root / "celeba").is_dir():
        raise FileNotFoundError("no folder celeba")
    return read_celeba(root / "celeba")


READERS: Mapping[str, Callable[[Path, bool], DataSet]] = {
    "mnist": _mnist,
    "fashion-mnist": _fashion_mnist,
    "svhn": _svhn,
    "cifar10": _cifar10,
    "celeba": _celeba,
}
"""Name to a function of (root, may download); each raises one of ``ABSENT`` when there is nothing to read."""
