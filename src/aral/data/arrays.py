"""Images and classes from arrays, or a message that says what is wrong with the arrays."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from numpy.typing import NDArray
from torch import Tensor

from aral.errors import BadInput
from aral.plural import counted
from aral.types import ImageSet


class Layout(StrEnum):
    """The order of an image array's axes: number of images, channels, height, width."""

    NHW = "NHW"
    NHWC = "NHWC"
    NCHW = "NCHW"


_CHANNEL_COUNTS = (1, 3)
_FLOAT_SLACK = 1e-6  # resizing in float32 leaves values such as 1.0000001


def images_from_array(array: NDArray[Any] | Tensor, layout: Layout | None = None) -> ImageSet:
    """Images from an array, copied.

    Args:
        array: uint8 in 0..255, or floats in [0, 1], which are multiplied by 255 and rounded. N×H×W is grey;
            four axes have 1 or 3 channels, last (NHWC) or second (NCHW).
        layout: the order of the axes; ``None`` finds it out and refuses what could be read in two ways.

    Returns:
        N images, N×C×H×W uint8, with ids 0..N-1.

    Raises:
        BadInput: wrong number of axes, no images, a type that holds no image, NaN or infinite values, floats
            outside [0, 1], or an order of axes that cannot be told.
    """
    values = array.detach().cpu().numpy() if isinstance(array, Tensor) else array
    axes = _layout(values.shape, layout)
    if 0 in values.shape:
        raise BadInput(f"The image array is empty: its shape is {values.shape}.", "Give at least one image.")
    pixels = _eight_bits(values)
    if axes is Layout.NHW:
        pixels = pixels[:, None]
    elif axes is Layout.NHWC:
        pixels = pixels.transpose(0, 3, 1, 2)
    return ImageSet.of(torch.from_numpy(np.array(pixels, order="C")))


def check_labels(labels: NDArray[Any] | Tensor, class_count: int) -> Int64[np.ndarray, " N"]:
    """Class indices 0..K-1 as int64, copied.

    Args:
        labels: one whole number an image; whole floats and booleans are taken as well.
        class_count: K, two or more.

    Raises:
        BadInput: not one axis, empty, not whole numbers, outside 0..K-1, or all of one class.
    """
    values = labels.detach().cpu().numpy() if isinstance(labels, Tensor) else labels
    if class_count < 2:
        raise BadInput(
            f"A classifier needs two or more classes, not {class_count}.", "Raise the count of classes."
        )
    if values.ndim != 1:
        raise BadInput(
            f"Labels must be one number an image, N long; found shape {values.shape}.",
            "Use labels.argmax(axis=1) for one-hot rows, labels.ravel() for one column.",
        )
    if not values.size:
        raise BadInput("There are no labels.", "Give one label an image.")
    whole = _whole_numbers(values)
    if whole.min() < 0 or whole.max() >= class_count:
        raise BadInput(
            f"Labels must lie between 0 and {class_count - 1} for {class_count} classes; "
            f"found {whole.min()} to {whole.max()}.",
            "Number the classes from 0, or raise the count of classes.",
        )
    if whole.min() == whole.max():
        raise BadInput(
            f"Every label is class {whole.min()}: there is nothing to tell apart.",
            "Give images of at least two classes.",
        )
    return whole.astype(np.int64)


def _whole_numbers(values: NDArray[Any]) -> NDArray[Any]:
    if values.dtype.kind in "iub":
        return values.astype(np.int64) if values.dtype.kind == "b" else values
    if values.dtype.kind != "f":
        raise BadInput(
            f"Labels must be whole numbers; found the type {values.dtype}.",
            "Number them: class_names, labels = numpy.unique(labels, return_inverse=True).",
        )
    wrong = np.flatnonzero(~np.isfinite(values) | (values != np.floor(values)))
    if wrong.size:
        raise BadInput(
            f"Labels must be whole numbers; found {values[wrong[0]]} at position {wrong[0]} "
            f"({counted(wrong.size, 'such label')}).",
            "Give class indices 0, 1, 2, … and leave unlabelled images out of the labels.",
        )
    return values


def _layout(shape: tuple[int, ...], layout: Layout | None) -> Layout:
    """The order of axes: as stated and checked, or found by which axis can hold channels."""
    wanted = layout or (Layout.NHW if len(shape) == 3 else None)
    if len(shape) not in (3, 4) or (wanted is not None and len(wanted) != len(shape)):
        raise BadInput(
            f"Images need an array with the axes {wanted or 'NHW, NHWC or NCHW'}; found shape {shape}.",
            "Use array[None] for a single image, array.reshape(len(array), height, width) for flat rows.",
        )
    if wanted is Layout.NHW:
        return wanted
    fitting = [
        order
        for order, axis in ((Layout.NHWC, 3), (Layout.NCHW, 1))
        if shape[axis] in _CHANNEL_COUNTS and wanted in (None, order)
    ]
    if len(fitting) == 2:
        raise BadInput(
            f"Shape {shape} can be read as NHWC and as NCHW.", "Say which: layout=Layout.NHWC or Layout.NCHW."
        )
    if not fitting:
        raise BadInput(
            f"Images need 1 or 3 channels; found shape {shape}{f' as {wanted}' if wanted else ''}.",
            "Drop a transparency channel first, such as array[..., :3].",
        )
    return fitting[0]


def _eight_bits(values: NDArray[Any]) -> NDArray[np.uint8]:
    if values.dtype == np.uint8:
        return values
    if values.dtype.kind != "f":
        raise BadInput(
            f"Images must be uint8 (0 to 255) or floats in [0, 1]; found the type {values.dtype}.",
            "Convert first: array.astype(numpy.uint8) if values are 0 to 255, array / 65535 for 16 bits.",
        )
    lowest, highest = values.min(), values.max()
    if not (np.isfinite(lowest) and np.isfinite(highest)):
        count = int((~np.isfinite(values)).sum())
        raise BadInput(
            f"The image array holds {counted(count, 'value that is', 'values that are')} NaN or infinite.",
            "Remove those images or replace the values.",
        )
    if lowest < -_FLOAT_SLACK or highest > 1 + _FLOAT_SLACK:
        raise BadInput(
            f"Float images must lie in [0, 1]; found {lowest:g} to {highest:g}.",
            "Divide by 255 if the values are 0 to 255; use (array + 1) / 2 if they are -1 to 1.",
        )
    pixels: NDArray[np.uint8] = np.rint(values.clip(0, 1) * 255).astype(np.uint8)
    return pixels
