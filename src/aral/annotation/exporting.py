"""What leaves a project: labels in four forms, the classifier in three, the model card, what was not read."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from aral.annotation import Project, label_studio
from aral.annotation.forms import FORMS, USUAL, Placing
from aral.annotation.label_files import EXPORTED_LABELS, read_labels
from aral.annotation.label_rows import (
    EXPORTED_IMAGES,
    UNREADABLE,
    LabelRow,
    as_csv,
    as_jsonl,
    csv_bytes,
    folder_names,
    label_rows,
)
from aral.annotation.model_cards import model_card
from aral.annotation.portable import ONNX_FILE, TORCH_FILE, export_onnx, export_torch
from aral.annotation.prediction import newest_classifier, write_whole
from aral.errors import BadInput, RunFailed, unknown_name

MOST_NAME_BYTES = 240
MODEL = "model"
SNIPPET = '''\
"""Classify images with this model: python load_model.py PHOTO [PHOTO ...]"""

import sys
from pathlib import Path

from aral.annotation import Classifier, classify_file

model = Classifier.load(Path(__file__).parent / "model")
for name in sys.argv[1:]:
    print(name, *(f"{label} {probability:.1%}" for label, probability in classify_file(model, Path(name))[:3]))
'''


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        target: the folder.
        files: names in it, folders end with ``/``.
        labels: images with a class.
        left_out: images that an ImageFolder lacks, because their file is gone or changed.
        notes: what people should know.
    """

    target: Path
    files: tuple[str, ...]
    labels: int
    left_out: tuple[str, ...]
    notes: tuple[str, ...]


def export(
    project: Project, target: Path, forms: Collection[str] = USUAL, placing: Placing = "copy"
) -> Exported:
    """Write labels and classifier into a folder; files of an earlier export are replaced.

    Args:
        project: what is exported; people may go on labelling meanwhile.
        target: the folder, made if missing; not that of the project or the photos.
        forms: some of :data:`FORMS`.
        placing: how images come into an ImageFolder: as copies or as symbolic links.

    Raises:
        BadInput: a form or the target is wrong, a form needs packages that are missing, or only the model was
            asked for and there is none.
        RunFailed: the disk is full or refuses.
    """
    for form in forms:
        if form not in FORMS:
            raise unknown_name("form", form, FORMS)
    _prepare(project, target)
    rows = label_rows(project)
    class_names = [each.name for each in project.classes()]
    version = f"aral-{len(project.models())}"
    contents: dict[str, bytes] = {}
    if "csv" in forms:
        contents["labels.csv"] = as_csv(rows)
    if "jsonl" in forms:
        contents["labels.jsonl"] = as_jsonl(rows)
    if "label-studio" in forms:
        contents["label-studio.json"] = label_studio.as_tasks(rows, version)
        contents["label-studio.xml"] = label_studio.configuration(class_names)
    contents[UNREADABLE] = csv_bytes(
        ("path", "reason", "detail"), [(bad.path, bad.reason, bad.detail) for bad in project.unreadable()]
    )
    contents["README.md"] = model_card(project).encode("utf-8", "replace")
    for name, content in contents.items():
        write_whole(target / name, content)
    files, notes = list(contents), []
    wants_model = any(form in forms for form in ("model", "torch-export", "onnx"))
    if wants_model and project.models():
        files += _export_model(project, target, forms)
    elif wants_model:
        notes.append("There is no classifier yet: nothing has been trained.")
    left_out: tuple[str, ...] = ()
    if "imagefolder" in forms:
        left_out = _image_folder(project, target / EXPORTED_IMAGES, rows, placing)
        files.append(f"{EXPORTED_IMAGES}/")
    labels = sum(row.answer == "class" for row in rows)
    return Exported(target, tuple(files), labels, left_out, tuple(notes))


def _prepare(project: Project, target: Path) -> None:
    place = target.resolve()
    if place == project.photos or place.is_relative_to(project.folder):
        raise BadInput(f"{target} belongs to the photos or the project.", "Give another folder.")
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"{target} cannot be made: {error.strerror}.", "Give another folder.") from error


def _export_model(project: Project, target: Path, forms: Collection[str]) -> list[str]:
    classifier = newest_classifier(project)
    files = []
    if "model" in forms:
        classifier.save(target / MODEL)
        write_whole(target / "load_model.py", SNIPPET.encode())
        files += [f"{MODEL}/", "load_model.py"]
    if "torch-export" in forms:
        export_torch(classifier, target / TORCH_FILE)
        files.append(TORCH_FILE)
    if "onnx" in forms:
        export_onnx(classifier, target / ONNX_FILE)
        files.append(ONNX_FILE)
    return files


def _image_folder(
    project: Project, folder: Path, rows: Sequence[LabelRow], placing: Placing
) -> tuple[str, ...]:
    """One folder a class; names begin with the image's number, so that no two are the same.

    Beside them a file tells which label events each stands for, so that an import counts none twice. Files that
    an earlier export wrote and that have another class or none now are removed, unless somebody changed them.
    """
    folders = folder_names(sorted({row.label for row in rows if row.label}))
    left_out = []
    placed = []
    before = _placed_before(folder)
    try:
        for row in rows:
            if not row.label:
                continue
            source = project.photos / row.path
            image = project.image(row.image_id)
            # A file that was replaced since it was labelled may show something else.
            if image.status != "ready" or not source.is_file() or _content_hash(source) != image.sha256:
                left_out.append(row.path)
                continue
            place = folder / folders[row.label]
            place.mkdir(parents=True, exist_ok=True)
            name = f"{row.image_id:06d}-{_end_of(PurePosixPath(row.path).name)}"
            _place(source, place / name, placing)
            placed.append(replace(row, path=f"{place.name}/{name}"))
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise RunFailed(
            f"The images were not written to {folder}: {error}.",
            "Free some space, or use --images link." if full else "Check the folder, or give another one.",
        ) from error
    if placed or before:
        write_whole(folder / EXPORTED_LABELS, as_jsonl(placed))
    for path in before.keys() - {row.path for row in placed}:
        stale = folder / path
        if stale.is_symlink() or (stale.is_file() and _content_hash(stale) == before[path]):
            stale.unlink()
    return tuple(left_out)


def _placed_before(folder: Path) -> dict[str, str]:
    """Content hash by path of the images that an earlier export wrote into a folder."""
    file = folder / EXPORTED_LABELS
    if not file.is_file():
        return {}
    try:
        rows = [(PurePosixPath(each.path), each.sha256) for each in read_labels(file).found]
    except BadInput:  # somebody changed it: nothing is known to be ours
        return {}
    return {str(path): content for path, content in rows if len(path.parts) == 2 and ".." not in path.parts}


def _end_of(name: str) -> str:
    """The last bytes of a file name, as many as fit behind a number: 255 is the limit of file systems."""
    kept = os.fsencode(name)
    if len(kept) <= MOST_NAME_BYTES:
        return name
    kept = kept[-MOST_NAME_BYTES:]
    torn = next((place for place in range(4) if kept[place] & 0xC0 != 0x80), 0)  # a sign cut in two
    return os.fsdecode(kept[torn:])


def _content_hash(path: Path) -> str:
    """SHA-256 of a file's bytes, 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _place(source: Path, target: Path, placing: Placing) -> None:
    partial = target.with_name(f".tmp-{os.getpid()}")
    partial.unlink(missing_ok=True)
    if placing == "link":
        partial.symlink_to(source)
    else:
        shutil.copyfile(source, partial)
    partial.replace(target)
