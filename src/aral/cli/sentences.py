"""What the commands of labelling say of an import, of labels, and of what will measure."""

from __future__ import annotations

from aral.annotation import Imported, ImportResult, LabelImport, Project, UndoneImport
from aral.errors import BadInput
from aral.words import counted

MOST_REASONS, MOST_PATHS = 5, 3


def said_of_import(result: ImportResult) -> str:
    """What came of an import."""
    copies = counted(result.duplicates, "of them a copy", "of them copies")
    unreadable = f"{counted(result.unreadable, 'file')} could not be read."
    animated = counted(len(result.first_frames), "animation")
    frames = f" Of {animated} the first frame counts." if result.first_frames else ""
    return f"{counted(result.readable, 'image')}, {copies}; {unreadable}{frames}"


def said_of_measuring(project: Project) -> str:
    """How much of the budget measures, and how to change that."""
    measuring, budget = project.estimate_slice().size, project.settings().budget
    if not measuring:
        return "No label will measure: how good the classifier is stays unknown (--estimate-share 0.2)."
    spent = min(budget or project.image_count(), project.image_count())
    return (
        f"{measuring} of {counted(spent, 'label')} will measure how good the classifier is, on images drawn at "
        "random, and never train it (--estimate-share changes that)."
    )


def check_images(project: Project) -> None:
    """Refuse to wait for answers when there is nothing to show.

    Raises:
        BadInput: no image could be read; names the first files and why.
    """
    if project.image_count():
        return
    shown = "; ".join(f"{bad.path!r}: {bad.reason}" for bad in project.unreadable()[:3])
    raise BadInput(
        f"{project.photos} holds no readable image{f'; left out: {shown}' if shown else ''}.",
        "Give a folder with JPEG, PNG, WebP, BMP, GIF or TIFF files.",
    )


def said_of_labels(done: Imported) -> str:
    """What came of an import of labels, with counts and reasons."""
    parts = [
        *done.notes,
        f"{counted(done.recorded, 'label is', 'labels are')} taken in; "
        f"{counted(done.repeated, 'was', 'were')} there already.",
    ]
    if done.changed_since:
        changed = counted(done.changed_since, "of them was", "of them were")
        parts.append(f"{changed} changed since; the newer label stays.")
    if done.replaced:
        lines = counted(done.replaced, "label is", "labels are")
        parts.append(f"{lines} replaced by a later line on the same image.")
    if done.new_classes:
        parts.append(f"New classes: {', '.join(done.new_classes)}.")
    for reason, count in list(done.reasons.items())[:MOST_REASONS]:
        paths = [repr(each.path) for each in done.not_taken if each.reason == reason]
        shown = ", ".join(paths[:MOST_PATHS]) + (" and others" if count > MOST_PATHS else "")
        parts.append(f"{counted(count, 'label is', 'labels are')} not taken, because {reason}: {shown}")
    left = len(done.reasons) - MOST_REASONS
    if left > 0:
        parts.append(f"Further labels are not taken, for {counted(left, 'more reason')} (--json lists all).")
    if done.number is not None:
        parts.append(f"This is import {done.number}; aral import PROJECT --undo {done.number} takes it back.")
    return "\n".join(parts)


def said_of_undo(done: UndoneImport) -> str:
    """What came of the undo of an import."""
    parts = [
        f"Import {done.undoes} ({_printable(done.source)}) is taken back: "
        f"{counted(done.taken_back, 'label')}; {counted(done.changed_since, 'image keeps', 'images keep')} "
        "a label that was given since."
    ]
    if done.taken_back_before:
        parts.append(f"{counted(done.taken_back_before, 'label was', 'labels were')} taken back before.")
    if done.removed_classes:
        parts.append(f"Removed classes: {', '.join(done.removed_classes)}.")
    if done.kept_classes:
        parts.append(f"Classes that stay, because they are used: {', '.join(done.kept_classes)}.")
    return " ".join(parts)


def said_of_entry(entry: LabelImport) -> str:
    """A line of the list of imports."""
    counts = ", ".join(f"{name} {count}" for name, count in entry.counts.items() if count)
    what = f"undo of {entry.undoes}" if entry.undoes is not None else _printable(entry.source)
    undone = f"; taken back by {entry.undone_by}" if entry.undone_by is not None else ""
    classes = f"; new classes: {', '.join(entry.new_classes)}" if entry.new_classes else ""
    return f"{entry.number}  {entry.imported_at}  {what}: {counts or 'nothing'}{classes}{undone}"


def _printable(text: str) -> str:
    return text if text.isprintable() else repr(text)
