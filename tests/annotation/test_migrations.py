"""Projects of every earlier layout open, and are backed up before the migration."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from aral.annotation import BY_CHANCE, ImportedLabel, Project, Provenance
from aral.annotation.layout import APPLICATION_ID, MIGRATIONS
from aral.loop.database import Database, Schema
from aral.testing import answer_event
from tests.annotation.conftest import label_map, save_pictures

HERE = Path(__file__).parent


def old_project(photos: Path, layout: int) -> Path:
    """The file of a project as that layout's release left it; its pictures are those of the test's folder."""
    save_pictures(photos, 4)
    folder = photos / ".aral"
    folder.mkdir(mode=0o700)
    file = folder / "project.sqlite"
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript((HERE / f"project-layout-{layout}.sql").read_text(encoding="utf-8"))
    return file


@pytest.mark.parametrize("layout", range(1, len(MIGRATIONS) + 1))
def test_a_project_of_an_earlier_layout_opens_complete(photos: Path, layout: int) -> None:
    """The dumps were taken when their layouts were new; they are never made again."""
    old_project(photos, layout)
    with Project.open(photos) as project:
        names = [project.images.get(image_id).name for image_id in range(7)]
        assert names == ["000.png", "001.png", "002.png", "003.png", "bad.png", "caf\udce9.png", "zz.png"]
        assert project.images.get(6).duplicate_of == 0
        assert [(bad.path, bad.reason.value) for bad in project.images.unreadable()] == [
            ("bad.png", "not_an_image")
        ]
        live = [(each.id, each.name, each.key, each.guideline) for each in project.classes.all()]
        assert live == [(0, "Katze", "1", ""), (1, "dog", "2", "Barks.")]
        settings = project.settings.get()
        assert (settings.budget, settings.overlap, settings.estimate_share) == (40, 2, 0.0)
        assert label_map(project) == {2: 0}
        assert project.labels.disagreements()[0].votes == (("Ann", "class", 0), ("Bob", "class", 1))
        history = [(one.image_id, one.action, one.cancelled) for one in project.annotations.history("Ann")]
        assert history == [(2, "class", False), (2, "class", True), (1, "skip", False), (0, "class", False)]
        said = project.predictions.get(1)
        assert said is not None and (said.class_id, said.model_number) == (1, 1)
        assert said.probability == pytest.approx(0.8, abs=1e-3)
        assert (
            project.models.all()[0].folder == "models/01-0000"
            and project.models.generated_images() == b"\xff\xd8 picture"
        )
        assert project.queue.remaining() == 1 and project.models.training_state().message == "Waiting."
        asked = project.labels.provenance()
        assert (asked[1], asked[2]) == {
            1: (Provenance(None, "", None), Provenance(None, "", None)),  # what asked was not noted then
            2: (Provenance(None, BY_CHANCE, None), Provenance(0, "margin", 0.25)),
            3: (Provenance(None, BY_CHANCE, None), Provenance(0, "margin", 0.25)),
            4: (Provenance(None, BY_CHANCE, None), Provenance(0, "margin", 0.25)),
        }[layout]
        changes = [(each.class_id, each.change) for each in project.classes.changes()]
        assert changes[:3] == [(0, "add"), (1, "add"), (0, "rename")] and len(changes) == 6
        # Imports are units from layout 3 on; what was imported before is none.
        assert project.label_imports.entries() == []
        asked_elsewhere = Provenance(None, "import", None)
        project.label_imports.record("x.csv", [ImportedLabel(3, "Zoe", "class", "owl", asked_elsewhere)])
        assert label_map(project) == {2: 0, 3: 3}
        assert project.label_imports.undo().removed_classes == ("owl",)
        assert label_map(project) == {2: 0} and len(project.classes.all()) == 2
        # And it goes on from there.
        project.annotations.append(answer_event(3, 1))
        assert label_map(project)[3] == 1
        assert project.images.sync().complete


def test_a_project_is_backed_up_before_a_migration(photos: Path) -> None:
    file = old_project(photos, 1)
    added = (*MIGRATIONS, ("CREATE TABLE notes (body TEXT)",))
    moved = Database(file, False, Schema(APPLICATION_ID, "project", added), shared=True)
    assert moved.rows("SELECT count(*) FROM notes") == [(0,)]
    moved.close()
    backup = file.with_name("project.sqlite.v1.backup")
    assert backup.stat().st_mode & 0o777 == 0o600
    with closing(sqlite3.connect(backup)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
        assert connection.execute("SELECT count(*) FROM answers").fetchone() == (6,)
