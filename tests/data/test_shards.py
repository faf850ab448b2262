"""Shards are read completely and in order, from any file system, or refused with a reason."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aral.data.shards import NAMES, ROWS, Kind, Shard, ShardReading, find_shards, open_shard, open_shards
from aral.data.unreadable import Reason, Refused
from aral.errors import BadInput, RunFailed
from aral.testing import parquet_bytes, small_images, tar_bytes, write_parquet, write_tar

IMAGES = small_images(12)
EMPTY = parquet_bytes({"image": pa.array([], pa.binary())})
TWO = tar_bytes([("a.png", b"1"), ("a.seg.png", b"2")])
KEYS = [f"image-{number}" for number in range(12)]


@pytest.fixture
def memory() -> Iterator[fsspec.AbstractFileSystem]:
    """The file system of ``memory://``, empty before and after."""
    system = fsspec.filesystem("memory")
    system.store.clear()
    yield system
    system.store.clear()


def read(shard: Shard) -> dict[str, bytes | Refused]:
    return {image.key: image.content for image in ShardReading(shard)}


def test_both_kinds_give_the_images_that_were_written(tmp_path: Path) -> None:
    parquet = open_shard(str(write_parquet(tmp_path / "a.parquet", KEYS, IMAGES)))
    assert (parquet.kind, parquet.image, parquet.keys, parquet.count) == (
        Kind.PARQUET,
        "image.bytes",
        "id",
        12,
    )
    assert parquet.not_read == ("label",)
    assert list(read(parquet).items()) == list(zip(KEYS, IMAGES, strict=True))
    tar = open_shard(str(write_tar(tmp_path / "a.tar", KEYS, IMAGES)))
    assert (tar.kind, tar.keys, tar.count) == (Kind.WEBDATASET, NAMES, None)
    reading = ShardReading(tar)
    assert [(each.key, each.content) for each in reading] == list(zip(KEYS, IMAGES, strict=True))
    assert reading.not_read == {"cls": 12} and reading.without_image == 0
    assert reading.bytes_read == tar.bytes == (tmp_path / "a.tar").stat().st_size
    assert [Shard.of_json(each.as_json()) for each in (parquet, tar)] == [parquet, tar]


def test_shards_of_an_object_store_are_found_by_pattern(memory: fsspec.AbstractFileSystem) -> None:
    for number in (2, 0, 1):
        part = slice(4 * number, 4 * number + 4)
        content = parquet_bytes({"image": IMAGES[part], "key": KEYS[part]})
        memory.pipe(f"/pool/{number}.parquet", content)
    found = find_shards(["memory://pool/2.parquet", "memory://pool/*.parquet"])
    assert found.addresses == tuple(f"memory:///pool/{number}.parquet" for number in (2, 0, 1))
    assert found.repeated == 1
    shards = open_shards(found.addresses)
    assert [key for shard in shards for key in read(shard)] == [*KEYS[8:], *KEYS[:8]]


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=100), st.integers(1, 40))
def test_every_row_of_a_parquet_file_is_read_in_order(contents: list[bytes], group: int) -> None:
    system = fsspec.filesystem("memory")
    system.pipe("/rows.parquet", parquet_bytes({"picture": contents}, group))
    shard = open_shard("memory://rows.parquet")
    found = list(read(shard).items())
    assert [key for key, _ in found] == [f"memory://rows.parquet#{row}" for row in range(len(contents))]
    assert [b"" if isinstance(content, Refused) else content for _, content in found] == contents


@given(
    st.dictionaries(
        st.text("abc/", min_size=1, max_size=8).map(lambda text: f"x{text}y"),
        st.tuples(st.binary(min_size=1, max_size=2000), st.sampled_from(["jpg", "png", "JPG"])),
        min_size=1,
        max_size=30,
    ),
    st.integers(0, 3),
)
def test_every_image_of_a_tar_is_read_in_order(samples: dict[str, tuple[bytes, str]], texts: int) -> None:
    members = []
    for key, (content, extension) in samples.items():
        members += [(f"{key}.{number}.json", b"{}") for number in range(texts)]
        members.append((f"./{key}.{extension}", content))
    fsspec.filesystem("memory").pipe("/samples.tar", tar_bytes(members))
    assert list(read(open_shard("memory://samples.tar")).items()) == [
        (key, content) for key, (content, _) in samples.items()
    ]


def test_a_tar_that_is_cut_anywhere_is_refused(tmp_path: Path) -> None:
    whole = write_tar(tmp_path / "whole.tar", KEYS[:2], IMAGES[:2]).read_bytes()
    end = len(whole.rstrip(b"\0"))
    cuts = [*range(512, end, 512), *range(600, end, 700)]
    assert len(cuts) > 8
    for cut in cuts:
        path = tmp_path / "cut.tar"
        path.write_bytes(whole[:cut])
        with pytest.raises(BadInput, match=r"cut\.tar is cut short or damaged"):
            read(open_shard(str(path)))


