"""What several people's answers come to, by hand."""

from __future__ import annotations

from aral.annotation import LabelCounts, Project

from .conftest import MakeProject, change_settings, given, label_map, picture


def test_the_majority_decides_and_a_tie_is_a_conflict(project: Project) -> None:
    change_settings(project, overlap=5)
    votes: dict[int, list[int | str]] = {
        0: [0, 0, 1],
        1: [0, 1],
        2: [0, "skip", "unsure"],
        3: ["bad image", "bad image", 0],
        4: ["none of these"],
        5: ["skip", "skip"],
        6: ["skip", "unsure"],
        7: [0, 0, 1, 1],
        8: [0, "bad image"],
    }
    for image_id, answers in votes.items():
        for person, answer in zip(("Ann", "Bob", "Cyd", "Dan"), answers, strict=False):
            project.annotations.append(given(image_id, answer, person))
    first, second = project.labels.all()
    assert (first.image_id, first.class_id, first.annotators) == (0, 0, ("Ann", "Bob"))
    assert first.agreement == 2 / 3 and first.use == "training" and not first.inherited
    assert (second.image_id, second.annotators, second.agreement) == (2, ("Ann",), 1.0)
    conflicts = project.labels.disagreements()
    assert [conflict.image_id for conflict in conflicts] == [1, 7, 8]
    assert conflicts[2].votes == (("Ann", "class", 0), ("Bob", "bad image", None))
    assert project.labels.counts() == LabelCounts(
        labelled=2, skipped=1, unsure=1, bad=1, none=1, conflicts=3, for_training=2, for_estimate=0
    )


def test_a_change_of_mind_solves_a_conflict(project: Project) -> None:
    project.annotations.append(given(1, 0, "Ann"))
    project.annotations.append(given(1, 1, "Bob"))
    assert project.labels.all() == []
    project.annotations.append(given(1, 1, "Ann"))
    (label,) = project.labels.all()
    assert (label.class_id, label.annotators, label.seq) == (1, ("Bob", "Ann"), 3)
    assert project.labels.disagreements() == []


def test_merged_classes_are_one(project: Project) -> None:
    kitten = project.classes.add("kitten", "Ann").id
    project.annotations.append(given(1, 0, "Ann"))
    project.annotations.append(given(1, kitten, "Bob"))
    project.annotations.append(given(2, kitten, "Ann"))
    assert len(project.labels.disagreements()) == 1 and label_map(project) == {2: kitten}
    project.classes.merge(kitten, 0, "Ann")
    assert project.labels.disagreements() == [] and label_map(project) == {1: 0, 2: 0}
    assert project.labels.counts().labelled == 2 and project.labels.counts().conflicts == 0
    project.annotations.append(given(3, kitten, "Cyd"))  # from a page that has not heard of it
    assert label_map(project)[3] == 0


def test_a_merge_can_make_a_tie(project: Project) -> None:
    """cat 1, kitten 1, dog 2: dog wins, until cat and kitten are one."""
    change_settings(project, overlap=4)
    kitten = project.classes.add("kitten", "Ann").id
    for person, class_id in zip("ABCD", (0, kitten, 1, 1), strict=True):
        project.annotations.append(given(9, class_id, person))
    assert label_map(project) == {9: 1}
    project.classes.merge(kitten, 0, "Ann")
    assert label_map(project) == {} and project.labels.counts().conflicts == 1
    assert project.labels.disagreements()[0].votes[1] == ("B", "class", 0)


def test_exact_copies_share_a_label(make_project: MakeProject, photos: object) -> None:
    project = make_project(4)
    copy = project.photos / "zz.png"
    copy.write_bytes((project.photos / "002.png").read_bytes())
    picture(77).save(project.photos / "new.png")
    project.images.sync()
    assert project.images.duplicates() == {2: (5,)} and project.images.get(5).duplicate_of == 2
    assert project.images.labelable_ids().tolist() == [0, 1, 2, 3, 4] and project.images.count() == 5
    receipt = project.annotations.append(
        given(5, 1)
    )  # the copy is shown somewhere: the answer counts for the first
    assert receipt.image_id == 2
    labels = project.labels.all()
    assert [(label.image_id, label.class_id, label.inherited) for label in labels] == [
        (2, 1, False),
        (5, 1, True),
    ]
    assert project.labels.counts().labelled == 1
    project.annotations.append(given(5, "undo"))
    assert project.labels.all() == []


def test_a_label_outlives_its_file(project: Project) -> None:
    project.annotations.append(given(3, 1))
    (project.photos / "003.png").unlink()
    project.images.sync()
    assert project.images.get(3).status == "missing"
    assert label_map(project) == {3: 1} and project.labels.counts().labelled == 1
    assert 3 not in project.images.labelable_ids()
