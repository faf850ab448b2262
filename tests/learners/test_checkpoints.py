"""A checkpoint is the old or the new one, whole, whatever happens; any change of it is noticed."""

from __future__ import annotations

import errno
import json
import os
import resource
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from aral.durable import write_sealed
from aral.errors import RunFailed
from aral.learners.checkpoints import DamagedCheckpoint, load, newest_valid, prune, save
from tests.forks import status_of

FILES = ("tensors.safetensors", "document.json", "MANIFEST.json")


def weights(seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {"w": torch.randn(50, 3, generator=generator), "step": torch.tensor(seed)}


def bits(tensor: Tensor) -> Tensor:
    return tensor.contiguous().reshape(-1).view(torch.uint8)


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    """Equal names, types, shapes and bits."""
    return a.keys() == b.keys() and all(
        a[name].dtype == b[name].dtype
        and a[name].shape == b[name].shape
        and bits(a[name]).equal(bits(b[name]))
        for name in a
    )


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pushing to the disk guards against loss of power, which no test here can cause; one looks for it."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


# Round trip


@pytest.mark.parametrize(
    "tensor",
    [
        torch.tensor([0.0, -0.0, 1e-45, -3.4e38, 0.1]),
        torch.tensor([2**63 - 1, -(2**63), 0]),
        torch.arange(256, dtype=torch.uint8).reshape(4, 8, 8),
        torch.tensor([0.1, 1e-320], dtype=torch.float64),
        torch.tensor([0.1, 65504], dtype=torch.float16),
        torch.tensor([0.1, 3e38], dtype=torch.bfloat16),
        torch.tensor([True, False]),
        torch.tensor(3),
        torch.zeros(0, 5),
        torch.arange(12.0).reshape(3, 4).t(),
        torch.arange(12.0)[::3],
        torch.ones(1).expand(7),
        torch.nn.Parameter(torch.ones(2)),
    ],
    ids=lambda tensor: f"{tensor.dtype}{list(tensor.shape)}",
)
def test_tensors_come_back_bit_for_bit(tmp_path: Path, tensor: Tensor) -> None:
    saved = {"t": tensor.detach().clone()}
    checkpoint = load(save(tmp_path, "a", {"t": tensor}, {}))
    assert same(checkpoint.tensors, saved)
    assert not checkpoint.tensors["t"].requires_grad
    checkpoint.tensors["t"].zero_()
    assert same(load(tmp_path / "a").tensors, saved), "what is loaded is a copy"


def test_tensors_that_share_memory_are_saved_each_on_its_own(tmp_path: Path) -> None:
    base = torch.arange(10.0)
    shared = {"all": base, "again": base, "head": base[:4], "tail": base[4:], "odd": base[1::2]}
    loaded = load(save(tmp_path, "a", shared, {})).tensors
    assert same(loaded, shared)
    loaded["all"].zero_()
    assert loaded["again"].tolist() == list(range(10))


def test_the_document_comes_back(tmp_path: Path) -> None:
    document = {"round": 3, "best": None, "rate": 1e-4, "worst": float("inf"), "ü": [1, {"z": [], "a": "b"}]}
    checkpoint = load(save(tmp_path / "new" / "folder", "3-100", weights(0), document))
    assert checkpoint.document == document
    assert checkpoint.path == tmp_path / "new" / "folder" / "3-100"
    assert (tmp_path / "new" / "folder").stat().st_mode & 0o777 == 0o700
    assert names(checkpoint.path) == set(FILES)


def test_the_manifest_holds_size_and_hash(tmp_path: Path) -> None:
    path = save(tmp_path, "a", {}, {"a": 1})
    manifest = json.loads((path / "MANIFEST.json").read_bytes())
    assert manifest["format"] == 1
    assert set(manifest["files"]) == {"tensors.safetensors", "document.json"}
    # printf '{"a": 1}' | sha256sum
    assert manifest["files"]["document.json"] == {
        "size": 8,
        "sha256": "f9d86028c6e0d64e225186f96acb69338b2c59764df79162107f5c4bb34d1310",
    }


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_not_finite_are_refused(tmp_path: Path, value: float) -> None:
    tensors = weights(0)
    tensors["w"][7, 1] = value
    with pytest.raises(RunFailed, match="Tensor 'w' holds NaN or an infinity"):
        save(tmp_path, "a", tensors, {})
    assert names(tmp_path) == set()


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/a", ".hidden", "a.tmp-1", "a.old-1"])
def test_names_that_would_leave_the_folder_or_be_pruned_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="cannot be the name"):
        save(tmp_path, name, {}, {})


