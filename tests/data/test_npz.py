import io
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from aral.data import read_npz, write_npz
from aral.errors import BadInput
from aral.randomness import Stream


def _arrays(shape: tuple[int, ...] = (6, 5)) -> dict[str, Any]:
    draw = np.random.default_rng(0).integers
    return {
        "train_images": draw(0, 256, (4, *shape), dtype=np.uint8),
        "train_labels": np.array([0, 1, 2, 1], np.uint8),
        "test_images": draw(0, 256, (3, *shape), dtype=np.uint8),
        "test_labels": np.array([2, 0, 1], np.uint8),
    }


def _save(path: Path, arrays: dict[str, Any]) -> Path:
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize("shape", [(6, 5), (6, 5, 3)])
def test_arrays_come_back_image_by_image(tmp_path: Path, shape: tuple[int, ...]) -> None:
    arrays = _arrays(shape)
    data = read_npz(_save(tmp_path / "toy.npz", arrays))
    rows = data.pool.pixels.permute(0, 2, 3, 1).numpy()
    assert np.array_equal(rows.reshape(arrays["train_images"].shape), arrays["train_images"])
    assert data.pool_classes.tolist() == [0, 1, 2, 1] and data.test.classes.tolist() == [2, 0, 1]
    assert (data.name, data.note, data.class_names) == ("toy", "", ("0", "1", "2"))
    named = read_npz(tmp_path / "toy.npz", "other", ("x", "y", "z"))
    assert (named.name, named.class_names) == ("other", ("x", "y", "z"))


def test_a_written_set_is_read_unchanged(tmp_path: Path) -> None:
    data = read_npz(_save(tmp_path / "toy.npz", _arrays((6, 5, 3)))).limited(3, None, Stream.root(0))
    write_npz(data, tmp_path / "again.npz")
    again = read_npz(tmp_path / "again.npz")
    assert again.pool.pixels.equal(data.pool.pixels)
    assert again.test.images.pixels.equal(data.test.images.pixels)
    assert np.array_equal(again.pool_classes, data.pool_classes)
    assert again.note == data.note == "3 of 4 pool images"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again.npz", "toy.npz"]


def _jpeg(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=95)
    return file.getvalue()


def _jpeg_arrays(sides: tuple[int, ...] = (16, 16, 16)) -> dict[str, Any]:
    """Image i has the flat colour (60·i, 10, 200)."""
    files = [_jpeg(np.full((side, side, 3), (60 * row, 10, 200), np.uint8)) for row, side in enumerate(sides)]
    joined = np.frombuffer(b"".join(files), np.uint8)
    ends = np.cumsum([len(file) for file in files])
    part = {"jpeg": joined, "end": ends, "labels": np.array([1, 0, 1], np.uint8)}
    arrays = {f"{half}_{key}": value for half in ("train", "test") for key, value in part.items()}
    return arrays | {"class_names": np.array(["cat", "dog"])}


def test_jpegs_are_decoded_in_order_and_noted(tmp_path: Path) -> None:
    data = read_npz(_save(tmp_path / "toy-jpeg.npz", _jpeg_arrays()), "toy")
    assert data.pool.shape == (3, 16, 16)
    wanted = np.array([[0, 10, 200], [60, 10, 200], [120, 10, 200]])
    assert np.abs(data.pool.pixels.float().mean(dim=(2, 3)).numpy() - wanted).max() < 3
    assert (data.note, data.class_names) == ("JPEG copy", ("cat", "dog"))
    assert data.pool_classes.tolist() == [1, 0, 1]


