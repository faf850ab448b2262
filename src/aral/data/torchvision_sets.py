"""Named data sets from the files that torchvision keeps, or downloads when it is allowed to.

torchvision unpickles CIFAR-10's original files after it has verified their checksums. That is the only
pickle that is read on behalf of this package; ``cifar10.npz`` avoids it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from numpy.typing import NDArray

from aral.data.arrays import Layout, check_labels, images_from_array
from aral.data.dataset import DataSet
from aral.data.decode import decode_all
from aral.data.unreadable import Unreadable
from aral.errors import BadInput
from aral.plural import counted
from aral.randomness import Stream
from aral.types import ImageSet, LabelledSet

CELEBA_CLASSES = ("not male", "male")
CELEBA_IMAGES = "img_align_celeba"
CELEBA_ATTRIBUTES = "list_attr_celeba.txt"
_CELEBA_SPLIT = Stream.root(0).child("celeba", "split")


def read_celeba(folder: Path, pool_size: int = 150_000, test_size: int = 50_000, side: int = 64) -> DataSet:
    """CelebA from its own files: the attribute list and the aligned images.

    The paper (section 4.2) splits all images 150k/50k and says no more. Here a fixed permutation decides,
    the same on every machine and for every seed; 2,599 of the 202,599 images stay unused. One person's
    photographs may lie on both sides. The middle square is cut out and resized.

    Args:
        folder: holds ``list_attr_celeba.txt`` and ``img_align_celeba/``, as torchvision lays them out.
        pool_size: images to learn from.
        test_size: images to test with.
        side: height and width of the result.

    Raises:
        BadInput: a file is missing or cannot be read, or there are too few images.
    """
    names, classes = _attribute(folder / CELEBA_ATTRIBUTES, "Male")
    if len(names) < pool_size + test_size:
        raise BadInput(
            f"{folder / CELEBA_ATTRIBUTES} lists {counted(len(names), 'image')}; "
            f"{pool_size + test_size} are needed.",
            "Use the complete list of 202,599 images.",
        )
    order = np.argsort(_CELEBA_SPLIT.uniform(np.arange(len(names), dtype=np.int64)), kind="stable")
    chosen = order[: pool_size + test_size]
    pixels = torch.empty((chosen.size, 3, side, side), dtype=torch.uint8)
    rows = pixels.numpy()
    decoded = decode_all(folder / CELEBA_IMAGES, [names[index] for index in chosen], side)
    for row, (name, image) in enumerate(decoded):
        if isinstance(image, Unreadable):
            raise BadInput(
                f"{folder / CELEBA_IMAGES / name} cannot be read: {image.reason}, {image.detail}.",
                "Unpack img_align_celeba.zip again.",
            )
        rows[row] = image.pixels
    return DataSet(
        "celeba",
        ImageSet.of(pixels[:pool_size]),
        classes[chosen[:pool_size]],
        LabelledSet(ImageSet.of(pixels[pool_size:]), classes[chosen[pool_size:]], len(CELEBA_CLASSES)),
        CELEBA_CLASSES,
    )


def _attribute(path: Path, attribute: str) -> tuple[list[str], Int64[np.ndarray, " N"]]:
    """File names and one attribute, 0 or 1; the file says -1 and 1, after a count and a line of names."""
    try:
        lines = path.read_text(encoding="ascii").splitlines()
        column = lines[1].split().index(attribute) + 1
        rows = [line.split() for line in lines[2:] if line.strip()]
        values = np.array([int(row[column]) for row in rows], dtype=np.int64)
    except (OSError, ValueError, IndexError) as error:
        raise BadInput(f"{path} is not CelebA's list of attributes: {error}", "Download it again.") from error
    return [row[0] for row in rows], (values > 0).astype(np.int64)


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
    """torchvision's data sets, imported on first use: that takes as long as importing PyTorch."""
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