# Saving twice


def test_an_identical_checkpoint_is_left_alone_and_another_is_replaced(tmp_path: Path) -> None:
    path = save(tmp_path, "a", weights(1), {"n": 1})
    inode = path.stat().st_ino
    save(tmp_path, "a", dict(reversed(weights(1).items())), {"n": 1})
    assert path.stat().st_ino == inode
    save(tmp_path, "a", weights(1), {"n": 2})
    assert load(path).document == {"n": 2}
    save(tmp_path, "a", weights(2), {"n": 2})
    assert same(load(path).tensors, weights(2))
    assert names(tmp_path) == {"a"}


def test_a_damaged_checkpoint_is_replaced_by_saving_it_again(tmp_path: Path) -> None:
    path = save(tmp_path, "a", weights(1), {})
    (path / "tensors.safetensors").write_bytes(b"")
    save(tmp_path, "a", weights(1), {})
    assert same(load(path).tensors, weights(1))


# Kills and failures at every step. A step is an audited file-system call of Python, or a file pushed to disk.

STEPS = (
    "open",
    "os.mkdir",
    "os.rename",
    "os.remove",
    "os.rmdir",
    "os.listdir",
    "os.scandir",
)


def at_every_step(act: Callable[[int], object]) -> None:
    """In this (forked) process, call ``act`` with the number of each step, before it is taken."""
    count = 0
    push = os.fsync

    def step() -> None:
        nonlocal count
        count += 1
        act(count - 1)

    def counted_push(fd: Any) -> None:
        step()
        push(fd)

    os.fsync = counted_push
    sys.addaudithook(lambda event, arguments: step() if event in STEPS else None)


def steps_of(work: Callable[[], object]) -> int:
    """How many steps a piece of work takes, counted in a process of its own."""
    read_end, write_end = os.pipe()

    def counted() -> None:
        at_every_step(lambda number: os.write(write_end, b"."))
        work()

    assert status_of(counted) == 0
    os.close(write_end)
    with os.fdopen(read_end, "rb") as pipe:
        return len(pipe.read())


def old_state(parent: Path, state: str) -> None:
    """What is at the name ``a`` before the save that is disturbed."""
    if state != "nothing":
        save(parent, "a", weights(1), {"which": "old"})
    if state == "damaged":
        (parent / "a" / "document.json").unlink()


def outcome(parent: Path) -> str:
    """What loads: the old checkpoint, the new one, or nothing."""
    try:
        checkpoint = load(parent / "a")
    except DamagedCheckpoint:
        return "nothing"
    which = str(checkpoint.document["which"])
    assert same(checkpoint.tensors, weights({"old": 1, "new": 2}[which]))
    return which


def save_new(parent: Path) -> None:
    save(parent, "a", weights(2), {"which": "new"})


@pytest.mark.parametrize("state", ["nothing", "valid", "damaged"])
def test_a_kill_at_every_step_leaves_the_old_or_the_new_checkpoint(tmp_path: Path, state: str) -> None:
    old_state(tmp_path / "count", state)
    count = steps_of(lambda: save_new(tmp_path / "count"))
    assert count >= 12, "three files, two folders: opened and pushed, and the renames"
    seen = []
    for number in range(count):
        parent = tmp_path / str(number)
        old_state(parent, state)

        def killed(number: int = number, parent: Path = parent) -> None:
            at_every_step(lambda now: os.kill(os.getpid(), signal.SIGKILL) if now == number else None)
            save_new(parent)

        assert os.WIFSIGNALED(status_of(killed))
        seen.append(outcome(parent))
        assert seen[-1] in ({"old", "new"} if state == "valid" else {"nothing", "new"})
        before = seen[-1]
        prune(parent, {"a"})
        assert outcome(parent) == before
        assert not parent.exists() or names(parent) <= {"a"}, "nothing is left over"
        save_new(parent)
        assert outcome(parent) == "new"
        assert names(parent) == {"a"}
    first = seen.index("new")
    assert 0 < first and set(seen[first:]) == {"new"}, "once the new one loads, it stays"


