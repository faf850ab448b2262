"""Data sets in one ``.npz`` file: plain arrays, or JPEG files laid end to end. Nothing is unpickled."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Int64, UInt8
from numpy.typing import NDArray
from PIL import Image

from aral.data.arrays import Layout, check_labels, images_from_array
from aral.data.dataset import DataSet, check_memory
from aral.data.decode import MAX_PIXELS
from aral.errors import BadInput
from aral.plural import counted
from aral.types import ImageSet, LabelledSet

ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")
JPEG_ARRAYS = ("train_jpeg", "train_end", "train_labels", "test_jpeg", "test_end", "test_labels")
_END_OF_JPEG = (0xFF, 0xD9)
_T = TypeVar("_T")


def read_npz(path: Path, name: str | None = None, class_names: tuple[str, ...] | None = None) -> DataSet:
    """A data set from one file.

    The file holds ``train_images`` and ``test_images`` (uint8 or floats in [0, 1]; NHW, NHWC or NCHW), or in
    place of each pair ``*_jpeg`` (all JPEG files end to end, uint8) and ``*_end`` (where each file ends); in
    both forms ``train_labels`` and ``test_labels``, and if wanted ``class_names``, and ``note``.

    Args:
        path: the file.
        name: the data set's name; the file's name without ending by default.
        class_names: used when the file names no classes; by default ``"0"``, ``"1"``, ….

    Raises:
        BadInput: the file is missing or damaged, an array is missing or does not fit; says which.
    """
    arrays = arrays_of_npz(path)
    is_jpeg = "train_jpeg" in arrays
    missing = [key for key in (JPEG_ARRAYS if is_jpeg else ARRAYS) if key not in arrays]
    if missing:
        raise BadInput(
            f"{path} lacks {', '.join(missing)}; it holds {', '.join(sorted(arrays)) or 'nothing'}.",
            f"A data set needs {', '.join(ARRAYS)}: numpy.savez({path.name!r}, train_images=…, …).",
        )
    names = _class_names(arrays, class_names)
    read = images_from_jpegs if is_jpeg else _from_pixels
    pool = in_file(path, "train_images", lambda: read(arrays, "train"))
    test = in_file(path, "test_images", lambda: read(arrays, "test"))
    pool_classes = in_file(path, "train_labels", lambda: check_labels(arrays["train_labels"], len(names)))
    test_classes = in_file(path, "test_labels", lambda: check_labels(arrays["test_labels"], len(names)))
    note = str(arrays["note"]) if "note" in arrays else "JPEG copy" if is_jpeg else ""

    def whole() -> DataSet:
        if len(test) != test_classes.size:
            raise BadInput(
                f"{counted(len(test), 'image')} but {counted(test_classes.size, 'label')}.",
                "Give one label an image.",
            )
        return DataSet(
            name or path.stem, pool, pool_classes, LabelledSet(test, test_classes, len(names)), names, note
        )

    return in_file(path, "test_labels", whole)


def write_npz(data: DataSet, path: Path) -> None:
    """Keep a data set as one compressed file that :func:`read_npz` gives back unchanged.

    Worth doing once for sets that take minutes to decode: ``write_npz(load("celeba"), root / "celeba.npz")``.
    """
    part = path.with_name(f"{path.name}.part")
    with part.open("wb") as file:
        np.savez_compressed(
            file,
            train_images=data.pool.pixels.permute(0, 2, 3, 1).numpy(),
            train_labels=data.pool_classes,
            test_images=data.test.images.pixels[data.test.ids].permute(0, 2, 3, 1).numpy(),
            test_labels=data.test.classes,
            class_names=np.array(data.class_names),
            note=np.array(data.note),
        )
    part.replace(path)


def arrays_of_npz(path: Path) -> dict[str, NDArray[Any]]:
    """Every array of the file; object arrays, which would have to be unpickled, are refused.

    A small file can unpack to any size: the sizes that it states are added up before anything is unpacked, and
    no more than stated is ever read.
    """
    if not path.is_file():
        raise BadInput(f"There is no file {path}.", "Check the path.")
    try:
        with path.open("rb") as file:
            opened = np.load(file, allow_pickle=False)
            if isinstance(opened, np.ndarray):
                raise BadInput(f"{path} holds a single array.", "Save with numpy.savez, not numpy.save.")
            check_memory(sum(member.file_size for member in opened.zip.infolist()), path)
            found = {key: opened[key] for key in opened.files}
            return {key: array for key, array in found.items() if isinstance(array, np.ndarray)}
    except (OSError, EOFError, ValueError, KeyError, MemoryError, zipfile.BadZipFile, zlib.error) as error:
        raise BadInput(
            f"{path} is not a readable .npz file: {error}", "Copy or write the file again, without objects."
        ) from error


def in_file(path: Path, array: str, make: Callable[[], _T]) -> _T:
    """Let an error of ``make`` name the file and the array."""
    try:
        return make()
    except BadInput as error:
        raise BadInput(f"{path}, {array}: {error.problem}", error.hint) from error


def _class_names(arrays: Mapping[str, NDArray[Any]], given: tuple[str, ...] | None) -> tuple[str, ...]:
    if "class_names" in arrays:
        return tuple(str(name) for name in arrays["class_names"])
    if given is not None:
        return given
    labels = [arrays[key] for key in ("train_labels", "test_labels")]
    highest = max((int(part.max()) for part in labels if part.size and part.dtype.kind in "iuf"), default=1)
    return tuple(str(index) for index in range(max(highest + 1, 2)))


def _from_pixels(arrays: Mapping[str, NDArray[Any]], part: str) -> ImageSet:
    return images_from_array(arrays[f"{part}_images"])


def images_from_jpegs(arrays: Mapping[str, NDArray[Any]], part: str) -> ImageSet:
    """Decode the files one after the other; all must have the size of the first."""
    joined, ends = arrays[f"{part}_jpeg"], arrays[f"{part}_end"]
    _check_ends(joined, ends, part)
    starts = np.concatenate([[0], ends[:-1]]).astype(np.int64)
    files = memoryview(joined.tobytes())
    pairs = list(zip(starts.tolist(), ends.tolist(), strict=True))
    first = _decode(files[: int(ends[0])], 0)
    rows = np.empty((ends.size, *first.shape), np.uint8)
    for row, (start, end) in enumerate(pairs):
        rows[row] = _decode(files[start:end], row, first.shape)
    return images_from_array(rows, Layout.NHWC)


def _check_ends(joined: NDArray[Any], ends: NDArray[Any], part: str) -> None:
    hint = f"{part}_end[i] is the byte after image i: numpy.cumsum of the files' lengths."
    if joined.dtype != np.uint8 or joined.ndim != 1 or ends.dtype.kind not in "iu" or ends.ndim != 1:
        raise BadInput(f"{part}_jpeg must be bytes and {part}_end whole numbers, both with one axis.", hint)
    lengths: Int64[np.ndarray, " N"] = np.diff(ends.astype(np.int64), prepend=0)
    if not ends.size or (lengths <= 2).any() or int(ends[-1]) != joined.size:
        raise BadInput(f"the offsets in {part}_end do not divide the {joined.size} bytes into files.", hint)
    tails = np.stack([joined[ends.astype(np.int64) - 2], joined[ends.astype(np.int64) - 1]], axis=1)
    cut = np.flatnonzero((tails != _END_OF_JPEG).any(axis=1))
    if cut.size:
        raise BadInput(
            f"image {cut[0]} does not end as a JPEG file ({counted(cut.size, 'such image')}).", hint
        )


def _decode(file: memoryview, row: int, shape: tuple[int, ...] | None = None) -> UInt8[np.ndarray, "H W C"]:
    """One JPEG file; a size that is too large or not the wanted one is refused before decoding."""
    try:
        with Image.open(io.BytesIO(file), formats=("JPEG",)) as image:
            found = (image.height, image.width, len(image.getbands()))
            if image.width * image.height > MAX_PIXELS or shape not in (None, found):
                raise BadInput(
                    f"image {row} is {found}, image 0 is {shape or found} (height, width, channels).",
                    f"Bring all images to one size, of {MAX_PIXELS} pixels or less.",
                )
            return np.asarray(image).reshape(found)
    except (OSError, ValueError, SyntaxError) as error:
        raise BadInput(f"image {row} cannot be decoded: {error}", "Write the file again.") from error
