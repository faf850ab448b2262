"""Pictures of rounds, pictures inside pages, and confusion matrices."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

from aral.reports.pictures import LARGEST_SIDE, picture_address, read_pictures, sheet_address
from aral.reports.run_report import LARGEST_CONFUSION_TABLE, Mistake, confusion_view

MakeRun = Callable[..., Path]


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
    assert [row.recall for row in view.rows] == ["75.0", "–", "30.0"]
    assert [row.total for row in view.rows] == [4, 0, 10]
    assert [cell.opacity for cell in view.rows[0].cells] == ["0.562", "0.188", "0.000"]  # 0.75 · 3/4, · 1/4
    assert [cell.right for cell in view.rows[2].cells] == [False, False, True]
    assert view.mistakes == (Mistake(5, "c", "b"), Mistake(2, "c", "a"), Mistake(1, "a", "b"))


def test_many_classes_are_lists_instead_of_a_table() -> None:
    count = LARGEST_CONFUSION_TABLE + 1
    confusion = np.eye(count, dtype=np.int64)
    confusion[0, 5] = 1
    view = confusion_view(confusion, [f"c{index}" for index in range(count)])
    assert view.heads == ()
    assert len(view.rows) == count
    assert all(row.cells == () for row in view.rows)
    assert (view.rows[0].recall, view.rows[1].recall) == ("50.0", "100.0")
    assert view.mistakes == (Mistake(1, "c0", "c5"),)


def test_kept_pictures_are_read_in_order(make_run: MakeRun) -> None:
    pictures = read_pictures(make_run() / "pictures", 0).pictures
    assert pictures is not None
    assert pictures.chosen is not None
    assert pictures.chosen[:, :, 0, 0].tolist() == [[10, 0, 0], [20, 0, 0]]
    assert pictures.generated is not None
    assert pictures.generated[:, :, 0, 0, 0].tolist() == [[10, 20], [30, 40], [50, 60]]


def test_a_damaged_file_is_named_and_a_missing_one_is_not(make_run: MakeRun) -> None:
    folder = make_run() / "pictures"
    path = folder / "round-001.safetensors"
    path.write_bytes(path.read_bytes()[:-20])
    found = read_pictures(folder, 1)
    assert found.pictures is None and found.problem.startswith("round-001.safetensors cannot be read")
    missing = read_pictures(folder, 7)
    assert (missing.pictures, missing.problem) == (None, "")


@pytest.mark.parametrize(
    ("tensors", "problem"),
    [
        ({"chosen": np.zeros((1, 1, 2, 2), np.float32)}, "'chosen' is float32"),
        ({"chosen": np.zeros((1, 2, 2), np.uint8)}, r"shape \(1, 2, 2\)"),
        ({"originals": np.zeros((1, 1, 2, 2), np.uint8)}, "do not belong together"),
    ],
)
def test_tensors_of_another_kind_are_named(
    tmp_path: Path, tensors: dict[str, np.ndarray], problem: str
) -> None:
    save_file(tensors, tmp_path / "round-000.safetensors")
    assert re.search(problem, read_pictures(tmp_path, 0).problem)
