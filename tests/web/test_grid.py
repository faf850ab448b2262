"""Pages of the grid."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from aral.annotation import AnswerEvent, Project, TrainingState
from aral.annotation.predictions import hides_suggestion
from aral.web import grid
from tests.web.conftest import IMAGES, event, record_model, suggest_zero_shot


def page(client: TestClient, **query: Any) -> Any:
    answer = client.get("/api/grid", params={"annotator": "Ann", **query})
    assert answer.status_code == 200, answer.text
    return answer.json()


def cells(answer: Any) -> list[dict[str, Any]]:
    return [cell for group in answer["groups"] for cell in group["cells"]]


def test_before_any_model_nothing_is_predicted(reader: TestClient) -> None:
    assert page(reader) == {"groups": [], "next": None}


def test_groups_are_classes_and_the_surest_come_first(client: TestClient, project: Project) -> None:
    record_model(project)
    answer = page(client)
    assert [group["class_id"] for group in answer["groups"]] == [0, 1, 2]
    for group in answer["groups"]:
        sure = [cell["suggestion"]["probability"] for cell in group["cells"]]
        assert sure == sorted(sure, reverse=True)
        assert {cell["image_id"] % 3 for cell in group["cells"]} == {group["class_id"]}
        assert group["cells"][0]["thumbnail"].startswith(f"/thumbnail/{group['cells'][0]['image_id']}?v=")


def test_zero_shot_suggestions_are_grouped_and_made_anew(client: TestClient, project: Project) -> None:
    suggest_zero_shot(project)
    answer = page(client)
    assert [group["class_id"] for group in answer["groups"]] == [0, 1, 2]
    assert {cell["suggestion"]["model_number"] for cell in cells(answer)} == {-1}
    withheld = {id for id in range(IMAGES) if hides_suggestion([id])[0]}
    withheld |= set(project.estimate.image_ids().tolist())
    assert not withheld & {cell["image_id"] for cell in cells(answer)}
    suggest_zero_shot(project)
    assert {cell["suggestion"]["model_number"] for cell in cells(page(client))} == {-2}


@pytest.fixture
def searchable(project: Project) -> Project:
    """A project whose training worker runs and has a backbone with text."""
    project.searches.set_representation("hf:tiny")
    project.models.set_training_state(TrainingState("idle"))
    return project


def test_a_search_waits_for_the_worker_and_shows_the_most_similar_first(
    client: TestClient, searchable: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grid, "PAGE_SIZE", 5)
    status = client.get("/api/status", params={"annotator": "Ann"}).json()
    assert status["search"] is True
    number = client.post("/api/searches", json={"words": " a dog  on grass"}).json()["number"]
    waiting = page(client, group="search", search=number)
    assert waiting == {"groups": [], "next": None, "words": "a dog on grass", "waiting": True, "unread": 0}
    suggest_zero_shot(searchable)
    ids = np.array([12, 3, 40, 7, 21, 66, 30])
    client.post("/api/answers", json={"events": [event(40, class_id=1)]})
    searchable.searches.answer(number, ids, np.linspace(0.9, 0.1, 7, dtype=np.float32), 11)
    first = page(client, group="search", search=number)
    assert (first["waiting"], first["unread"]) == (False, 11)
    assert [cell["image_id"] for cell in cells(first)] == [12, 3, 40, 7, 21]
    assert {group["class_id"] for group in first["groups"]} == {None}
    assert all(cell["suggestion"] is None for cell in cells(first)), "nothing that could be accepted"
    assert cells(first)[2]["label"] == {"action": "class", "class_id": 1}
    rest = page(client, group="search", search=number, offset=first["next"])
    assert [cell["image_id"] for cell in cells(rest)] == [66, 30] and rest["next"] is None


def test_found_images_are_leased_to_the_page(client: TestClient, searchable: Project) -> None:
    number = client.post("/api/searches", json={"words": "a dog"}).json()["number"]
    searchable.searches.answer(number, np.array([12, 3, 40]), np.ones(3, dtype=np.float32), 0)
    page(client, group="search", search=number)
    other = page(client, group="unlabelled", annotator="Bob", tab="t")
    assert not {12, 3, 40} & {cell["image_id"] for cell in cells(other)}


@pytest.mark.parametrize(
    ("words", "code"), [("", 422), ("   ", 400), ("x" * 201, 422), ("\udcff", 422), (7, 422), (None, 422)]
)
def test_words_that_cannot_be_searched_are_refused(
    client: TestClient, searchable: Project, words: object, code: int
) -> None:
    answer = client.post(
        "/api/searches", content=json.dumps({"words": words}), headers={"content-type": "application/json"}
    )
    assert answer.status_code == code, answer.text
    assert searchable.searches.waiting() == []


def test_searches_that_cannot_be_answered_say_why(client: TestClient, project: Project) -> None:
    def fails(answer: Any, said: str) -> None:
        assert answer.status_code == 400 and said in answer.json()["problem"], answer.text

    assert client.get("/api/status", params={"annotator": "Ann"}).json()["search"] is False
    words, query = {"words": "a dog"}, {"annotator": "Ann", "group": "search"}
    fails(client.post("/api/searches", json=words), "has no text")
    project.searches.set_representation("hf:tiny")
    fails(client.post("/api/searches", json=words), "answered by the training worker")
    project.models.set_training_state(TrainingState("idle"))
    number = client.post("/api/searches", json=words).json()["number"]
    project.searches.refuse(number, "The tokenizer is gone.")
    fails(client.get("/api/grid", params={**query, "search": number}), "The tokenizer is gone.")
    fails(client.get("/api/grid", params={**query, "search": number + 1}), "not kept any more")


def test_pages_follow_each_other_without_gap_or_repetition(client: TestClient, project: Project) -> None:
    measuring = set(project.estimate.image_ids().tolist())
    first = page(client, group="unlabelled")
    seen = [cell["image_id"] for cell in cells(first)]
    while first["next"] is not None:
        first = page(client, group="unlabelled", offset=first["next"])
        seen += [cell["image_id"] for cell in cells(first)]
    assert sorted(seen) == sorted(set(range(IMAGES)) - measuring)


def test_suggestions_are_only_where_they_are_shown_and_never_where_they_are_held_back(
    client: TestClient, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    record_model(project)
    everything = set(range(IMAGES))
    measuring = set(project.estimate.image_ids().tolist())
    hidden = {image for image in everything if hides_suggestion([image])[0]}
    assert measuring and hidden - measuring
    answer = page(client)
    predicted = cells(answer)
    while answer["next"] is not None:
        answer = page(client, offset=answer["next"])
        predicted += cells(answer)
    assert {cell["image_id"] for cell in predicted} == everything - measuring - hidden
    assert all(cell["suggestion"] for cell in predicted)
    monkeypatch.setattr(project.images, "near_duplicates", lambda: (tuple(range(IMAGES)),))
    near, unlabelled = cells(page(client, group="near")), cells(page(client, group="unlabelled"))
    assert len(near) == IMAGES and len(unlabelled) == IMAGES - len(measuring)
    assert not any(cell["suggestion"] for cell in near + unlabelled)
    known = {cell.image_id: cell.suggestion for cell in project.grid.cells(range(IMAGES))}
    assert {image for image, said in known.items() if said is None} == measuring | hidden


def test_an_answered_cell_is_marked_and_keeps_its_position(client: TestClient, project: Project) -> None:
    record_model(project)
    before = cells(page(client))
    client.post("/api/answers", json={"events": [event(before[1]["image_id"])]})
    after = cells(page(client))
    assert [cell["image_id"] for cell in after] == [cell["image_id"] for cell in before]
    assert [cell["answered"] for cell in after[:3]] == [False, True, False]


def test_groups_of_near_duplicates_are_never_torn_apart(
    client: TestClient, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = [tuple(range(start, start + 20)) for start in (0, 20, 40)]
    groups = (*large, (60, 61), (62, 63))
    monkeypatch.setattr(project.images, "near_duplicates", lambda: groups)
    first = page(client, group="near")
    assert [len(group["cells"]) for group in first["groups"]] == [20, 20, 20, 2, 2]
    monkeypatch.setattr(project.images, "near_duplicates", lambda: (*large, tuple(range(60, 65)), (1, 2)))
    first = page(client, group="near")
    assert [len(group["cells"]) for group in first["groups"]] == [20, 20, 20]
    second = page(client, group="near", offset=first["next"])
    assert [[cell["image_id"] for cell in group["cells"]] for group in second["groups"]] == [
        [60, 61, 62, 63, 64],
        [1, 2],
    ]
    assert second["next"] is None


def test_two_annotators_and_two_tabs_never_see_the_same_tile(
    client: TestClient, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grid, "PAGE_SIZE", 12)
    record_model(project)
    held = [card["image_id"] for card in client.get("/api/next?annotator=Cyd&count=5").json()["cards"]]
    for group in ("predicted", "unlabelled"):
        seen = list(held)
        for person, tab in (("Ann", "left"), ("Ann", "right"), ("Bob", "")):
            seen += [cell["image_id"] for cell in cells(page(client, group=group, annotator=person, tab=tab))]
        assert len(seen) == len(set(seen)) == 5 + 3 * 12


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"annotator": "A", "group": "all"},
        {"annotator": "A", "offset": -1},
        {"annotator": "A", "offset": "x"},
    ],
)
def test_what_is_no_page(reader: TestClient, query: dict[str, Any]) -> None:
    assert reader.get("/api/grid", params=query).status_code == 422


CAT, DOG, BIRD = ({"action": "class", "class_id": class_id} for class_id in range(3))


def bulk(client: TestClient, image_id: int, class_id: int, replaces: dict[str, Any] | None) -> Any:
    """Answer a tile as a bulk key does; gives the refused answers."""
    sent = event(image_id, class_id=class_id, browsed=True, replaces={"label": replaces})
    response = client.post("/api/answers", json={"events": [event(60), sent]})
    assert response.status_code == 200, response.text
    return [each.get("reason", each["problem"]) for each in response.json()["refused"]]


def label_of(client: TestClient, image_id: int, annotator: str = "Ann") -> Any:
    shown = cells(page(client, group="near", annotator=annotator))
    return next(cell["label"] for cell in shown if cell["image_id"] == image_id)


@pytest.fixture
def alike(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The images 0 to 11 are near-duplicates."""
    monkeypatch.setattr(project.images, "near_duplicates", lambda: (tuple(range(12)),))