@pytest.mark.parametrize(
    "state, code", [("nothing", errno.EACCES), ("valid", errno.ENOSPC), ("damaged", errno.EIO)]
)
def test_a_failure_at_every_step_is_told_and_leaves_no_half(tmp_path: Path, state: str, code: int) -> None:
    old_state(tmp_path / "count", state)
    for number in range(steps_of(lambda: save_new(tmp_path / "count"))):
        parent = tmp_path / str(number)
        old_state(parent, state)

        def failing(number: int = number, parent: Path = parent) -> None:
            def fail(now: int) -> None:
                if now == number:
                    raise OSError(code, os.strerror(code))

            at_every_step(fail)
            try:
                save_new(parent)
            except RunFailed as error:
                assert str(parent / "a") in error.problem and "bytes are needed" in error.problem
                assert os.strerror(code) in error.problem
                os._exit(7)

        status = status_of(failing)
        assert os.waitstatus_to_exitcode(status) in (0, 7), "any other error is a bug"
        if status == 0:
            assert outcome(parent) == "new", "a save that does not complain has saved"
        assert state != "valid" or (parent / "a").is_dir(), "what was set aside is put back"
        assert outcome(parent) in ({"old", "new"} if state == "valid" else {"nothing", "new"})
        prune(parent, {"a"})
        assert not parent.exists() or names(parent) <= {"a"}


@pytest.mark.parametrize("killed", [False, True])
@pytest.mark.parametrize("limit", [0, 1, 300, 600, 700])
def test_a_file_cut_in_the_middle_of_writing_is_never_at_the_final_name(
    tmp_path: Path, limit: int, killed: bool
) -> None:
    """The kernel stops the write after ``limit`` bytes, with an error or with a deadly signal."""
    old_state(tmp_path, "valid")

    def cut() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL if killed else signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        try:
            save_new(tmp_path)
        except RunFailed as error:
            assert os.strerror(errno.EFBIG) in error.problem
            os._exit(7)

    status = status_of(cut)
    assert os.WIFSIGNALED(status) if killed else os.waitstatus_to_exitcode(status) == 7
    assert outcome(tmp_path) == "old"
    assert killed or names(tmp_path) == {"a"}
    prune(tmp_path, {"a"})
    assert names(tmp_path) == {"a"}


def test_everything_is_pushed_to_the_disk_before_it_gets_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path, "a", weights(1), {})
    log: list[str] = []

    def push(descriptor: int) -> None:
        log.append(Path(f"/proc/self/fd/{descriptor}").readlink().name.split("tmp-")[0])

    replace = Path.replace

    def rename(path: Path, target: Path) -> Path:
        log.append(f"{path.name} to {target.name}".split("old-")[0].replace(path.name.split("tmp-")[-1], "*"))
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", push)
    monkeypatch.setattr(Path, "replace", rename)
    save_new(tmp_path)
    assert log == [
        "tensors.safetensors",
        "document.json",
        "MANIFEST.json",
        "a.",
        "* to *.",
        "a.tmp-* to a",
        tmp_path.name,
    ]


def test_free_space_is_asked_for_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path, "a", weights(1), {})
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(RunFailed, match=r"only 1000 bytes are free; (\d+) bytes are needed") as caught:
        save(tmp_path, "b", {"w": torch.zeros(10**6)}, {})
    needed = int(caught.value.problem.split(" bytes are needed")[0].split()[-1])
    assert 4 * 10**6 < needed < 4 * 10**6 + 2 * 2**20
    assert names(tmp_path) == {"a"}


def test_a_parent_that_is_no_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFailed, match="was not saved"):
        save(tmp_path / "file", "a", weights(1), {})


