"""Files that would run something if anybody unpickled them, wherever a model, run, project or label is taken."""

from __future__ import annotations

import io
import os
import pickle
import shutil
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from aral.annotation import Classifier, Project, import_labels, read_options
from aral.annotation.classifier import DESCRIPTION, TENSORS
from aral.cli import main
from aral.data import read_npz
from aral.durable import read_sealed, write_sealed
from aral.errors import AralError
from aral.learners import checkpoints
from aral.loop import Store


class Payload:
    """Makes a folder when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self._canary = canary

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self._canary),)


def plain(canary: Path) -> bytes:
    return pickle.dumps(Payload(canary))


def of_torch(canary: Path) -> bytes:
    """What ``torch.save`` writes: a zip file with a pickle in it."""
    file = io.BytesIO()
    torch.save({"state": Payload(canary)}, file)
    return file.getvalue()


def of_numpy(canary: Path) -> bytes:
    """Arrays of which one holds an object."""
    file = io.BytesIO()
    hidden = np.empty(1, dtype=object)
    hidden[0] = Payload(canary)
    np.savez(file, train_images=hidden, train_labels=hidden, test_images=hidden, test_labels=hidden)
    return file.getvalue()


def of_code(canary: Path) -> bytes:
    """A zip file that Python itself would run."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("__main__.py", f"import os; os.mkdir({str(canary)!r})")
        archive.writestr("model/code/__torch__.py", f"import os; os.mkdir({str(canary)!r})")
        archive.writestr("model/data.pkl", plain(canary))
    return file.getvalue()


PAYLOADS = (plain, of_torch, of_numpy, of_code)


def as_weights(project: Project, content: bytes) -> None:
    """With a manifest that is correct, as an attacker would write it."""
    folder = project.folder / project.models.all()[-1].folder
    files = read_sealed(folder, (TENSORS, DESCRIPTION))
    write_sealed(folder.with_name("evil"), {**files, TENSORS: content})
    Classifier.load(folder.with_name("evil"))


def as_description(project: Project, content: bytes) -> None:
    folder = project.folder / project.models.all()[-1].folder
    files = read_sealed(folder, (TENSORS, DESCRIPTION))
    write_sealed(folder.with_name("evil"), {**files, DESCRIPTION: content})
    Classifier.load(folder.with_name("evil"))


def as_manifest(project: Project, content: bytes) -> None:
    folder = project.folder / project.models.all()[-1].folder
    (folder / "MANIFEST.json").write_bytes(content)
    Classifier.load(folder)


def as_checkpoint(project: Project, content: bytes) -> None:
    folder = project.folder / "session-1" / "checkpoints" / "evil"
    write_sealed(folder, {"tensors.safetensors": content, "document.json": b"{}"})
    checkpoints.load(folder)


def as_project(project: Project, content: bytes) -> None:
    project.close()
    (project.folder / "project.sqlite").write_bytes(content)
    Project.open(project.folder)


def as_run(project: Project, content: bytes) -> None:
    (project.folder / "session-1" / "store.sqlite").write_bytes(content)
    Store.open(project.folder / "session-1", create=False)


def as_options(project: Project, content: bytes) -> None:
    (project.folder / "training.json").write_bytes(content)
    read_options(project.folder)


def as_data(project: Project, content: bytes) -> None:
    path = project.folder / "data.npz"
    path.write_bytes(content)
    read_npz(path)


def as_labels(kind: str) -> Callable[[Project, bytes], None]:
    def take_in(project: Project, content: bytes) -> None:
        path = project.folder / f"labels.{kind}"
        path.write_bytes(content)
        import_labels(project, path)

    return take_in


PLACES: dict[str, Callable[[Project, bytes], None]] = {
    "weights": as_weights,
    "description": as_description,
    "manifest": as_manifest,
    "checkpoint": as_checkpoint,
    "project": as_project,
    "run": as_run,
    "options": as_options,
    "data": as_data,
    "csv": as_labels("csv"),
    "jsonl": as_labels("jsonl"),
    "json": as_labels("json"),
}


def test_the_payloads_work_where_they_are_unpickled(tmp_path: Path) -> None:
    for place, make in enumerate((plain, of_torch)):
        canary = tmp_path / str(place)
        content = make(canary)
        if make is plain:
            pickle.loads(content)
        else:
            torch.load(io.BytesIO(content), weights_only=False)
        assert canary.exists()


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("make", PAYLOADS, ids=lambda make: make.__name__)
def test_no_payload_is_ever_run(
    trained: Project, tmp_path: Path, place: str, make: Callable[[Path], bytes]
) -> None:
    canary = tmp_path / "canary"
    with pytest.raises(AralError) as refused:
        PLACES[place](trained, make(canary))
    assert not canary.exists() and str(trained.folder.name) in refused.value.problem


@pytest.mark.parametrize("make", PAYLOADS, ids=lambda make: make.__name__)
@pytest.mark.parametrize("name", ["model.pt", "model.pth", "model.ckpt", "model.pkl"])
def test_foreign_weights_are_no_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], make, name: str
) -> None:
    canary = tmp_path / "canary"
    (tmp_path / name).write_bytes(make(canary))
    shutil.copytree(tmp_path, tmp_path / "photos")
    monkeypatch.setattr(sys, "argv", ["aral", "predict", str(tmp_path / name), str(tmp_path / "photos")])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2 and not canary.exists()
    said = capsys.readouterr().err
    assert name in said and "aral export" in said and "Traceback" not in said