@pytest.mark.usefixtures("alike")
def test_a_bulk_answer_replaces_only_the_label_that_it_states(client: TestClient, project: Project) -> None:
    assert bulk(client, 3, 0, None) == []
    assert label_of(client, 3) == CAT
    assert bulk(client, 3, 2, None) == ["label changed"]
    assert bulk(client, 3, 2, DOG) == ["label changed"]
    assert bulk(client, 3, 2, {"action": "none of these"}) == ["label changed"]
    assert label_of(client, 3) == CAT
    assert 60 in project.labels.provenance(), "the other answers of a request are saved"
    assert bulk(client, 3, 2, CAT) == []
    assert label_of(client, 3) == BIRD
    client.post("/api/answers", json={"events": [event(3, "undo"), event(3, "undo")]})
    assert label_of(client, 3) is None
    assert bulk(client, 3, 1, CAT) == ["label changed"], "the label that it states was undone"
    assert bulk(client, 3, 1, None) == []


@pytest.mark.usefixtures("alike")
def test_labels_of_other_annotators_count_where_no_more_answers_are_needed(
    client: TestClient, project: Project
) -> None:
    bob = [AnswerEvent(f"bob-{image}", image, "Bob", "class", 1) for image in (3, 4)]
    project.annotations.append_many(bob)
    assert label_of(client, 3) == DOG
    assert bulk(client, 3, 0, None) == ["label changed"]
    assert bulk(client, 3, 0, DOG) == []
    assert label_of(client, 3) == CAT, "the annotator's own answer"
    assert label_of(client, 3, "Cyd") == {"action": "conflict", "class_id": None}
    project.settings.set(replace(project.settings.get(), overlap=2))
    assert label_of(client, 4) is None, "a second opinion replaces nothing"
    assert bulk(client, 4, 0, None) == []


@pytest.mark.usefixtures("alike")
def test_skips_are_no_labels_and_merged_classes_are_the_same(client: TestClient, project: Project) -> None:
    client.post("/api/answers", json={"events": [event(3, "unsure"), event(4, class_id=2)]})
    assert label_of(client, 3) is None
    assert bulk(client, 3, 0, None) == []
    project.classes.merge(2, 1, "Ann")
    assert label_of(client, 4) == DOG
    assert bulk(client, 4, 0, BIRD) == [], "the page that sent it has not seen the merge"


def test_impossible_labels_to_replace_are_refused(client: TestClient) -> None:
    for replaces in ({"label": {"action": "skip"}}, {"label": 3}, {}, {"label": None, "more": 1}):
        body = {"events": [event(3, replaces=replaces)]}
        assert client.post("/api/answers", json=body).status_code == 422
