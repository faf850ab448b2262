"""Pages of the grid."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

from aral.annotation import Project
from aral.annotation.predictions import hides_suggestion
from aral.web import grid
from tests.web.conftest import IMAGES, event, record_model


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
