"""Folders that are larger than memory: decoded once into a file, the same images as in memory, and nothing lost."""

from __future__ import annotations

import shutil
from collections import namedtuple
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from aral.benchmarking.runs import data_fingerprint
from aral.data import DataSet, FolderImages, Limits, folder_dataset, labelled_folder_dataset
from aral.data import decoded_files as module
from aral.data.decoded_files import DECODED, PIXELS, all_same, chosen_rows, mapped
from aral.data.folder import read_files
from aral.errors import RunFailed
from aral.randomness import Stream
from aral.testing import save_noise

SIDE = 6
STREAM = Stream.root(0)


@pytest.fixture(autouse=True)
def kept_from_the_first_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FROM_BYTES", 1)
    monkeypatch.setattr(module, "_FILES_AT_ONCE", 3)
    monkeypatch.setattr(module, "_BYTES_AT_ONCE", 5 * 3 * SIDE * SIDE)


def photos(root: Path, count: int = 10) -> list[str]:
    """Images of two classes, a file that is none, and an animation."""
    names = []
    for number in range(count):
        names.append(f"{'cats' if number % 2 else 'dogs'}/{number:02d}.png")
        save_noise(root / names[-1], number)
    (root / "cats" / "04 broken.png").write_bytes(b"\x89PNG no")
    frames = [Image.new("RGB", (8, 8), (value, 0, 0)) for value in (200, 0)]
    frames[0].save(root / "dogs" / "03 moving.gif", save_all=True, append_images=frames[1:])
    return sorted([*names, "cats/04 broken.png", "dogs/03 moving.gif"])


Read = Callable[..., FolderImages]


@pytest.fixture
def kept(tmp_path: Path) -> Read:
    """Reads files through a cache."""
    return partial(read_files, side=SIDE, cache=tmp_path / "cache")


def same(one: FolderImages, other: FolderImages) -> bool:
    lists = ("paths", "formats", "first_frames", "scaled", "profiles_ignored", "unreadable")
    alike = all(getattr(one, each) == getattr(other, each) for each in lists)
    return alike and torch.equal(one.images.pixels, other.images.pixels)


def place_of(tmp_path: Path) -> Path:
    (place,) = (tmp_path / "cache").iterdir()
    return place


def test_the_images_are_those_of_a_reading_into_memory(tmp_path: Path, kept: Read) -> None:
    names = photos(tmp_path / "photos")
    in_memory = read_files(tmp_path / "photos", names, SIDE)
    first, again = kept(tmp_path / "photos", names), kept(tmp_path / "photos", names)
    assert same(first, in_memory) and same(again, in_memory)
    assert first.first_frames == ("dogs/03 moving.gif",)
    assert [bad.path for bad in first.unreadable] == ["cats/04 broken.png"]
    assert first.place is not None and in_memory.place is None
    assert (first.place / PIXELS).stat().st_size == 11 * 3 * SIDE * SIDE


