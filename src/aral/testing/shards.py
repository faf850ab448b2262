"""Shards of small images, for tests of what reads them."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image


def small_images(count: int, seed: int = 0, side: int = 16) -> list[bytes]:
    """PNG files of random colours: four plain quarters each, no two alike."""
    noise = np.random.default_rng(seed)
    quarters = noise.integers(0, 256, (count, 2, 2, 3)).astype(np.uint8)
    return [as_png(each.repeat(side // 2, 0).repeat(side // 2, 1)) for each in quarters]


def as_png(pixels: UInt8[np.ndarray, "H W 3"]) -> bytes:
    """An image as the bytes of a PNG file."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def parquet_bytes(columns: Mapping[str, Any], row_group_size: int = 5) -> bytes:
    """A Parquet file with these columns, in pages of 16 rows; bytes become binary, mappings structs."""
    import pyarrow as pa
    from pyarrow import parquet

    file = io.BytesIO()
    table = pa.table(dict(columns))
    parquet.write_table(
        table, file, row_group_size=row_group_size, write_batch_size=16, data_page_size=1 << 16
    )
    return file.getvalue()


def tar_bytes(members: Sequence[tuple[str, bytes]]) -> bytes:
    """A tar with these members in this order."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, content in members:
            about = tarfile.TarInfo(name)
            about.size = len(content)
            archive.addfile(about, io.BytesIO(content))
    return file.getvalue()


def write_parquet(path: Path, keys: Sequence[str], images: Sequence[bytes]) -> Path:
    """A Parquet file with the columns ``image`` (structs as in Hugging Face datasets), ``id`` and ``label``."""
    structs = [{"bytes": image, "path": None} for image in images]
    path.write_bytes(parquet_bytes({"image": structs, "id": list(keys), "label": [0] * len(keys)}))
    return path


def write_tar(path: Path, keys: Sequence[str], images: Sequence[bytes]) -> Path:
    """A tar with an image and a class of each sample."""
    members = [
        member
        for key, image in zip(keys, images, strict=True)
        for member in ((f"{key}.png", image), (f"{key}.cls", b"0"))
    ]
    path.write_bytes(tar_bytes(members))
    return path