# Damage


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(file=st.sampled_from(FILES), position=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
@example(file="MANIFEST.json", position=0.0, bit=0)
@example(file="tensors.safetensors", position=0.999, bit=0)
def test_one_changed_bit_is_always_noticed(tmp_path: Path, file: str, position: float, bit: int) -> None:
    shutil.rmtree(tmp_path / "a", ignore_errors=True)
    path = save(tmp_path, "a", weights(1), {"text": "some words", "number": 12})
    content = bytearray((path / file).read_bytes())
    content[int(position * len(content))] ^= 1 << bit
    (path / file).write_bytes(content)
    with pytest.raises(DamagedCheckpoint, match=r"Checkpoint .*/a is damaged: .*(\.json|\.safetensors)"):
        load(path)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(file=st.sampled_from(FILES), kept=st.floats(0, 1, exclude_max=True), tail=st.binary(max_size=9))
def test_cut_and_lengthened_files_are_always_noticed(
    tmp_path: Path, file: str, kept: float, tail: bytes
) -> None:
    path = save(tmp_path, "a", weights(1), {})
    whole = (path / file).read_bytes()
    (path / file).write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(DamagedCheckpoint, match=file.replace(".", r"\.")):
        load(path)
    (path / file).write_bytes(whole + b" " + tail)
    with pytest.raises(DamagedCheckpoint, match=file.replace(".", r"\.")):
        load(path)


def rewritten(change: Callable[[Any], Any]) -> Callable[[Path], None]:
    def rewrite(path: Path) -> None:
        manifest = json.loads((path / "MANIFEST.json").read_bytes())
        (path / "MANIFEST.json").write_text(json.dumps(change(manifest), indent=1))

    return rewrite


def without_hash(manifest: Any) -> Any:
    del manifest["files"]["document.json"]["sha256"]
    return manifest


def folder_in_place_of_document(path: Path) -> None:
    (path / "document.json").unlink()
    (path / "document.json").mkdir()


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "no folder": (shutil.rmtree, "MANIFEST.json is missing"),
    "no manifest": (lambda path: (path / FILES[2]).unlink(), "MANIFEST.json is missing"),
    "no tensors": (lambda path: (path / FILES[0]).unlink(), "tensors.safetensors is missing"),
    "no document": (lambda path: (path / FILES[1]).unlink(), "document.json is missing"),
    "one byte less": (
        lambda path: (path / FILES[1]).write_bytes((path / FILES[1]).read_bytes()[:-1]),
        r"document.json has 7 bytes instead of 8",
    ),
    "same length": (
        lambda path: (path / FILES[1]).write_bytes(b'{"a": 2}'),
        "SHA-256 of document.json differs",
    ),
    "a folder as file": (
        folder_in_place_of_document,
        "document.json cannot be read: Is a directory",
    ),
    "malformed": (lambda path: (path / FILES[2]).write_text('{"format": 1,'), "MANIFEST.json is malformed"),
    "not text": (lambda path: (path / FILES[2]).write_bytes(b"\xff\xfe{}"), "MANIFEST.json is malformed"),
    "deep": (lambda path: (path / FILES[2]).write_text("[" * 100_000), "MANIFEST.json is malformed"),
    "newer format": (rewritten(lambda manifest: {**manifest, "format": 2}), "unknown format 2, not 1"),
    "no format": (rewritten(lambda manifest: {"files": manifest["files"]}), "unknown format None"),
    "a list": (rewritten(lambda manifest: [manifest]), "unknown format None"),
    "no files": (rewritten(lambda manifest: {**manifest, "files": {}}), "does not describe"),
    "files of a list": (rewritten(lambda manifest: {**manifest, "files": list(FILES)}), "does not describe"),
    "an extra file": (
        rewritten(lambda manifest: {**manifest, "files": {**manifest["files"], "x": {}}}),
        "does not describe",
    ),
    "an extra entry": (rewritten(lambda manifest: {**manifest, "note": ""}), "MANIFEST.json was altered"),
    "no hash": (rewritten(without_hash), "MANIFEST.json was altered"),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_damage_is_named(tmp_path: Path, kind: str) -> None:
    damage, message = DAMAGES[kind]
    path = save(tmp_path, "a", weights(1), {"a": 1})
    damage(path)
    with pytest.raises(DamagedCheckpoint, match=message) as caught:
        load(path)
    assert caught.value.path == path
    assert str(path) in caught.value.problem


def test_files_of_two_checkpoints_do_not_mix(tmp_path: Path) -> None:
    one, two = save(tmp_path, "a", weights(1), {"n": 1}), save(tmp_path, "b", weights(2), {"n": 1})
    shutil.copy(two / "tensors.safetensors", one / "tensors.safetensors")
    with pytest.raises(DamagedCheckpoint, match=r"SHA-256 of tensors\.safetensors differs"):
        load(one)


def test_a_correct_seal_around_something_else_is_noticed(tmp_path: Path) -> None:
    write_sealed(tmp_path / "a", {"tensors.safetensors": b"\x80\x04pickle", "document.json": b"{}"})
    with pytest.raises(DamagedCheckpoint, match="something else"):
        load(tmp_path / "a")
    good = (save(tmp_path, "b", {}, {}) / "tensors.safetensors").read_bytes()
    write_sealed(tmp_path / "a", {"tensors.safetensors": good, "document.json": b"[1]"})
    with pytest.raises(DamagedCheckpoint, match="something else"):
        load(tmp_path / "a")


# Choosing and pruning


def test_the_newest_valid_checkpoint_is_taken_and_the_skipped_are_told(tmp_path: Path) -> None:
    for number in range(4):
        save(tmp_path, str(number), weights(number), {})
    (tmp_path / "3" / "MANIFEST.json").unlink()
    (tmp_path / "2" / "tensors.safetensors").write_bytes(b"x")
    checkpoint, skipped = newest_valid(tmp_path, ["4", "3", "2", "1", "0"])
    assert checkpoint.path == tmp_path / "1"
    assert same(checkpoint.tensors, weights(1))
    assert [damage.path.name for damage in skipped] == ["4", "3", "2"]
    assert newest_valid(tmp_path, ["0", "1"])[1] == []
    with pytest.raises(RunFailed, match=r"(?s)No checkpoint in .*3 is damaged.*2 is damaged"):
        newest_valid(tmp_path, ["3", "2"])
    with pytest.raises(RunFailed, match="None is recorded"):
        newest_valid(tmp_path, [])


def test_pruning_keeps_what_it_is_told_and_what_it_does_not_own(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        save(tmp_path, name, weights(1), {})
    (tmp_path / "c" / "MANIFEST.json").unlink()
    shutil.copytree(tmp_path / "a", tmp_path / "d.tmp-12")
    shutil.copytree(tmp_path / "a", tmp_path / "a.old-34")
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    assert prune(tmp_path, {"a", "never saved"}) == ["a.old-34", "b", "c", "d.tmp-12"]
    assert names(tmp_path) == {"a", "notes.txt", "link"}
    assert same(load(tmp_path / "a").tensors, weights(1))
    assert prune(tmp_path / "missing", set()) == []


def test_pruning_puts_a_set_aside_checkpoint_back(tmp_path: Path) -> None:
    save(tmp_path, "a", weights(1), {})
    (tmp_path / "a").rename(tmp_path / "a.old-1")
    assert same(load(tmp_path / "a").tensors, weights(1))
    assert prune(tmp_path, {"a"}) == []
    assert names(tmp_path) == {"a"}


def test_a_kill_while_pruning_leaves_whole_checkpoints(tmp_path: Path) -> None:
    def filled(name: str) -> Path:
        for number in range(3):
            save(tmp_path / name, str(number), weights(number), {})
        return tmp_path / name

    count = steps_of(lambda: prune(filled("count"), {"2"})) - steps_of(lambda: filled("only filled"))
    for number in range(count):
        parent = filled(f"kill {number}")

        def killed(number: int = number, parent: Path = parent) -> None:
            at_every_step(lambda now: os.kill(os.getpid(), signal.SIGKILL) if now == number else None)
            prune(parent, {"2"})

        assert os.WIFSIGNALED(status_of(killed))
        for name in names(parent):
            assert ".tmp-" in name or same(load(parent / name).tensors, weights(int(name)))
        prune(parent, {"2"})
        assert names(parent) == {"2"}


def test_ids_and_bytes_of_numpy_survive(tmp_path: Path) -> None:
    ids = np.array([3, 1, 2**40], dtype=np.int64)
    loaded = load(save(tmp_path, "a", {"ids": torch.from_numpy(ids)}, {})).tensors["ids"].numpy()
    assert loaded.dtype == np.int64 and loaded.tolist() == ids.tolist()