def test_images_that_fit_into_memory_are_not_kept(
    tmp_path: Path, kept: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = photos(tmp_path / "photos")
    monkeypatch.setattr(module, "FROM_BYTES", len(names) * 3 * SIDE * SIDE + 1)
    assert kept(tmp_path / "photos", names).place is None
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("stop_after", [1, 2, 3, 7, 12])
def test_a_reading_that_was_stopped_goes_on(tmp_path: Path, kept: Read, stop_after: int) -> None:
    names = photos(tmp_path / "photos")

    def stop(done: int, total: int) -> None:
        if done == stop_after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        kept(tmp_path / "photos", names, progress=stop)
    seen: list[tuple[int, int]] = []
    read = kept(tmp_path / "photos", names, progress=lambda *each: seen.append(each))
    assert seen == [(done, len(names)) for done in range(stop_after + 1, len(names) + 1)]
    assert same(read, read_files(tmp_path / "photos", names, SIDE))


@pytest.mark.parametrize("cut", range(1, 120, 13))
def test_a_kill_loses_at_most_the_files_of_the_last_line(tmp_path: Path, kept: Read, cut: int) -> None:
    """Rows are written before the line that names them; a line may be there in part."""
    names = photos(tmp_path / "photos")
    kept(tmp_path / "photos", names)
    recorded = place_of(tmp_path) / DECODED
    recorded.write_bytes(recorded.read_bytes()[:-cut])
    whole_lines = recorded.read_bytes().count(b"\n")
    seen: list[int] = []
    read = kept(tmp_path / "photos", names, progress=lambda done, _: seen.append(done))
    assert seen == list(range(3 * whole_lines + 1, len(names) + 1))
    assert same(read, read_files(tmp_path / "photos", names, SIDE))


@pytest.mark.parametrize("damage", ["rows", "words", "too many"])
def test_damaged_files_are_written_anew(
    tmp_path: Path, kept: Read, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    names = photos(tmp_path / "photos")
    kept(tmp_path / "photos", names)
    pixels, recorded = place_of(tmp_path) / PIXELS, place_of(tmp_path) / DECODED
    if damage == "rows":
        pixels.write_bytes(pixels.read_bytes()[:-1])
    elif damage == "words":
        recorded.write_bytes(b"{" + recorded.read_bytes())
    else:
        recorded.write_bytes(recorded.read_bytes() * 2)
    assert same(kept(tmp_path / "photos", names), read_files(tmp_path / "photos", names, SIDE))
    assert "decoded anew" in caplog.text


def test_another_file_of_the_same_name_is_decoded(tmp_path: Path, kept: Read) -> None:
    names = photos(tmp_path / "photos")
    before = kept(tmp_path / "photos", names).images.pixels.clone()
    save_noise(tmp_path / "photos" / names[0], 77)
    Image.new("RGB", (9, 9), (1, 2, 3)).save(tmp_path / "photos" / names[0])
    after = kept(tmp_path / "photos", names).images.pixels
    assert not torch.equal(after[0], before[0]) and torch.equal(after[1:], before[1:])


def test_a_disk_without_room_is_told_before_anything_is_decoded(
    tmp_path: Path, kept: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = photos(tmp_path / "photos")
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(len(names) * 3 * SIDE * SIDE - 1))
    with pytest.raises(RunFailed, match=r"0\.0 GiB are free"):
        kept(tmp_path / "photos", names)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(len(names) * 3 * SIDE * SIDE))
    kept(tmp_path / "photos", names)


def test_more_than_memory_can_be_mapped(tmp_path: Path) -> None:
    """300 GB that nothing was written to take no space on the disk."""
    path, shape = tmp_path / "large", (300_000, 1, 1000, 1000)
    with path.open("wb") as file:
        file.seek(123_456 * 1_000_000)
        file.write(b"\7")
        file.truncate(int(np.prod(shape)))
    pixels = mapped(path, shape)
    assert pixels.shape == shape and pixels[123_456].sum() == 7 and pixels[-1].sum() == 0


def mapped_file(address: int) -> tuple[str, str]:
    """What may be done with a page of this process, and the file it is of."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        where, permissions, _, _, _, *path = line.split(maxsplit=5)
        start, end = (int(each, 16) for each in where.split("-"))
        if start <= address < end:
            return permissions, "".join(path)
    raise AssertionError("no such page")


DataSets = Callable[[Path, "Read | None"], DataSet]


def own_split(root: Path, reader: Read | None) -> DataSet:
    photos(root)
    save_noise(root / "cats" / "twice.png", 5)
    shutil.copy(root / "cats" / "twice.png", root / "dogs" / "twice.png")
    return folder_dataset(root, SIDE, 0.3, STREAM, reader=reader)


def given_split(root: Path, reader: Read | None) -> DataSet:
    photos(root / "train", 16)
    photos(root / "val", 8)
    return folder_dataset(root, SIDE, None, STREAM, reader=reader)


def limited_split(root: Path, reader: Read | None) -> DataSet:
    """The broken files are replaced by others, which are read in a second turn."""
    photos(root / "train", 6)
    photos(root / "val", 4)
    return folder_dataset(root, SIDE, None, STREAM, limits=Limits(7, 4, STREAM), reader=reader)


def table(root: Path, reader: Read | None) -> DataSet:
    names = photos(root)
    rows = [f"{name},{name.split('/')[0]}" for name in names]
    (root.parent / "labels.csv").write_text("\n".join(["file,label", *rows[:-1]]))
    return labelled_folder_dataset(
        root, root.parent / "labels.csv", SIDE, 0.3, Limits(None, None, STREAM), reader
    )


@pytest.mark.parametrize("make", [own_split, given_split, limited_split, table])
def test_data_sets_are_the_same_as_in_memory(tmp_path: Path, kept: Read, make: DataSets) -> None:
    from_memory, from_file = make(tmp_path / "photos", None), make(tmp_path / "photos", kept)
    assert data_fingerprint(from_file) == data_fingerprint(from_memory)
    assert (from_file.note, from_file.pool_files) == (from_memory.note, from_memory.pool_files)
    assert torch.equal(from_file.pool.pixels, from_memory.pool.pixels)


def test_a_whole_split_is_used_where_it_is(tmp_path: Path, kept: Read) -> None:
    """Neither the pool nor the test set is copied."""
    made = given_split(tmp_path / "photos", kept)
    files = sorted((tmp_path / "cache").glob(f"*/{PIXELS}"), key=lambda path: path.stat().st_size)
    for pixels, file in zip((made.test.images.pixels, made.pool.pixels), files, strict=True):
        assert pixels.numel() == file.stat().st_size
        assert mapped_file(pixels.data_ptr()) == ("r--s", str(file))


@given(st.lists(st.integers(1, 9), min_size=1, max_size=4), st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_chosen_rows_are_those_of_all_parts_in_order(
    tmp_path: Path, sizes: Sequence[int], data: st.DataObject
) -> None:
    whole = torch.arange(sum(sizes), dtype=torch.uint8)[:, None, None, None].repeat(1, 1, 2, 3)
    rows = np.array(data.draw(st.lists(st.integers(0, sum(sizes) - 1), min_size=1)), dtype=np.int64)
    parts = list(whole.split(list(sizes)))
    for place in (None, tmp_path):
        assert torch.equal(chosen_rows(parts, rows, place), whole[torch.from_numpy(rows)])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("different", "expected"), [(None, True), (0, False), (6, False), (12, False)])
def test_whether_all_images_are_the_same(different: int | None, expected: bool) -> None:
    pixels = torch.full((13, 3, SIDE, SIDE), 9, dtype=torch.uint8)
    if different is not None:
        pixels[different, 2, SIDE - 1, SIDE - 1] = 8
    assert all_same(pixels) is expected


def test_images_without_some_files_keep_what_is_known_of_the_others(tmp_path: Path, kept: Read) -> None:
    names = photos(tmp_path / "photos", 4)
    read = kept(tmp_path / "photos", names)
    left = read.without({names[1], "dogs/00.png"})
    assert left.paths == tuple(name for name in read.paths if name not in (names[1], "dogs/00.png"))
    known, rows = (
        dict(zip(read.paths, read.formats, strict=True)),
        [read.paths.index(name) for name in left.paths],
    )
    assert set(known.values()) == {"PNG", "GIF"}
    assert left.formats == tuple(known[name] for name in left.paths)
    assert torch.equal(left.images.pixels, read.images.pixels[rows])
    assert read.without({"dogs/03 moving.gif"}).first_frames == () and left.first_frames == read.first_frames
    assert left.unreadable == read.unreadable
