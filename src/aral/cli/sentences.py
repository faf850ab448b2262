"""What the commands of labelling say of an import, of labels, and of what will measure."""

from __future__ import annotations

from pathlib import Path

from aral.annotation import Project, SyncResult, import_labels
from aral.errors import BadInput
from aral.words import counted


def said_of_import(result: SyncResult) -> str:
    """What came of an import."""
    copies = counted(result.duplicates, "of them a copy", "of them copies")
    unreadable = f"{counted(result.unreadable, 'file')} could not be read."
    animated = counted(len(result.first_frames), "animation")
    frames = f" Of {animated} the first frame counts." if result.first_frames else ""
    return f"{counted(result.readable, 'image')}, {copies}; {unreadable}{frames}"


def said_of_measuring(project: Project) -> str:
    """How much of the budget measures, and how to change that."""
    measuring, budget = project.estimate.image_ids().size, project.settings.get().budget
    if not measuring:
        return "No label will measure: how good the classifier is stays unknown (--estimate-share 0.2)."
    spent = min(budget or project.images.count(), project.images.count())
    return (
        f"{measuring} of {counted(spent, 'label')} will measure how good the classifier is, on images drawn at "
        "random, and never train it (--estimate-share changes that)."
    )


def check_images(project: Project) -> None:
    """Refuse to wait for answers when there is nothing to show.

    Raises:
        BadInput: no image could be read; names the first files and why.
    """
    if project.images.count():
        return
    shown = "; ".join(f"{bad.path!r}: {bad.reason}" for bad in project.images.unreadable()[:3])
    raise BadInput(
        f"{project.photos} holds no readable image{f'; left out: {shown}' if shown else ''}.",
        "Give a folder with JPEG, PNG, WebP, BMP, GIF or TIFF files.",
    )


def said_of_labels(project: Project, source: Path, annotator: str = "import") -> str:
    """Take labels in and say what came of it."""
    done = import_labels(project, source, annotator)
    parts = [
        f"{counted(done.recorded, 'label is', 'labels are')} taken in; "
        f"{counted(done.repeated, 'was', 'were')} there already."
    ]
    if done.new_classes:
        parts.append(f"New classes: {', '.join(done.new_classes)}.")
    if done.unknown:
        shown = ", ".join(repr(path) for path in done.unknown[:3])
        parts.append(
            f"{counted(len(done.unknown), 'image is', 'images are')} not in the project, such as {shown}."
        )
    return " ".join(parts)