def test_a_damaged_header_or_a_second_archive_does_not_end_a_tar_in_silence(tmp_path: Path) -> None:
    whole = write_tar(tmp_path / "whole.tar", KEYS, IMAGES).read_bytes()
    second = whole.index(b"image-1.png")
    for name, content in (
        ("joined", whole + whole),
        ("damaged", whole[:second] + b"X" * 512 + whole[second + 512 :]),
    ):
        path = tmp_path / f"{name}.tar"
        path.write_bytes(content)
        with pytest.raises(
            BadInput, match="something follows the end of the archive, or a header is damaged"
        ):
            read(open_shard(str(path)))


def test_a_parquet_file_that_is_cut_or_damaged_is_refused(tmp_path: Path) -> None:
    whole = write_parquet(tmp_path / "whole.parquet", KEYS, IMAGES).read_bytes()
    path = tmp_path / "cut.parquet"
    for cut in (len(whole) - 1, len(whole) // 2, 10):
        path.write_bytes(whole[:cut])
        with pytest.raises(BadInput, match=r"cut\.parquet is cut short or damaged"):
            open_shard(str(path))
    path.write_bytes(whole[:4] + b"\xff" * 300 + whole[304:])
    with pytest.raises(BadInput, match=r"cut\.parquet is cut short or damaged"):
        read(open_shard(str(path)))


def test_images_without_bytes_have_a_reason_and_stop_nothing(memory: fsspec.AbstractFileSystem) -> None:
    structs = [
        {"bytes": IMAGES[0], "path": "a"},
        {"bytes": None, "path": "b"},
        None,
        {"bytes": b"", "path": "d"},
    ]
    memory.pipe("/gaps.parquet", parquet_bytes({"image": structs, "id": [3, 4, 5, 6]}))
    found = read(open_shard("memory://gaps.parquet"))
    assert list(found) == ["3", "4", "5", "6"] and found["3"] == IMAGES[0]
    reasons = [content.reason for content in found.values() if isinstance(content, Refused)]
    assert reasons == [Reason.MISSING, Reason.MISSING, Reason.NOT_AN_IMAGE]


def test_members_that_are_no_image_are_counted_and_named(memory: fsspec.AbstractFileSystem) -> None:
    members = [
        ("a.png", IMAGES[0]),
        ("a.json", b"{}"),
        ("b.txt", b"no image"),
        ("._a.png", b"\0"),
        ("c", b"x"),
    ]
    memory.pipe("/some.tar", tar_bytes(members))
    reading = ShardReading(open_shard("memory://some.tar"))
    assert [each.key for each in reading] == ["a"]
    assert reading.not_read == {"json": 1, "txt": 1, "_a.png": 1, "no extension": 1}
    assert reading.without_image == 3


@pytest.mark.parametrize(
    ("columns", "image", "keys", "found"),
    [
        ({"image": IMAGES, "id": KEYS}, None, None, ("image", "id")),
        ({"image": IMAGES, "thumbnail": IMAGES}, "thumbnail", None, ("thumbnail", ROWS)),
        ({"image": IMAGES, "id": KEYS, "path": KEYS}, None, "path", ("image", "path")),
        ({"image": IMAGES, "id": KEYS, "path": KEYS}, None, ROWS, ("image", ROWS)),
        ({"image": IMAGES, "caption": KEYS}, None, "caption", ("image", "caption")),
        (
            {"image": [{"bytes": one, "path": key} for one, key in zip(IMAGES, KEYS, strict=True)]},
            *(None, None),
            ("image.bytes", "image.path"),
        ),
        ({"image": [{"bytes": one, "path": None} for one in IMAGES]}, None, None, ("image.bytes", ROWS)),
        (
            {"image": pa.array(IMAGES, pa.binary_view()), "id": pa.array(KEYS).dictionary_encode()},
            *(None, None),
            ("image", "id"),
        ),
        (
            {"image": pa.array(IMAGES, pa.large_binary()), "id": pa.array(KEYS, pa.string_view())},
            *(None, None),
            ("image", "id"),
        ),
        (
            {
                "image": [{"bytes": one, "path": "x"} for one in IMAGES[:11]]
                + [{"bytes": IMAGES[11], "path": None}]
            },
            *(None, None),
            ("image.bytes", ROWS),
        ),
    ],
)
def test_columns_are_chosen_only_where_there_is_one_choice(
    memory: fsspec.AbstractFileSystem,
    columns: dict[str, Any],
    image: str | None,
    keys: str | None,
    found: tuple[str, str],
) -> None:
    memory.pipe("/x.parquet", parquet_bytes(columns))
    shard = open_shard("memory://x.parquet", image, keys)
    assert (shard.image, shard.keys) == found
    assert list(read(shard).values()) == IMAGES


@pytest.mark.parametrize(
    ("name", "content", "options", "said"),
    [
        (
            "x.parquet",
            parquet_bytes({"a": IMAGES, "b": IMAGES}),
            {},
            "2 columns of .*: a, b.*--image-column a",
        ),
        ("x.parquet", parquet_bytes({"a": KEYS}), {}, "no columns of encoded images; columns: a"),
        ("x.parquet", parquet_bytes({"a": IMAGES}), {"image": "b"}, "no column 'b' of encoded images"),
        ("x.parquet", parquet_bytes({"a": IMAGES, "id": KEYS, "key": KEYS}), {}, "id, key.*--keys id"),
        ("x.parquet", parquet_bytes({"a": IMAGES}), {"keys": "id"}, "no column 'id'.*--keys rows"),
        ("x.parquet", EMPTY, {}, "holds no images"),
        (
            "x.parquet",
            parquet_bytes({"a": IMAGES[:2], "id": ["k", "k"]}),
            {},
            "'k' is of rows 0 and 1.*--keys rows",
        ),
        ("x.parquet", parquet_bytes({"a": IMAGES[:2], "id": ["k", None]}), {}, "Row 1 .* has an empty key"),
        ("x.parquet", b"", {}, "is empty"),
        ("x.parquet", b"PK\3\4" + bytes(range(256)), {}, "neither a Parquet file nor a tar"),
        ("x.tar", b"\x1f\x8b" + bytes(range(256)), {}, "gunzip"),
        ("x.tar", tar_bytes([]), {}, "holds no images"),
        ("x.tar", tar_bytes([("a.json", b"{}")]), {}, "holds no images"),
        (
            "x.tar",
            tar_bytes([("a.png", b"1"), ("a.seg.png", b"2")]),
            {},
            r"two images: \.png and \.seg\.png.*--image-column png",
        ),
        (
            "x.tar",
            tar_bytes([("a.png", b"1"), ("b.png", b"1"), ("a.png", b"2")]),
            {},
            "'a' is of rows 0 and 2",
        ),
        ("x.tar", tar_bytes([("a.png", b"1")]), {"keys": "id"}, "a tar, which has no column 'id'"),
    ],
)
def test_what_is_wrong_or_ambiguous_is_refused_with_what_to_type(
    memory: fsspec.AbstractFileSystem, name: str, content: bytes, options: dict[str, str], said: str
) -> None:
    memory.pipe(f"/{name}", content)
    with pytest.raises(BadInput) as refused:
        read(open_shard(f"memory://{name}", **options))
    text = str(refused.value).replace("\n", " ")
    assert name in text and re.search(said, text)


def test_an_extension_settles_which_image_of_a_sample_is_meant(memory: fsspec.AbstractFileSystem) -> None:
    memory.pipe("/x.tar", tar_bytes([("a.png", b"1"), ("a.seg.png", b"2"), ("b.seg.png", b"3")]))
    reading = ShardReading(open_shard("memory://x.tar", image="seg.png"))
    assert [(each.key, each.content) for each in reading] == [("a", b"2"), ("b", b"3")]
    assert reading.not_read == {"png": 1}


def test_a_folder_of_shards_is_read_and_never_guessed_about(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    write_tar(tmp_path / "b.tar", KEYS[:2], IMAGES[:2])
    write_tar(tmp_path / "deep" / "a.tar", KEYS[2:4], IMAGES[2:4])
    pool = tmp_path.name  # whose name occurs in that of a shard
    write_tar(tmp_path / f"{pool}_1.tar", KEYS[4:6], IMAGES[4:6])
    (tmp_path / "README.md").write_text("text")
    (tmp_path / "_unfinished.tar").write_bytes(b"x")
    found = find_shards([str(tmp_path)])
    assert found.addresses == tuple(str(tmp_path / name) for name in ("b.tar", "deep/a.tar", f"{pool}_1.tar"))
    assert found.other_files == {"md": 1, "tar": 1}
    (tmp_path / "photo.JPG").write_bytes(b"x")
    with pytest.raises(BadInput, match=r"1 image file beside 3 shards(.|\n)*/\*\.tar"):
        find_shards([str(tmp_path)])
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "1.png").write_bytes(b"x")
    with pytest.raises(BadInput, match="1 image but no shard"):
        find_shards([str(tmp_path / "photos")])


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("memory://pool/*.tar", "No file matches"),
        ("memory://pool/1.tar", "There is no shard"),
        ("nowhere://pool/1.tar", "Protocol not known"),
        ("dask://pool/1.tar", "needs a package that is not installed"),
    ],
)
def test_addresses_that_lead_nowhere_are_refused(
    memory: fsspec.AbstractFileSystem, address: str, said: str
) -> None:
    with pytest.raises(BadInput, match=said):
        find_shards([address])


def test_a_shard_that_changes_is_refused(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", KEYS, IMAGES)
    shard = open_shard(str(path))
    os.utime(path, (1, 1))
    with pytest.raises(BadInput, match="has changed meanwhile"):
        read(shard)
    path.unlink()
    with pytest.raises(BadInput, match="There is no shard"):
        read(shard)


def test_a_lost_connection_is_no_damage(
    memory: fsspec.AbstractFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory.pipe("/a.tar", tar_bytes([("a.png", IMAGES[0])]))
    shard = open_shard("memory://a.tar")

    def lost(*arguments: object, **options: object) -> object:
        raise ConnectionResetError(104, "Connection reset by peer")

    monkeypatch.setattr(type(memory), "open", lost)
    with pytest.raises(RunFailed, match="Connection reset"):
        read(shard)
