from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from aral.data import Layout, check_labels, images_from_array
from aral.errors import BadInput

_BYTES = hnp.arrays(
    np.uint8,
    st.tuples(st.integers(1, 4), st.sampled_from([1, 3]), st.integers(1, 5), st.integers(1, 5)),
)


@given(_BYTES)
def test_bytes_survive_in_every_layout(pixels: np.ndarray) -> None:
    channels_last = np.moveaxis(pixels, 1, -1)
    as_given = images_from_array(pixels, Layout.NCHW)
    assert np.array_equal(as_given.pixels.numpy(), pixels)
    assert np.array_equal(as_given.ids, np.arange(len(pixels)))
    assert np.array_equal(images_from_array(channels_last, Layout.NHWC).pixels.numpy(), pixels)
    if pixels.shape[1] == 1:
        assert np.array_equal(images_from_array(pixels[:, 0]).pixels.numpy(), pixels)


@given(_BYTES, st.sampled_from([np.float32, np.float64]))
def test_floats_in_the_unit_interval_give_the_bytes_back(pixels: np.ndarray, kind: Any) -> None:
    scaled = (pixels / 255).astype(kind)
    assert np.array_equal(images_from_array(scaled, Layout.NCHW).pixels.numpy(), pixels)


def test_the_axes_are_found_by_where_the_channels_fit() -> None:
    colours = np.arange(2 * 4 * 5 * 3, dtype=np.uint8).reshape(2, 4, 5, 3)
    found = images_from_array(colours)
    assert found.shape == (3, 4, 5)
    assert found.pixels[1, 2, 3, 4] == colours[1, 3, 4, 2]
    assert images_from_array(colours.transpose(0, 3, 1, 2)).pixels.equal(found.pixels)
    with pytest.raises(BadInput, match=r"\(2, 3, 4, 1\).*NHWC and as NCHW"):
        images_from_array(np.zeros((2, 3, 4, 1), np.uint8))
    with pytest.raises(BadInput, match=r"1 or 3 channels.*\(2, 8, 8, 4\)"):
        images_from_array(np.zeros((2, 8, 8, 4), np.uint8))
    with pytest.raises(BadInput, match="as NCHW"):
        images_from_array(colours, Layout.NCHW)


def test_halves_are_rounded_and_not_cut() -> None:
    grey = np.array([[[0.0, 0.5, 0.999, 1.0000005]]])
    assert images_from_array(grey).pixels.flatten().tolist() == [0, 128, 255, 255]
    assert images_from_array(torch.tensor(grey)).pixels.flatten().tolist() == [0, 128, 255, 255]


def test_the_images_do_not_change_with_the_array() -> None:
    array = np.zeros((1, 2, 2), np.uint8)
    images = images_from_array(array)
    array[:] = 9
    assert int(images.pixels.sum()) == 0


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array([[[0.0, 255.0]]]), r"found 0 to 255[\s\S]*Divide by 255"),
        (np.array([[[-1.0, 1.0]]]), r"found -1 to 1[\s\S]*\(array \+ 1\) / 2"),
        (np.array([[[0.0, np.nan]]]), "1 value that is NaN or infinite"),
        (np.array([[[np.inf, -np.inf]]]), "2 values that are NaN or infinite"),
        (np.zeros((0, 8, 8), np.uint8), "empty"),
        (np.zeros((2, 0, 8), np.uint8), "empty"),
        (np.zeros((8, 8), np.uint8), r"\(8, 8\)[\s\S]*array\[None\]"),
        (np.zeros((1, 2, 3, 4, 5), np.uint8), "axes"),
        (np.zeros((1, 2, 2), np.int64), "int64"),
        (np.zeros((1, 2, 2), np.uint16), "65535"),
        (np.zeros((1, 2, 2), bool), "bool"),
        (np.full((1, 2, 2), "a"), "<U1"),
    ],
)
def test_arrays_that_hold_no_images_are_refused(array: np.ndarray, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        images_from_array(array)


def test_labels_become_int64() -> None:
    for labels in (
        np.array([2, 0, 1], np.uint8),
        np.array([2.0, 0.0, 1.0]),
        torch.tensor([2, 0, 1], dtype=torch.int32),
    ):
        checked = check_labels(labels, 3)
        assert checked.dtype == np.int64 and checked.tolist() == [2, 0, 1]
    assert check_labels(np.array([True, False]), 2).tolist() == [1, 0]


@pytest.mark.parametrize(
    ("labels", "class_count", "message"),
    [
        (np.array([0, 3]), 3, "between 0 and 2 for 3 classes; found 0 to 3"),
        (np.array([-1, 1]), 3, "found -1 to 1"),
        (np.array([0, 1.5]), 3, "found 1.5 at position 1"),
        (np.array([np.nan, 1]), 3, "found nan at position 0"),
        (np.array([1, 1]), 3, "Every label is class 1"),
        (np.array(["cat", "dog"]), 2, "numpy.unique"),
        (np.array([[1, 0], [0, 1]]), 2, "argmax"),
        (np.array([], np.int64), 2, "no labels"),
        (np.array([0, 0]), 1, "two or more classes"),
        (np.array([2**63, 1], np.uint64), 3, "found 1 to 9223372036854775808"),
    ],
)
def test_labels_that_fit_no_classes_are_refused(labels: np.ndarray, class_count: int, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        check_labels(labels, class_count)
