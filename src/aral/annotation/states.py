"""What people have said of images, in a project's own words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from aral.annotation import HistoryEntry, Project
from aral.annotation.consensus import Vote, consensus_of

_PAGE = 5000


def unlabelled_states(project: Project) -> dict[int, str]:
    """For images that were answered and have no class: ``skip``, ``unsure``, ``bad image``, …, ``conflict``."""
    votes: dict[int, dict[str, Vote]] = {}
    for annotator in project.annotators.all():
        for answered in every_answer(project, annotator.name):
            # The newest comes first; each person has one voice.
            vote: Vote = (answered.action, answered.class_id)
            votes.setdefault(answered.image_id, {}).setdefault(annotator.name, vote)
    merges = live_class_by_id(project)
    states = {image_id: consensus_of(list(of.values()), merges).state for image_id, of in votes.items()}
    return {image_id: state for image_id, state in states.items() if state not in (None, "class")}


def every_answer(project: Project, annotator: str) -> Iterator[HistoryEntry]:
    """Somebody's answers that were not taken back, the newest first."""
    before: int | None = None
    while page := project.annotations.history(annotator, before, _PAGE):
        yield from (answered for answered in page if not answered.cancelled)
        before = page[-1].seq


def live_class_by_id(project: Project) -> Mapping[int, int]:
    """For every class there ever was the live one it belongs to now."""
    changes = project.classes.changes()
    live = {change.class_id: change.class_id for change in changes if change.change == "add"}
    for change in changes:
        if change.change == "merge":
            gone, into = change.class_id, int(change.detail["into"])
            live = {one: into if target == gone else target for one, target in live.items()}
    return live
