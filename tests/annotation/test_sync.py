"""Sync: any folder, any names, repeated, and after a kill."""

from __future__ import annotations

import errno
import os
import random
import shutil
import socket
import time
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aral.annotation import Project, SyncProgress, sync
from aral.data.unreadable import Reason
from aral.errors import BadInput, RunFailed
from aral.lock import FolderLock
from aral.testing import answer_event, noise_image
from tests.annotation.conftest import MakeProject, label_map, save_pictures
from tests.forks import forked

from .test_concurrency import end

NAMES = (
    b"\xf0\x9f\x90\x88 cat.png",
    "مرحبا.png".encode(),
    unicodedata.normalize("NFC", "é.png").encode(),
    unicodedata.normalize("NFD", "é.png").encode(),
    b"two\nlines.png",
    b"\"quotes' & <img onerror=alert(1)>.png",
    b"-rf",
    b"no ending",
    b"x" * 255,
    b"caf\xe9\xff.png",
    b"deep/er/and \\ er/cat.png",
)


def names(project: Project) -> dict[int, str]:
    return {
        image_id: project.images.get(image_id).name for image_id in project.images.labelable_ids().tolist()
    }


def test_any_name_is_stored_byte_for_byte(photos: Path) -> None:
    for number, name in enumerate(NAMES):
        path = photos / os.fsdecode(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        noise_image(number).save(path, "PNG")
    with Project.create_or_open(photos) as project:
        project.images.sync()
        assert {os.fsencode(name) for name in names(project).values()} == set(NAMES)
        for image_id in names(project):
            assert project.images.picture(image_id, "full").startswith(b"\xff\xd8")
        assert {card.name for card in project.queue.next_cards("Ann", 20)} == set(names(project).values())


def test_bad_files_are_listed_and_stop_nothing(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_pictures(photos, 5)
    good = (photos / "000.png").read_bytes()
    bad: dict[str, tuple[bytes, Reason]] = {
        "empty.jpg": (b"", Reason.NOT_AN_IMAGE),
        "page.png": (b"<html></html>", Reason.NOT_AN_IMAGE),
        "cut.png": (good[:-20], Reason.TRUNCATED),
        "flipped.png": (good[:60] + bytes([good[60] ^ 1]) + good[61:], Reason.DAMAGED),
    }
    for name, (content, _) in bad.items():
        (photos / name).write_bytes(content)
    os.mkfifo(photos / "pipe.jpg")
    (photos / "null.png").symlink_to("/dev/null")
    (photos / "gone.png").symlink_to(photos / "nowhere.png")
    (photos / "loop").symlink_to(photos)
    (photos / "again.png").hardlink_to(photos / "001.png")
    noise_image(9, (4000, 3000)).save(photos / "huge.png")
    monkeypatch.chdir(photos)
    expected = {name: reason for name, (_, reason) in bad.items()}
    expected |= {
        "pipe.jpg": Reason.NOT_A_FILE,
        "null.png": Reason.NOT_A_FILE,
        "socket.png": Reason.NOT_A_FILE,
    }
    expected |= {"gone.png": Reason.BROKEN_LINK, "loop": Reason.SAME_FILE, "again.png": Reason.SAME_FILE}
    expected["huge.png"] = Reason.TOO_LARGE
    expected |= {"null.png": Reason.OUTSIDE_FOLDER}
    with socket.socket(socket.AF_UNIX) as server, Project.create_or_open(photos) as project:
        server.bind("socket.png")
        result = project.images.sync(max_pixels=1_000_000)
        found = {one.path: one.reason for one in project.images.unreadable()}
        if "again.png" not in found:  # of two names of one file the first in order is taken
            expected["001.png"] = expected.pop("again.png")
        assert found == expected
        assert (result.readable, result.unreadable, result.complete) == (5, len(expected), True)
        assert result.done == result.total == 10 and project.images.count() == 5
        # The limit is remembered; a larger one lets the large one in.
        assert project.images.sync().readable == 5
        assert project.images.sync(max_pixels=50_000_000).readable == 6


def test_numbers_follow_the_names_and_stay(project: Project) -> None:
    assert names(project) == {number: f"{number:03d}.png" for number in range(30)}
    image = project.images.get(7)
    assert (image.width, image.height, image.format, image.status) == (20, 16, "PNG", "ready")
    assert len(image.sha256) == 64 and image.duplicate_of is None
    noise_image(100).save(project.photos / "000a.png")
    result = project.images.sync()
    assert (result.added, result.done, result.total) == (1, 31, 31)
    assert project.images.get(30).name == "000a.png" and names(project)[7] == "007.png"
    with pytest.raises(BadInput, match="no image 31"):
        project.images.get(31)


def test_what_goes_and_what_changes_is_marked(project: Project) -> None:
    project.annotations.append_many([answer_event(image_id, 1) for image_id in (2, 3, 4)])
    (project.photos / "002.png").unlink()
    noise_image(200).save(project.photos / "003.png")
    (project.photos / "004.png").write_bytes(b"no longer an image")
    (project.photos / "005.png").touch()  # another time, the same content
    result = project.images.sync()
    assert (result.missing, result.changed, result.added) == (1, 2, 1)
    assert [project.images.get(image_id).status for image_id in (2, 3, 4, 5)] == [
        "missing",
        "changed",
        "changed",
        "ready",
    ]
    assert (project.images.get(30).name, project.images.get(30).status) == ("003.png", "ready")
    assert [one.path for one in project.images.unreadable()] == ["004.png"]
    assert label_map(project) == {2: 1, 3: 1, 4: 1}
    # The old content is what was answered, and what is still shown.
    assert np.array_equal(project.images.pixels().rows(np.array([3]))[0].shape, (3, 28, 28))
    assert project.images.thumbnail(3) != project.images.thumbnail(30)
    noise_image(3).save(project.photos / "003.png")
    noise_image(2).save(project.photos / "002.png")
    project.images.sync()
    assert [project.images.get(image_id).status for image_id in (2, 3, 30)] == ["ready", "ready", "changed"]
    assert project.images.count() == 29


def test_a_renamed_file_keeps_its_number_and_its_label(project: Project) -> None:
    project.annotations.append(answer_event(3, 1))
    (project.photos / "sub").mkdir()
    (project.photos / "003.png").rename(project.photos / "sub" / "three.png")
    result = project.images.sync()
    assert (result.missing, result.changed) == (0, 0) and project.images.count() == 30
    assert project.images.get(3).name == "sub/three.png" and project.images.get(3).status == "ready"
    assert label_map(project) == {3: 1}
    assert project.images.picture(3, "full").startswith(b"\xff\xd8")


def test_a_drive_may_be_unplugged_and_plugged_in_again(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.annotations.append(answer_event(3, 1))
    hidden = project.photos.parent / "unplugged"
    hidden.mkdir()
    for path in project.photos.glob("*.png"):
        path.rename(hidden / path.name)
    assert project.images.sync().missing == 30 and project.images.count() == 0
    for path in hidden.iterdir():
        path.rename(project.photos / path.name)
    monkeypatch.setattr("aral.annotation.sync.read_image_bytes", None)  # nothing is read again
    assert project.images.sync().missing == 0 and project.images.count() == 30
    assert label_map(project) == {3: 1}
    project.photos.rename(hidden / "photos")
    with pytest.raises(BadInput, match="There is no folder"):
        project.images.sync()
    (hidden / "photos").rename(project.photos)


def test_a_copy_steps_in_for_the_first_one(project: Project) -> None:
    project.annotations.append(answer_event(3, 1))
    shutil.copy(project.photos / "003.png", project.photos / "copy.png")
    project.images.sync()
    assert project.images.duplicates() == {3: (30,)} and label_map(project) == {3: 1, 30: 1}
    (project.photos / "003.png").unlink()
    project.images.sync()
    assert (project.images.get(3).name, project.images.get(3).status) == ("copy.png", "ready")
    assert (project.images.get(30).name, project.images.get(30).status) == ("003.png", "missing")
    assert label_map(project) == {3: 1} and project.images.count() == 30
    shutil.copy(project.photos / "copy.png", project.photos / "003.png")
    project.images.sync()
    assert project.images.duplicates() == {3: (30,)}


def test_an_open_image_that_goes_leaves_the_queue(project: Project) -> None:
    project.queue.replace(0, np.array([5, 6]), np.zeros(2), ["", ""], "x", np.array([7]))
    (project.photos / "005.png").unlink()
    project.images.sync()
    assert project.queue.remaining() == 1
    assert [card.image_id for card in project.queue.next_cards("Ann", 2)] == [6, 7]


def test_progress_is_reported_and_stopping_stops(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_pictures(photos, 40)
    (photos / "bad.png").write_bytes(b"no")
    shutil.copy(photos / "001.png", photos / "zz.png")
    monkeypatch.setattr(sync, "BATCH_IMAGES", 8)
    monkeypatch.setattr(sync, "AHEAD", 4)
    told: list[SyncProgress] = []
    with Project.create_or_open(photos) as project:
        result = project.images.sync(told.append, stopping=lambda: bool(told))
        assert not result.complete and 8 <= result.done < 42 and result.total == 42
        assert project.images.count() == result.readable  # some are there already, and can be answered
        assert len(project.queue.next_cards("Ann", 8)) == 8
        told.clear()
        assert project.images.sync(told.append).complete
        assert [one.done for one in told] == sorted(one.done for one in told)
        assert told[-1] == SyncProgress(done=42, total=42, readable=41, duplicates=1, unreadable=1)


def test_a_killed_sync_continues_to_the_same_end(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync, "BATCH_IMAGES", 5)
    save_pictures(photos, 60)
    shutil.copytree(photos / "..", tmp_path / "twin", ignore=shutil.ignore_patterns("twin"))
    (photos / "bad.png").write_bytes(b"no")
    (tmp_path / "twin" / "photos" / "bad.png").write_bytes(b"no")
    moments = random.Random(5)

    def work() -> None:
        with Project.create_or_open(photos) as project:
            project.images.sync()
        time.sleep(60)

    for _ in range(5):
        child = forked(work)
        time.sleep(moments.uniform(0.01, 0.15))
        end(child)
    with (
        Project.create_or_open(photos) as killed,
        Project.create_or_open(tmp_path / "twin" / "photos") as whole,
    ):
        assert killed.images.sync().complete and whole.images.sync().complete
        ids = whole.images.labelable_ids()
        assert np.array_equal(killed.images.labelable_ids(), ids) and names(killed) == names(whole)
        assert np.array_equal(killed.images.pixels().rows(ids), whole.images.pixels().rows(ids))
        assert np.array_equal(killed.estimate.image_ids(), whole.estimate.image_ids())
        assert [killed.images.thumbnail(one) for one in ids.tolist()] == [
            whole.images.thumbnail(one) for one in ids.tolist()
        ]
        assert killed.images.unreadable() == whole.images.unreadable()
        assert not list(killed.folder.rglob(".*.jpg.*"))


def test_a_full_disk_is_named_and_the_next_sync_continues(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_pictures(photos, 10)

    write = os.pwrite

    def full(descriptor: int, data: bytes, offset: int) -> int:
        if len(data) > 100:  # not the number in the lock file
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data, offset)

    with Project.create_or_open(photos) as project:
        with monkeypatch.context() as patched:
            patched.setattr(os, "pwrite", full)
            with pytest.raises(
                RunFailed, match=r"\.aral stopped: No space left on device \(\d+ bytes free\)"
            ):
                project.images.sync()
        assert project.images.count() == 0 and project.queue.next_cards("Ann", 3) == []
        assert project.images.sync().readable == 10
        with monkeypatch.context() as patched:
            patched.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 0, 10))
            save_pictures(photos, 10, first=10)
            with pytest.raises(RunFailed, match=r"needs \d+ more bytes, and 10 bytes are free"):
                project.images.sync()
        assert project.images.count() == 10


def test_two_imports_at_once_are_refused(project: Project) -> None:
    lock = FolderLock(project.folder, "import.lock")
    with pytest.raises(BadInput, match=f"sync of {project.folder} is in use by process {os.getpid()}"):
        project.images.sync()
    lock.release()
    assert project.images.sync().complete


def test_nothing_among_the_photos_is_touched(make_project: MakeProject, photos: Path) -> None:
    project = make_project(5)
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in photos.glob("*.png")}
    project.annotations.append(answer_event(1, 0))
    project.images.thumbnail(1)
    project.images.picture(2, "full")
    project.images.sync()
    after = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in photos.glob("*.png")}
    assert before == after and {path.name for path in photos.iterdir()} == {
        ".aral",
        *(path.name for path in before),
    }


