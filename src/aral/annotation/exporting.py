"""Export of a project: labels in four formats, the classifier and its trunk, model card, list of unreadable files."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from aral.annotation import ModelRecord, Project, label_studio
from aral.annotation.classifier import Classifier, figures
from aral.annotation.formats import (
    DEFAULT_FORMATS,
    EXPORTED_CLASSES,
    EXPORTED_IMAGES,
    EXPORTED_LABELS,
    FORMATS,
    LABEL_STUDIO_TASKS,
    LABELS_CSV,
    LABELS_JSONL,
    MODEL_FORMATS,
    UNREADABLE,
    LabelRow,
    Placing,
    as_csv,
    as_jsonl,
    class_folder_names,
    class_folders_json,
    csv_bytes,
    label_rows,
    write_exported,
)
from aral.annotation.model_cards import (
    METADATA_FILE,
    MODEL,
    SNIPPETS,
    ExportedModel,
    default_licence,
    metadata,
    model_card,
)
from aral.annotation.portable import (
    FRAMING_FILE,
    ONNX_FILE,
    TORCH_FILE,
    TRUNK_FILE,
    NotPortable,
    export_onnx,
    export_torch,
    export_trunk,
    require_onnx,
)
from aral.annotation.snippets import MODEL_SNIPPET
from aral.errors import BadInput, RunFailed, unknown_name

CARD, LABEL_STUDIO_LAYOUT, MODEL_SNIPPET_FILE = "README.md", "label-studio.xml", "load_model.py"
FILES = (
    LABELS_CSV,
    LABELS_JSONL,
    LABEL_STUDIO_TASKS,
    LABEL_STUDIO_LAYOUT,
    UNREADABLE,
    CARD,
    METADATA_FILE,
    MODEL_SNIPPET_FILE,
    TORCH_FILE,
    ONNX_FILE,
    TRUNK_FILE,
    FRAMING_FILE,
    *(name for name, _ in SNIPPETS.values()),
)
"""Every file that an export may write."""

MOST_NAME_BYTES = 240
UNPUBLISHED = ".tmp-export-"
"""Prefix of the folder in the target in which an export is prepared."""


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
    project: Project,
    target: Path,
    formats: Collection[str] = DEFAULT_FORMATS,
    placing: Placing = "copy",
    *,
    licence: str = "",
    download: bool = False,
    further: Callable[[Path], Sequence[str]] | None = None,
) -> Exported:
    """Write labels and classifier into a folder; files of an earlier export are replaced.

    Everything is written beside the earlier files and replaces them at the end: an export that fails changes nothing.

    Args:
        project: what is exported; labelling may continue meanwhile.
        target: the folder, made if missing; not that of the project or the photos.
        formats: some of :data:`FORMATS`.
        placing: images of an ImageFolder as copies or as symbolic links.
        licence: of the classifier, for its metadata; empty if none is stated.
        download: whether weights of the classifier's backbone that are not on this machine may be fetched.
        further: writes more files into the folder it is given, and returns their names.

    Raises:
        BadInput: a format is unknown or needs packages that are missing, the target cannot be used, the classifier is
            damaged, or a graph is to be written and its backbone is missing or another one.
        RunFailed: the disk is full, a file cannot be written, or a download failed.
    """
    check_formats(formats)
    _check_place(project, target, formats)
    return write_whole(
        target, lambda folder: _write(project, folder, formats, placing, licence, download), further
    )


def check_formats(formats: Collection[str]) -> None:
    """Refuse formats that are unknown, or need packages that are missing.

    Raises:
        BadInput: names the format or the packages.
    """
    for format in formats:
        if format not in FORMATS:
            raise unknown_name("format", format, FORMATS)
    if {"onnx", "trunk"} & set(formats):
        require_onnx()


def write_whole(
    target: Path, write: Callable[[Path], Exported], further: Callable[[Path], Sequence[str]] | None = None
) -> Exported:
    """Write an export beside the files that are there, and replace them at the end.

    Args:
        target: the folder, made if missing.
        write: writes everything into the empty folder that it is given.
        further: writes more files into it, and returns their names.

    Raises:
        BadInput: the target cannot be used.
        RunFailed: the disk is full, or a file cannot be written; nothing has changed then.
    """
    made = _prepare(target)
    try:
        with TemporaryDirectory(prefix=UNPUBLISHED, dir=target) as name:
            folder = Path(name)
            done = write(folder)
            files = (*done.files, *(further(folder) if further else ()))
            _publish(folder, target)
        return replace(done, target=target, files=files, notes=(*done.notes, *_older(target, files)))
    except OSError as error:
        raise RunFailed(
            f"The export was not written to {target}: {error}.",
            "Free some space, or give another folder."
            if _is_full(error)
            else "Check the folder, or give another one.",
        ) from error
    finally:
        for folder in made:  # those that stayed empty
            with suppress(OSError):
                folder.rmdir()


def _check_place(project: Project, target: Path, formats: Collection[str]) -> None:
    """Refuse a folder of the project itself."""
    resolved = target.resolve()
    if resolved == project.photos or resolved.is_relative_to(project.folder):
        raise BadInput(f"{target} is the folder of the photos or the project.", "Give another folder.")
    if "imagefolder" in formats and resolved.is_relative_to(project.photos):
        raise BadInput(
            f"{target} lies in the folder of the photos: the exported images would be imported as further photos.",
            "Give another folder.",
        )


def _prepare(target: Path) -> list[Path]:
    """Make the folder, and see that files can be made in it.

    Returns:
        the folders that were made, the innermost first.
    """
    made = [folder for folder in (target, *target.parents) if not folder.exists()]
    try:
        target.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=UNPUBLISHED, dir=target):
            pass
        _check_kinds(target)
    except OSError as error:
        for folder in made:
            with suppress(OSError):
                folder.rmdir()
        if _is_full(error):
            raise RunFailed(f"There is no space left for {target}.", "Free some space.") from error
        raise BadInput(f"{target} cannot be written: {error.strerror}.", "Give another folder.") from error
    return made


def _check_kinds(target: Path) -> None:
    """Check that no folder lies where a file will, and no file where a folder will.

    Raises:
        BadInput: one does.
    """
    folders = (EXPORTED_IMAGES, MODEL)
    wrong = [target / name for name in FILES if (target / name).is_dir()]
    wrong += [target / name for name in folders if (target / name).exists() and not (target / name).is_dir()]
    if wrong:
        raise BadInput(
            f"In the way of the export: {', '.join(map(str, wrong))}.", "Remove it, or give another folder."
        )


def _older(target: Path, files: Collection[str]) -> list[str]:
    """A note if the folder still holds files of an earlier export, which may not fit the new ones."""
    names = (*FILES, f"{MODEL}/", f"{EXPORTED_IMAGES}/")
    older = [name for name in names if name not in files and (target / name).exists()]
    return [f"Of an earlier export, and not written again: {', '.join(older)}."] if older else []


def _is_full(error: OSError) -> bool:
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def _write(
    project: Project, target: Path, formats: Collection[str], placing: Placing, licence: str, download: bool
) -> Exported:
    """Write everything into an empty folder."""
    rows = label_rows(project)
    contents: dict[str, bytes] = {}
    if "csv" in formats:
        contents[LABELS_CSV] = as_csv(rows)
    if "jsonl" in formats:
        contents[LABELS_JSONL] = as_jsonl(rows)
    if "label-studio" in formats:
        contents[LABEL_STUDIO_TASKS] = label_studio.as_tasks(rows, f"aral-{len(project.models.all())}")
        contents[LABEL_STUDIO_LAYOUT] = label_studio.configuration(
            [each.name for each in project.classes.all()]
        )
    contents[UNREADABLE] = csv_bytes(
        ("path", "reason", "detail"),
        [(bad.path, bad.reason, bad.detail) for bad in project.images.unreadable()],
    )
    notes: list[str] = []
    model = None
    if any(format in formats for format in MODEL_FORMATS):
        model = _export_model(project, target, formats, licence, download)
        notes += model.notes if model else ["There is no classifier yet: nothing has been trained."]
    contents[CARD] = model_card(project, model).encode("utf-8", "replace")
    for name, content in contents.items():
        write_exported(target / name, content)
    files = [*contents, *(model.files if model else ())]
    left_out: tuple[str, ...] = ()
    if "imagefolder" in formats:
        left_out = _image_folder(project, target / EXPORTED_IMAGES, rows, placing)
        files.append(f"{EXPORTED_IMAGES}/")
    labels = sum(row.answer == "class" for row in rows)
    return Exported(target, tuple(files), labels, left_out, tuple(notes))


GRAPHS = {"torch-export": (TORCH_FILE, export_torch), "onnx": (ONNX_FILE, export_onnx)}
"""File and function for each format that is a graph."""


def _export_model(
    project: Project, target: Path, formats: Collection[str], licence: str, download: bool
) -> ExportedModel | None:
    """Write the newest classifier; None when there is none."""
    record = project.models.newest()
    if record is None:
        return None
    classifier = _named_as_now(project, record, Classifier.load(project.folder / record.folder))
    model = ExportedModel(record, classifier, licence=licence or default_licence(classifier.description))
    return write_model(model, target, formats, download)


def write_model(
    model: ExportedModel, target: Path, formats: Collection[str], download: bool = False
) -> ExportedModel:
    """Write a classifier in those of the formats that are of models, with its metadata.

    Args:
        model: the classifier and its figures.
        target: an empty folder.
        formats: some of :data:`FORMATS`.
        download: whether weights of its backbone that are not on this machine may be fetched.

    Returns:
        The same with the files that were written, and notes on what was not.

    Raises:
        BadInput: a graph is to be written and its backbone is missing or another one.
        RunFailed: a file cannot be written, or a download failed.
    """
    classifier = model.classifier
    described = metadata(model)
    files, graphs, notes = [METADATA_FILE], [], []
    if "model" in formats:
        classifier.save(target / MODEL)
        write_exported(target / MODEL_SNIPPET_FILE, MODEL_SNIPPET.encode())
        files += [f"{MODEL}/", MODEL_SNIPPET_FILE]
    for format in (each for each in GRAPHS if each in formats):
        name, write = GRAPHS[format]
        classifier.backbone(download)
        try:
            graphs.append(write(classifier, target / name, described))
        except NotPortable as error:
            notes.append(f"{error.problem} {error.hint}")
    if "trunk" in formats:
        try:
            export_trunk(classifier, target / TRUNK_FILE, model.licence)
            files += [TRUNK_FILE, FRAMING_FILE]
        except NotPortable as error:
            notes.append(f"{error.problem} {error.hint}")
    for graph in graphs:
        name, snippet = SNIPPETS[graph.file]
        write_exported(target / name, snippet.encode())
        files += [graph.file, name]
    written = {**described, "versions": {graph.file: dict(graph.versions) for graph in graphs}}
    write_exported(
        target / METADATA_FILE, (json.dumps(written, indent=1, ensure_ascii=False) + "\n").encode()
    )
    return replace(model, files=tuple(files), graphs=tuple(graphs), notes=tuple(notes))


def _named_as_now(project: Project, record: ModelRecord, classifier: Classifier) -> Classifier:
    """The classifier with the names that its classes have now, and the newest figures."""
    before = dict(zip(classifier.description.class_ids, classifier.description.class_names, strict=True))
    names = {**before, **{each.id: each.name for each in project.classes.all()}}
    described = replace(
        classifier.description,
        class_names=tuple(names[class_id] for class_id in record.class_ids),
        facts={**classifier.description.facts, **figures(record)},
    )
    return Classifier(described, classifier.network.state_dict(), classifier.projection)


def _publish(folder: Path, target: Path) -> None:
    """Move what was written to its place; nothing that was there is lost but what it replaces."""
    for path in sorted(folder.iterdir()):
        if path.name == EXPORTED_IMAGES:
            _publish_images(path, target / EXPORTED_IMAGES)
            continue
        if path.is_dir() and (target / path.name).exists():
            (target / path.name).rename(folder / f"{UNPUBLISHED}{path.name}")
        path.replace(target / path.name)


def _publish_images(folder: Path, target: Path) -> None:
    """Images that an earlier export wrote and that have another class or none now are removed, unless they were
    changed."""
    before = _earlier_images(target)
    written = {path.relative_to(folder).as_posix() for path in folder.glob("*/*")}
    for path in sorted(folder.glob("*/*")):
        place = target / path.relative_to(folder)
        place.parent.mkdir(parents=True, exist_ok=True)
        path.replace(place)
    for path in folder.glob("*.json*"):
        target.mkdir(exist_ok=True)
        path.replace(target / path.name)
    for name in before.keys() - written:
        stale = target / name
        if stale.is_symlink() or (stale.is_file() and _content_hash(stale) == before[name]):
            stale.unlink()
            with suppress(OSError):  # other files in it
                stale.parent.rmdir()


def _image_folder(
    project: Project, folder: Path, rows: Sequence[LabelRow], placing: Placing
) -> tuple[str, ...]:
    """One folder per class; file names begin with the image's number, so that all are different.

    Files beside the folders hold the class of each folder, and the annotation events of each image, so that an import
    adds none twice.

    Returns:
        paths of the images that were left out.
    """
    folders = class_folder_names(sorted({row.label for row in rows if row.label}))
    left_out = []
    placed = []
    folder.mkdir()
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
        class_folder.mkdir(exist_ok=True)
        name = f"{row.image_id:06d}-{_end_of(PurePosixPath(row.path).name)}"
        if placing == "link":
            (class_folder / name).symlink_to(source)
        else:
            shutil.copyfile(source, class_folder / name)
        placed.append(replace(row, path=f"{class_folder.name}/{name}"))
    write_exported(folder / EXPORTED_LABELS, as_jsonl(placed))
    named = {row.label for row in placed}
    write_exported(
        folder / EXPORTED_CLASSES,
        class_folders_json({name: inside for name, inside in folders.items() if name in named}),
    )
    return tuple(left_out)


def _earlier_images(folder: Path) -> dict[str, str]:
    """Content hash by path of the images that an earlier export wrote into a folder."""
    try:
        lines = (folder / EXPORTED_LABELS).read_bytes().split(b"\n")
        rows = [
            (PurePosixPath(row["path"]), str(row["sha256"])) for row in map(json.loads, filter(None, lines))
        ]
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
    ):  # none, or it was changed: what an export wrote is unknown
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
