"""Pixels of any depth, colour model and profile as eight bits of sRGB or grey, opaque.

Wider values. A camera or a scanner often stores 10, 12 or 14 bits in a file of 16 bits. Divided by 257 such a picture
is nearly black. White is therefore

- the largest sample that a PGM or PPM declares, unless it is 65535;
- otherwise the smallest of 2^8-1, 2^10-1, 2^12-1, 2^14-1, 2^16-1, 2^20-1, 2^24-1 and 2^31-1 that is no smaller than any
  value of the image, nor than what the file declares (PNG: sBIT; TIFF: BitsPerSample, MaxSampleValue, SMaxSampleValue).

The rule depends on the one file alone, so page, training, export and prediction see the same picture. It moves in
steps of four, so images of one camera keep the differences of their exposure. Signed values get a black of the same
steps; floats are fractions if all lie in 0..1, else they span black to white.

Colour profiles (ICC) are applied with the perceptual intent. One that cannot be used is ignored and noted.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from enum import StrEnum
from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import Num, UInt8
from PIL import Image, ImageChops, ImageCms

from aral.data.unreadable import Reason, Refused


class Note(StrEnum):
    """What was done to the pixels of a file that a user may want to know."""

    SCALED = "scaled"
    """More than eight bits a channel were scaled to eight."""
    PROFILE_IGNORED = "profile_ignored"
    """The colour profile cannot be used."""


GREY_MODES = frozenset({"1", "L", "LA", "La", "I", "F", "I;16", "I;16L", "I;16B", "I;16N"})
_WIDE_MODES = GREY_MODES - {"1", "L", "LA", "La"}

_BITS = (8, 10, 12, 14, 16, 20, 24, 31)
_ROWS_BYTES = 2**23


def white_of(largest: int | float) -> int:
    """The largest value of the smallest usual number of bits that holds a value."""
    return next((2**bits - 1 for bits in _BITS if largest <= 2**bits - 1), 2**32 - 1)


def scaled(
    values: Num[np.ndarray, "*shape"], black: int | float, white: int | float
) -> UInt8[np.ndarray, "*shape"]:
    """Values as eight bits, black as 0 and white as 255, rounded; what lies outside is cut."""
    result = np.empty(values.shape, np.uint8)
    step = max(1, _ROWS_BYTES // max(1, values[:1].size * 8))
    span = max(white - black, float(np.finfo(np.float64).tiny))
    for start in range(0, len(values), step):
        part = np.clip(values[start : start + step].astype(np.float64) - black, 0, span)
        result[start : start + step] = np.rint(part * 255 / span)
    return result


def is_wide(mode: str) -> bool:
    """Whether a mode of Pillow has grey values of more than eight bits."""
    return mode in _WIDE_MODES


def wide_grey(image: Image.Image, declared: int | None, full: bool) -> Image.Image:
    """A grey image of more than eight bits as eight bits.

    Args:
        image: loaded, of a mode for which :func:`is_wide` holds.
        declared: the bits of a sample that hold information; ``None`` if the file does not tell.
        full: the values fill their 16 bits, because the decoder has scaled them.

    Raises:
        Refused: some values are NaN or infinite.
    """
    values = np.asarray(image)
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise Refused(Reason.DAMAGED, "some values are NaN or infinite")
    tags = getattr(image, "tag_v2", {})
    if values.dtype == np.int32 and tags and tags.get(_SAMPLE_FORMAT, (1,)) == (1,):
        values = values.view(np.uint32)  # Pillow has no unsigned mode of 32 bits
    lowest, highest = float(values.min()), float(values.max())
    if values.dtype.kind == "f":
        black, white = _float_range(tags, lowest, highest)
    else:
        told = 0 if declared is None else 2 ** min(declared, 31) - 1
        white = 65535 if full else white_of(max(highest, told, *_declared(tags, (_MAX, _SIGNED_MAX))))
        black = 0 if lowest >= 0 else -white_of(-lowest - 1) - 1
    result = scaled(values, black, white)
    inverted = tags.get(_PHOTOMETRIC) == 0  # Pillow inverts only values of up to eight bits
    return Image.fromarray(255 - result if inverted else result)


_PHOTOMETRIC, _MAX, _SAMPLE_FORMAT, _SIGNED_MIN, _SIGNED_MAX = 262, 281, 339, 340, 341


def _float_range(tags: Any, lowest: float, highest: float) -> tuple[float, float]:
    """Black and white of floats: declared, or 0 and 1, or the smallest and the largest value."""
    declared = _declared(tags, (_SIGNED_MIN,)), _declared(tags, (_SIGNED_MAX,))
    if all(declared) and min(declared[0]) <= lowest and max(declared[1]) >= highest:
        return min(declared[0]), max(declared[1])
    return (0.0, 1.0) if lowest >= 0 and highest <= 1 else (lowest, highest)


def _declared(tags: Any, names: Iterable[int]) -> list[float]:
    """The finite numbers of some tags of a TIFF."""
    found: list[float] = []
    for name in names:
        value = tags.get(name, ())
        for each in value if isinstance(value, tuple) else (value,):
            if isinstance(each, int | float) and np.isfinite(each):
                found.append(float(each))
    return found


def needs_low_bytes(image: Image.Image, declared: int | None) -> bool:
    """Whether a colour image of 16 bits holds fewer: Pillow keeps the upper eight, in which such an image is dark."""
    upper = max(high for _, high in _extrema(image)[: _colours(image)])
    return upper < 64 and (declared is None or declared < 16)


def wide_colour(upper: Image.Image, lower: Image.Image, declared: int | None) -> Image.Image:
    """A colour image of 16 bits as eight bits, from its upper and its lower bytes.

    Transparency fills its 16 bits, or the bits of the colours.
    """
    colours = _colours(upper)
    high, low = np.asarray(upper), np.asarray(lower)
    largest = int((high[..., :colours].astype(np.uint16) * 256 + low[..., :colours]).max())
    white = white_of(max(largest, 0 if declared is None else 2**declared - 1))
    result = np.array(high)
    for channel in range(high.shape[2]):
        values = high[..., channel].astype(np.uint16) * 256 + low[..., channel]
        full = channel >= colours and int(values.max()) > white
        result[..., channel] = scaled(values, 0, 65535 if full else white)
    return Image.fromarray(result, upper.mode)


def _extrema(image: Image.Image) -> list[tuple[int, int]]:
    found: Any = image.getextrema()
    return list(found) if isinstance(found[0], tuple) else [found]


def _colours(image: Image.Image) -> int:
    return {"RGBA": 3, "LA": 1}.get(image.mode, len(image.getbands()))


def flat_colours(image: Image.Image, grey: bool) -> tuple[Image.Image, bool]:
    """An image of eight bits as sRGB or grey, with transparency over white.

    Args:
        image: loaded.
        grey: it has no colours.

    Returns:
        the image, of mode ``"RGB"`` or ``"L"``, and whether its colour profile was ignored.

    Raises:
        Refused: its colours are CIE Lab.
    """
    if image.mode == "LAB":
        raise Refused(Reason.UNSUPPORTED, "CIE Lab colours are not supported; save it as RGB")
    profile = image.info.get("icc_profile")
    ignored = False
    transparent = image.has_transparency_data
    if transparent:
        image = image.convert("RGBA")
    elif image.mode not in ("L", "RGB", "CMYK"):
        image = image.convert("L" if grey else "RGB")
    if profile:
        try:
            image = _in_srgb(image, bytes(profile), grey)
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            ignored = True
    if transparent:
        white = Image.new("RGBA", image.size, "white")
        white.alpha_composite(image)
        image = white
    return image.convert("L" if grey else "RGB"), ignored


def _in_srgb(image: Image.Image, profile: bytes, grey: bool) -> Image.Image:
    if len(profile) > _MOST_PROFILE_BYTES:
        raise ValueError("the profile is too large")
    space = ImageCms.ImageCmsProfile(io.BytesIO(profile)).profile.xcolor_space.strip()
    mode = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}[space] if space in ("RGB", "GRAY", "CMYK") else ""
    usable = mode == ("CMYK" if image.mode == "CMYK" else "RGB") or (mode == "L" and grey)
    if not usable:
        raise ValueError(f"a profile for {space} in an image of mode {image.mode}")
    transform = _transform(profile, mode)
    if transform is None:
        return image
    found = ImageCms.applyTransform(image.convert(mode), transform)
    if found is None:
        raise ValueError("the profile gives no image")
    if image.mode == "RGBA":
        found.putalpha(image.getchannel("A"))
    return found


_MOST_PROFILE_BYTES = 2**23


@lru_cache(maxsize=8)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """From a profile to sRGB; ``None`` if it changes no colour by more than two of 255, as that of sRGB itself."""
    srgb = ImageCms.createProfile("sRGB")
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    transform = ImageCms.buildTransform(source, srgb, mode, "RGB", ImageCms.Intent.PERCEPTUAL)
    if mode == "CMYK":
        return transform
    steps = np.arange(0, 256, 15 if mode == "RGB" else 1, dtype=np.uint8)
    if mode == "RGB":
        colours = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(1, -1, 3)
    else:
        colours = steps[None]
    samples = Image.fromarray(colours)
    found = ImageCms.applyTransform(samples, transform)
    if found is None:
        raise ValueError("the profile gives no image")
    difference: Any = ImageChops.difference(found, samples.convert("RGB")).getextrema()
    return None if max(high for _, high in difference) <= 2 else transform
