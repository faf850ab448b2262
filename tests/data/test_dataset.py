from typing import Any

import numpy as np
import pytest
import torch

from aral.data import DataSet
from aral.errors import BadInput
from aral.randomness import Stream
from aral.types import ImageSet, LabelledSet


def _images(count: int, side: int = 1) -> ImageSet:
    """Image i is filled with the value i."""
    return ImageSet.of(
        torch.arange(count, dtype=torch.uint8)[:, None, None, None].expand(-1, 1, side, side).clone()
    )


def _data(**changes: Any) -> DataSet:
    parts: dict[str, Any] = {
        "name": "toy",
        "pool": _images(20),
        "pool_classes": np.arange(20) % 3,
        "test": LabelledSet(_images(8), np.arange(8) % 3, 3),
        "class_names": ("a", "b", "c"),
        "note": "JPEG copy",
    }
    return DataSet(**(parts | changes))


def test_a_limited_set_keeps_each_image_with_its_class() -> None:
    small = _data().limited(7, 5, Stream.root(1))
    originals = small.pool.pixels.flatten().numpy().astype(np.int64)
    assert small.pool.ids.tolist() == list(range(7)) and (np.diff(originals) > 0).all()
    assert np.array_equal(small.pool_classes, originals % 3)
    tested = small.test.images.pixels.flatten().numpy().astype(np.int64)
    assert len(small.test) == 5 and np.array_equal(small.test.classes, tested % 3)
    assert small.note == "JPEG copy; 7 of 20 pool images; 5 of 8 test images"


def test_limits_depend_on_the_seed_and_are_nested() -> None:
    def kept(size: int, seed: int) -> set[int]:
        return set(_data().limited(size, None, Stream.root(seed)).pool.pixels.flatten().tolist())

    assert kept(8, 1) != kept(8, 2)
    assert kept(8, 1) == kept(8, 1) and kept(5, 1) < kept(8, 1)
    whole = _data().limited(None, 8, Stream.root(1))
    assert len(whole.pool) == 20 and len(whole.test) == 8 and whole.note == "JPEG copy"


@pytest.mark.parametrize("size", [0, 21])
def test_a_limit_must_fit(size: int) -> None:
    with pytest.raises(BadInput, match=f"keep {size} images of the pool: it has 20"):
        _data().limited(size, None, Stream.root(1))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pool": _images(19)}, "19 images but 20 labels"),
        ({"pool": _images(20, side=2)}, r"\(1, 2, 2\), test images \(1, 1, 1\)"),
        ({"pool": _images(20).subset(np.arange(10))}, "10 of 20"),
        ({"pool": _images(0), "pool_classes": np.arange(0)}, "0 pool and 8 test"),
        ({"test": LabelledSet(_images(0), np.arange(0), 3)}, "20 pool and 0 test"),
        ({"class_names": ("a", "b", "b")}, "distinct class names"),
        ({"class_names": ("a", "b", "c", "d")}, "3 classes, but 4 are named"),
        ({"pool_classes": np.arange(20) % 4}, "found 0 to 3"),
    ],
)
def test_parts_that_do_not_fit_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        _data(**changes)
