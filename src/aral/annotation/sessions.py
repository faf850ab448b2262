"""The sessions of a project: one folder ``session-N`` for each set of classes and options it was trained with."""

from __future__ import annotations

import shutil
from dataclasses import dataclass

from aral.annotation import Project
from aral.annotation.options import TrainingOptions
from aral.annotation.presets import Material, spec_for
from aral.annotation.run_folders import PREFIX, session_folders
from aral.annotation.training_images import ProjectImages
from aral.benchmarking import RunSpec, validated
from aral.durable import Json
from aral.loop import Store
from aral.loop.training import CHECKPOINTS


@dataclass(frozen=True)
class Identity:
    """What a course is on; another one needs another course."""

    class_ids: tuple[int, ...]
    options: TrainingOptions
    side: int
    channels: int

    def as_json(self) -> Json:
        """The same for the store."""
        return {
            "class ids": list(self.class_ids),
            "options": self.options.model_dump(mode="json"),
            "side": self.side,
            "channels": self.channels,
        }


def identity_of(project: Project, options: TrainingOptions) -> Identity:
    """What a course would be on now.

    Raises:
        BadInput: nothing was imported yet.
    """
    pixels = project.pixels()
    class_ids = tuple(each.id for each in project.classes())
    return Identity(class_ids, options, pixels.side, pixels.channels)


def open_session(project: Project, identity: Identity, images: ProjectImages) -> tuple[Store, int, RunSpec]:
    """The newest session if it is on the same, otherwise a new one."""
    before = session_folders(project.folder)
    if before:
        number, path = before[-1]
        store = Store.open(path, create=True)
        if store.setting("identity") == identity.as_json():
            kept = store.setting("spec")
            assert isinstance(kept, dict)
            return store, number, validated(kept)
        store.close()
    number = before[-1][0] + 1 if before else 1
    material = Material(
        images.pool.shape, len(images.pool), len(identity.class_ids), project.settings().budget
    )
    spec = spec_for(project.folder, material, identity.options)
    store = Store.open(project.folder / f"{PREFIX}{number}", create=True)
    _settle(store, project, identity, spec, len(images.pool))
    for _, path in before:
        # What was learned about other classes is of no more use; figures and events stay.
        shutil.rmtree(path / CHECKPOINTS, ignore_errors=True)
    return store, number, spec


def _settle(store: Store, project: Project, identity: Identity, spec: RunSpec, pool_size: int) -> None:
    """Write what a new session is about."""
    names = {each.id: each.name for each in project.classes()}
    rounds = [model.round for model in project.models()]
    values: dict[str, Json] = {
        "data": project.photos.name.encode("utf-8", "replace").decode() or "images",
        "note": "accuracy on the estimate slice",
        "method": str(spec.method),
        "learner": spec.learner.title,
        "acquisition": spec.acquisition,
        "first query": spec.rounds.first_query,
        "seed": spec.seed,
        "class names": [names.get(class_id, str(class_id)) for class_id in identity.class_ids],
        "query size": spec.rounds.query_size,
        "budget": project.settings().budget,
        "pool size": pool_size,
        "first round": max(rounds) + 1 if rounds else 0,
        "spec": spec.model_dump(mode="json"),
    }
    for key, value in values.items():
        store.record_setting(key, value)
    # Last, because its presence means that all the others are there.
    store.record_setting("identity", identity.as_json())