def test_an_empty_folder_has_no_images_and_says_so(photos: Path) -> None:
    with Project.create_or_open(photos) as project:
        assert project.images.sync().total == 0
        assert project.images.count() == 0 and project.queue.next_cards("Ann", 3) == []
        assert project.estimate.image_ids().size == 0 and project.images.near_duplicates() == ()
        with pytest.raises(BadInput, match="no images yet"):
            project.images.pixels()


def test_motion_photos_are_read(photos: Path) -> None:
    """Phones append a film to the picture, in which any marker of a JPEG may occur."""
    film = b"\0\0\0\x18ftypmp42\0\0\0\0isommp42" + b"\xff\xd8\xff\xda\xff\xd9\xff\xda" * 50
    for number in range(3):
        noise_image(number).save(photos / f"{number}.jpg")
        (photos / f"{number}.jpg").write_bytes((photos / f"{number}.jpg").read_bytes() + film[: 60 * number])
    with Project.create_or_open(photos) as project:
        result = project.images.sync()
        assert (result.readable, result.unreadable) == (3, 0)


def test_a_file_is_read_again_when_its_decoder_was_installed(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise_image(0).save(photos / "0.png")
    noise_image(1).save(photos / "1.avif", "AVIF")
    with Project.create_or_open(photos) as project:
        with monkeypatch.context() as without:
            without.setattr("aral.data.image_file.missing_decoder", {"AVIF": "install it"}.get)
            project.images.sync()
            (bad,) = project.images.unreadable()
            assert (bad.path, bad.reason, bad.detail) == ("1.avif", Reason.UNSUPPORTED, "install it")
        assert project.images.sync().added == 1 and not project.images.unreadable()


def test_files_that_could_not_be_read_by_an_earlier_version_are_read_again(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise_image(0).save(photos / "0.png")
    noise_image(1).save(photos / "1.avif", "AVIF")
    with Project.create_or_open(photos) as project:
        with monkeypatch.context() as earlier:
            earlier.setattr("aral.data.image_file.kind_of", lambda data: "PNG" if b"PNG" in data else None)
            project.images.sync()
            assert [bad.reason for bad in project.images.unreadable()] == [Reason.NOT_AN_IMAGE]
        assert project.images.sync().added == 0, "it looks the same"
        monkeypatch.setattr("aral.annotation.sync.READER_VERSION", 99)
        assert project.images.sync().added == 1 and not project.images.unreadable()


def test_scaled_images_and_broken_profiles_are_counted_once(photos: Path) -> None:
    Image.fromarray(np.arange(900, dtype=np.uint16).reshape(30, 30)).save(photos / "wide.png")
    noise_image(0).save(photos / "profile.png", icc_profile=b"broken")
    noise_image(1).save(photos / "plain.png")
    with Project.create_or_open(photos) as project:
        result = project.images.sync()
        assert (result.scaled, result.profiles_ignored) == (1, 1)
        assert project.images.pixels().rows(np.array([2])).max() > 200
        result = project.images.sync()
        assert (result.scaled, result.profiles_ignored) == (0, 0)