@pytest.mark.parametrize("missing", ["train_images", "train_labels", "test_images", "test_labels"])
def test_a_missing_array_is_named(tmp_path: Path, missing: str) -> None:
    arrays = _arrays()
    del arrays[missing]
    with pytest.raises(BadInput, match=f"toy.npz lacks {missing}"):
        read_npz(_save(tmp_path / "toy.npz", arrays))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_images": np.full((4, 6, 5), 2.0)}, "toy.npz, train_images: .*found 2 to 2"),
        ({"test_labels": np.array([0, 0, 0])}, "toy.npz, test_labels: Every label is class 0"),
        ({"train_labels": np.array([0, 1, 2])}, "4 images but 3 labels"),
        ({"test_labels": np.array([0, 1])}, "3 images but 2 labels"),
        ({"test_images": np.zeros((3, 6, 6), np.uint8)}, r"\(1, 6, 5\), test images \(1, 6, 6\)"),
        ({"train_labels": np.array([0, 1, 0.5, 1])}, "train_labels: Labels must be whole"),
    ],
)
def test_arrays_that_do_not_fit_name_the_file(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        read_npz(_save(tmp_path / "toy.npz", _arrays() | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_end": np.array([10, 20])}, "train_images: the offsets in train_end do not divide"),
        ({"train_end": np.array([-5, *_jpeg_arrays()["train_end"][1:]])}, "train_end do not divide"),
        ({"test_end": np.array([0.5])}, "test_images: .*whole numbers"),
        (_jpeg_arrays((16, 16, 8)), r"image 2 is \(8, 8, 3\), image 0 is \(16, 16, 3\)"),
    ],
)
def test_jpegs_that_do_not_fit_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        read_npz(_save(tmp_path / "toy.npz", _jpeg_arrays() | changes))


def test_a_jpeg_without_its_end_is_refused(tmp_path: Path) -> None:
    arrays = _jpeg_arrays()
    joined = arrays["train_jpeg"].copy()
    joined[arrays["train_end"][1] - 1] = 0
    with pytest.raises(BadInput, match="image 1 does not end as a JPEG"):
        read_npz(_save(tmp_path / "toy.npz", arrays | {"train_jpeg": joined}))
    joined[: arrays["train_end"][0] - 2] = 7
    joined[arrays["train_end"][1] - 1] = 0xD9
    with pytest.raises(BadInput, match="image 0 cannot be decoded"):
        read_npz(_save(tmp_path / "toy.npz", arrays | {"train_jpeg": joined}))


def _zip_of(path: Path, shape: tuple[int, ...], content: bytes) -> Path:
    """A ``.npz`` file with the array ``train_images`` alone, whatever its header says."""
    header = io.BytesIO()
    stated = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, stated)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("train_images.npy", header.getvalue() + content)
    return path


def test_a_small_file_that_unpacks_to_more_than_the_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bomb = _zip_of(tmp_path / "bomb.npz", (3_000, 100, 10), bytes(3_000_000))
    assert bomb.stat().st_size < 10_000
    with pytest.raises(BadInput, match="it holds train_images"):
        read_npz(bomb)
    monkeypatch.setattr(os, "sysconf", lambda name: 1_000)  # a machine of a million bytes
    with pytest.raises(BadInput, match=r"bomb\.npz would take .* of memory"):
        read_npz(bomb)


def test_a_header_that_promises_more_than_the_file_holds_is_refused(tmp_path: Path) -> None:
    for shape in ((10**13,), (10**6,)):
        with pytest.raises(BadInput, match=r"toy\.npz is not a readable"):
            read_npz(_zip_of(tmp_path / "toy.npz", shape, bytes(10)))


def test_objects_and_rubbish_are_refused_and_never_unpickled(tmp_path: Path) -> None:
    path = tmp_path / "toy.npz"
    np.savez(path, **_arrays() | {"train_labels": np.array([0, "a", None, 1], dtype=object)})
    with pytest.raises(BadInput, match=r"toy\.npz is not a readable"):
        read_npz(path)
    for content in (b"", b"no zip at all", b"PK\x03\x04 cut"):
        path.write_bytes(content)
        with pytest.raises(BadInput, match=r"toy\.npz"):
            read_npz(path)
    whole = _save(path, _arrays((60, 50))).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadInput, match=r"toy\.npz"):
        read_npz(path)
    np.save(tmp_path / "one.npy", np.zeros(3))
    with pytest.raises(BadInput, match="single array"):
        read_npz(tmp_path / "one.npy")
    with pytest.raises(BadInput, match="no file"):
        read_npz(tmp_path / "absent.npz")
