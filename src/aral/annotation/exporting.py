"""Export of a project: labels in four formats, the classifier in three, model card, list of unreadable files."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from aral.annotation import Project, label_studio
from aral.annotation.classifier import newest_classifier
from aral.annotation.formats import (
    DEFAULT_FORMATS,
    EXPORTED_IMAGES,
    EXPORTED_LABELS,
    FORMATS,
    LABEL_STUDIO_TASKS,
    LABELS_CSV,
    LABELS_JSONL,
    UNREADABLE,
    LabelRow,
    Placing,
    as_csv,
    as_jsonl,
    class_folder_names,
    csv_bytes,
    label_rows,
    write_exported,
)
from aral.annotation.label_files import read_labels
from aral.annotation.model_cards import model_card
from aral.annotation.portable import ONNX_FILE, TORCH_FILE, export_onnx, export_torch
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
        left_out: images that the ImageFolder lacks, because their file is missing or changed.
        notes: what is missing and why, as sentences.
    """

    target: Path
    files: tuple[str, ...]
    labels: int
    left_out: tuple[str, ...]
    notes: tuple[str, ...]


def export(
    project: Project, target: Path, formats: Collection[str] = DEFAULT_FORMATS, placing: Placing = "copy"
) -> Exported:
    """Write labels and classifier into a folder; files of an earlier export are replaced.

    Args:
        project: what is exported; labelling may continue meanwhile.
        target: the folder, made if missing; not that of the project or the photos.
        formats: some of :data:`FORMATS`.
        placing: images of an ImageFolder as copies or as symbolic links.

    Raises:
        BadInput: a format is unknown or needs packages that are missing, or the target cannot be used.
        RunFailed: the disk is full, or a file cannot be written.
    """
    for format in formats:
        if format not in FORMATS:
            raise unknown_name("format", format, FORMATS)
    _prepare(project, target)
    rows = label_rows(project)
    class_names = [each.name for each in project.classes.all()]
    version = f"aral-{len(project.models.all())}"
    contents: dict[str, bytes] = {}
    if "csv" in formats:
        contents[LABELS_CSV] = as_csv(rows)
    if "jsonl" in formats:
        contents[LABELS_JSONL] = as_jsonl(rows)
    if "label-studio" in formats:
        contents[LABEL_STUDIO_TASKS] = label_studio.as_tasks(rows, version)
        contents["label-studio.xml"] = label_studio.configuration(class_names)
    contents[UNREADABLE] = csv_bytes(
        ("path", "reason", "detail"),
        [(bad.path, bad.reason, bad.detail) for bad in project.images.unreadable()],
    )
    contents["README.md"] = model_card(project).encode("utf-8", "replace")
    for name, content in contents.items():
        write_exported(target / name, content)
    files, notes = list(contents), []
    wants_model = any(format in formats for format in ("model", "torch-export", "onnx"))
    if wants_model and project.models.all():
        files += _export_model(project, target, formats)
    elif wants_model:
        notes.append("There is no classifier yet: nothing has been trained.")
    left_out: tuple[str, ...] = ()
    if "imagefolder" in formats:
        left_out = _image_folder(project, target / EXPORTED_IMAGES, rows, placing)
        files.append(f"{EXPORTED_IMAGES}/")
    labels = sum(row.answer == "class" for row in rows)
    return Exported(target, tuple(files), labels, left_out, tuple(notes))


def _prepare(project: Project, target: Path) -> None:
    resolved = target.resolve()
    if resolved == project.photos or resolved.is_relative_to(project.folder):
        raise BadInput(f"{target} is the folder of the photos or the project.", "Give another folder.")
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"{target} cannot be created: {error.strerror}.", "Give another folder.") from error


def _export_model(project: Project, target: Path, formats: Collection[str]) -> list[str]:
    classifier = newest_classifier(project)
    files = []
    if "model" in formats:
        classifier.save(target / MODEL)
        write_exported(target / "load_model.py", SNIPPET.encode())
        files += [f"{MODEL}/", "load_model.py"]
    if "torch-export" in formats:
        export_torch(classifier, target / TORCH_FILE)
        files.append(TORCH_FILE)
    if "onnx" in formats:
        export_onnx(classifier, target / ONNX_FILE)
        files.append(ONNX_FILE)
    return files


def _image_folder(
    project: Project, folder: Path, rows: Sequence[LabelRow], placing: Placing
) -> tuple[str, ...]:
    """One folder per class; file names begin with the image's number, so that all are different.

    A file beside the folders holds the annotation events of each image, so that an import adds none twice. Images
    that an earlier export wrote and that have another class or none now are removed, unless they were changed.

    Returns:
        paths of the images that were left out.
    """
    folders = class_folder_names(sorted({row.label for row in rows if row.label}))
    left_out = []
    placed = []
    before = _earlier_images(folder)
    try:
        for row in rows:
            if not row.label:
                continue
            source = project.photos / row.path
            image = project.images.get(row.image_id)
            # A file that was replaced since it was labelled may show another class.
            if image.status != "ready" or not source.is_file() or _content_hash(source) != image.sha256:
                left_out.append(row.path)
                continue
            class_folder = folder / folders[row.label]
            class_folder.mkdir(parents=True, exist_ok=True)
            name = f"{row.image_id:06d}-{_end_of(PurePosixPath(row.path).name)}"
            _copy_or_link(source, class_folder / name, placing)
            placed.append(replace(row, path=f"{class_folder.name}/{name}"))
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise RunFailed(
            f"The images were not written to {folder}: {error}.",
            "Free some space, or use --images link." if full else "Check the folder, or give another one.",
        ) from error
    if placed or before:
        write_exported(folder / EXPORTED_LABELS, as_jsonl(placed))
    for path in before.keys() - {row.path for row in placed}:
        stale = folder / path
        if stale.is_symlink() or (stale.is_file() and _content_hash(stale) == before[path]):
            stale.unlink()
    return tuple(left_out)


def _earlier_images(folder: Path) -> dict[str, str]:
    """Content hash by path of the images that an earlier export wrote into a folder."""
    file = folder / EXPORTED_LABELS
    if not file.is_file():
        return {}
    try:
        rows = [(PurePosixPath(label.path), label.sha256) for label in read_labels(file).labels]
    except BadInput:  # it was changed: which images an export wrote is unknown
        return {}
    return {str(path): content for path, content in rows if len(path.parts) == 2 and ".." not in path.parts}


def _end_of(name: str) -> str:
    """The last bytes of a file name, as many as fit behind a number: 255 is the limit of file systems."""
    encoded = os.fsencode(name)
    if len(encoded) <= MOST_NAME_BYTES:
        return name
    end = encoded[-MOST_NAME_BYTES:]
    start = next((index for index in range(4) if end[index] & 0xC0 != 0x80), 0)  # not within a character
    return os.fsdecode(end[start:])


def _content_hash(path: Path) -> str:
    """SHA-256 of a file's bytes, 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _copy_or_link(source: Path, target: Path, placing: Placing) -> None:
    partial = target.with_name(f".tmp-{os.getpid()}")
    partial.unlink(missing_ok=True)
    if placing == "link":
        partial.symlink_to(source)
    else:
        shutil.copyfile(source, partial)
    partial.replace(target)
