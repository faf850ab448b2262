"""Pictures in pages, and tables of confusion."""

from __future__ import annotations

import base64
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from aral.reports.confusion import LARGEST_TABLE, Mistake, confusion_view
from aral.reports.pictures import LARGEST_SIDE, picture_address, sheet_address


def pixels_of(address: str) -> np.ndarray:
    """The picture of a ``data:`` address, decoded."""
    prefix = "data:image/png;base64,"
    assert address.startswith(prefix)
    return np.array(Image.open(BytesIO(base64.b64decode(address.removeprefix(prefix)))))


def test_a_picture_comes_back_pixel_by_pixel() -> None:
    colour = np.arange(24, dtype=np.uint8).reshape(3, 2, 4)
    assert (pixels_of(picture_address(colour)) == colour.transpose(1, 2, 0)).all()
    assert (pixels_of(picture_address(colour[:1])) == colour[0]).all()
    assert (pixels_of(picture_address(colour[:2])) == colour[0]).all(), "the first of two channels"


def test_a_large_picture_is_made_smaller() -> None:
    large = np.full((3, 400, 200), 7, dtype=np.uint8)
    shown = pixels_of(picture_address(large))
    assert shown.shape == (LARGEST_SIDE, LARGEST_SIDE // 2, 3)
    assert (shown == 7).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_a_sheet_keeps_order_and_gaps(channels: int) -> None:
    pictures = np.zeros((3, channels, 2, 2), dtype=np.uint8)
    pictures[:, 0] = np.array([10, 20, 30], dtype=np.uint8)[:, None, None]
    row = pixels_of(sheet_address(pictures, across=True))
    assert row.shape == (2, 8, 4)
    assert row[0, :, 0].tolist() == [10, 10, 0, 20, 20, 0, 30, 30]
    assert row[0, :, 3].tolist() == [255, 255, 0, 255, 255, 0, 255, 255]
    assert (row[0, 0, :3] == (10 if channels == 1 else (10, 0, 0))).all()
    column = pixels_of(sheet_address(pictures, across=False))
    assert (column == row.transpose(1, 0, 2)).all()


def test_confusion_by_hand() -> None:
    view = confusion_view(np.array([[3, 1, 0], [0, 0, 0], [2, 5, 3]]), ["a", "b", "c"])
    assert view.heads == ("a", "b", "c")
    assert [row.accuracy for row in view.rows] == ["75.0", "–", "30.0"]
    assert [row.total for row in view.rows] == [4, 0, 10]
    assert [cell.opacity for cell in view.rows[0].cells] == ["0.562", "0.188", "0.000"]  # 0.75 · 3/4, · 1/4
    assert [cell.right for cell in view.rows[2].cells] == [False, False, True]
    assert view.mistakes == (Mistake(5, "c", "b"), Mistake(2, "c", "a"), Mistake(1, "a", "b"))


def test_many_classes_are_lists_instead_of_a_table() -> None:
    count = LARGEST_TABLE + 1
    confusion = np.eye(count, dtype=np.int64)
    confusion[0, 5] = 1
    view = confusion_view(confusion, [f"c{index}" for index in range(count)])
    assert view.heads == ()
    assert len(view.rows) == count
    assert all(row.cells == () for row in view.rows)
    assert (view.rows[0].accuracy, view.rows[1].accuracy) == ("50.0", "100.0")
    assert view.mistakes == (Mistake(1, "c0", "c5"),)
