import os
import socket
import time
from pathlib import Path

import pytest

from aral.data import Reason
from aral.data.scan import scan


def _touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    return path


def _reasons(root: Path, follow_links: bool = False) -> dict[str, Reason]:
    return {bad.path: bad.reason for bad in scan(root, follow_links).left_out}


def test_files_at_any_depth_are_found_once_in_order(tmp_path: Path) -> None:
    deep = "/".join(["d"] * 100)
    for name in ("b/2", "b/10", "a/z", deep + "/x", "c"):
        _touch(tmp_path / name)
    assert scan(tmp_path).files == tuple(sorted(["a/z", "b/10", "b/2", "c", deep + "/x"]))


def test_what_systems_leave_behind_is_passed_over(tmp_path: Path) -> None:
    for name in (
        ".hidden/a",
        "c/._a.jpg",
        "c/.DS_Store",
        "c/Thumbs.db",
        "__MACOSX/c/a",
        "c/desktop.ini",
        "c/a",
    ):
        _touch(tmp_path / name)
    found = scan(tmp_path)
    assert found.files == ("c/a",) and found.left_out == ()


def test_pipes_and_sockets_do_not_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _touch(tmp_path / "a")
    os.mkfifo(tmp_path / "pipe.jpg")
    monkeypatch.chdir(tmp_path)  # a socket's path must be short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s.png")
        (tmp_path / "null.png").symlink_to("/dev/null")
        started = time.monotonic()
        found = scan(tmp_path, follow_links=True)
    assert time.monotonic() - started < 1 and found.files == ("a",)
    assert [(bad.path, bad.reason) for bad in found.left_out] == [
        ("null.png", Reason.NOT_A_FILE),
        ("pipe.jpg", Reason.NOT_A_FILE),
        ("s.png", Reason.NOT_A_FILE),
    ]


def test_links_neither_loop_nor_leave_nor_count_twice(tmp_path: Path) -> None:
    root = tmp_path / "root"
    outside = _touch(tmp_path / "elsewhere" / "o")
    _touch(root / "real" / "a")
    (root / "real" / "loop").symlink_to(root)
    (root / "again").symlink_to(root / "real")  # before "real" by name, yet the real place wins
    (root / "broken").symlink_to(root / "nothing")
    (root / "self").symlink_to(root / "self")
    (root / "out").symlink_to(outside.parent)
    (root / "real" / "hard").hardlink_to(root / "real" / "a")
    found = scan(root)
    assert found.files == ("real/a",)
    assert _reasons(root) == {
        "real/loop": Reason.SAME_FILE,
        "real/hard": Reason.SAME_FILE,
        "again": Reason.SAME_FILE,
        "broken": Reason.BROKEN_LINK,
        "self": Reason.BROKEN_LINK,
        "out": Reason.OUTSIDE_FOLDER,
    }
    assert scan(root, follow_links=True).files == ("out/o", "real/a")


def test_the_folder_itself_may_be_a_link(tmp_path: Path) -> None:
    _touch(tmp_path / "real" / "a")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert scan(tmp_path / "link").files == ("a",)


def test_a_locked_folder_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _touch(tmp_path / "locked" / "a")
    _touch(tmp_path / "open" / "a")
    real = os.scandir

    def scandir(path: Path) -> object:
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    found = scan(tmp_path)
    assert found.files == ("open/a",)
    assert [(bad.path, bad.reason, bad.detail) for bad in found.left_out] == [
        ("locked", Reason.NO_PERMISSION, "Permission denied")
    ]
