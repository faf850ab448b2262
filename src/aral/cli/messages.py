"""Messages of the labelling commands: imported images, imported labels, and the estimate set."""

from __future__ import annotations

from aral.annotation import LabelImport, LabelImportResult, Project, SyncResult, UndoneImport
from aral.errors import BadInput
from aral.words import counted

MOST_REASONS, MOST_PATHS = 5, 3


def import_message(result: SyncResult) -> str:
    """The result of an import of images."""
    copies = counted(result.duplicates, "of them a copy", "of them copies")
    unreadable = f"{counted(result.unreadable, 'file')} could not be read."
    animated = counted(len(result.first_frames), "animation")
    frames = f" Of {animated} the first frame is used." if result.first_frames else ""
    return f"{counted(result.readable, 'image')}, {copies}; {unreadable}{frames}"


def estimate_set_message(project: Project) -> str:
    """The size of the estimate set, and how to change it."""
    measuring, budget = project.estimate.image_ids().size, project.settings.get().budget
    if not measuring:
        return "There is no estimate set, so the accuracy of the classifier will be unknown (--estimate-share 0.2)."
    spent = min(budget or project.images.count(), project.images.count())
    return (
        f"{measuring} of {counted(spent, 'label')} are for the estimate set: images drawn at random that only "
        "estimate the accuracy of the classifier and never train it (--estimate-share changes the number)."
    )


def check_images(project: Project) -> None:
    """Refuse a project without a readable image.

    Raises:
        BadInput: no image could be read; names the first files and why.
    """
    if project.images.count():
        return
    shown = "; ".join(f"{bad.path!r}: {bad.reason}" for bad in project.images.unreadable()[:3])
    raise BadInput(
        f"{project.photos} holds no readable image{f'; skipped: {shown}' if shown else ''}.",
        "Give a folder with JPEG, PNG, WebP, BMP, GIF or TIFF files.",
    )


def imported_labels_message(done: LabelImportResult) -> str:
    """The result of an import of labels, with counts and reasons."""
    parts = [
        *done.notes,
        f"{counted(done.recorded, 'label is', 'labels are')} imported; "
        f"{counted(done.repeated, 'was', 'were')} already there.",
    ]
    if done.changed_since:
        changed = counted(done.changed_since, "of them was", "of them were")
        parts.append(f"{changed} changed since; the newer label stays.")
    if done.replaced:
        lines = counted(done.replaced, "label is", "labels are")
        parts.append(f"{lines} replaced by a later one on the same image.")
    if done.new_classes:
        parts.append(f"New classes: {', '.join(done.new_classes)}.")
    for reason, count in list(done.reasons.items())[:MOST_REASONS]:
        paths = [repr(each.path) for each in done.rejected if each.reason == reason]
        shown = ", ".join(paths[:MOST_PATHS]) + (" and others" if count > MOST_PATHS else "")
        parts.append(f"{counted(count, 'label is', 'labels are')} not imported, because {reason}: {shown}")
    left = len(done.reasons) - MOST_REASONS
    if left > 0:
        parts.append(
            f"Further labels are not imported, for {counted(left, 'more reason')} (--json lists all)."
        )
    if done.number is not None:
        parts.append(f"This is import {done.number}; to undo it: aral import PROJECT --undo {done.number}")
    return "\n".join(parts)


def undo_message(done: UndoneImport) -> str:
    """The result of undoing an import."""
    parts = [
        f"Import {done.undoes} ({_printable(done.source)}) is undone: "
        f"{counted(done.undone, 'label')}; {counted(done.changed_since, 'image keeps', 'images keep')} "
        "a newer label."
    ]
    if done.undone_before:
        parts.append(f"{counted(done.undone_before, 'label was', 'labels were')} undone before.")
    if done.removed_classes:
        parts.append(f"Removed classes: {', '.join(done.removed_classes)}.")
    if done.kept_classes:
        parts.append(f"Classes that stay, because they are used: {', '.join(done.kept_classes)}.")
    return " ".join(parts)


def import_line(entry: LabelImport) -> str:
    """One line for the list of imports."""
    counts = ", ".join(f"{name} {count}" for name, count in entry.counts.items() if count)
    what = f"undo of {entry.undoes}" if entry.undoes is not None else _printable(entry.source)
    undone = f"; undone by {entry.undone_by}" if entry.undone_by is not None else ""
    classes = f"; new classes: {', '.join(entry.new_classes)}" if entry.new_classes else ""
    return f"{entry.number}  {entry.imported_at}  {what}: {counts or 'nothing'}{classes}{undone}"


def _printable(text: str) -> str:
    return text if text.isprintable() else repr(text)
