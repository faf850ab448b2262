"""Cards to come, and the answers that were."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

from aral.annotation import Project
from tests.web.conftest import IMAGES
from tests.web.events import event


def cards(client: TestClient, **query: Any) -> list[dict[str, Any]]:
    answer = client.get("/api/next", params={"annotator": "Ann", **query})
    assert answer.status_code == 200, answer.text
    return list(answer.json()["cards"])


def test_a_card_says_what_the_page_needs(client: TestClient, project: Project) -> None:
    (card,) = cards(client, count=1)
    image = project.images.get(card["image_id"])
    assert card["name"] == image.name
    assert (card["width"], card["height"]) == (96, 72)
    assert card["thumbnail"] == f"/thumbnail/{image.id}?v={image.sha256[:16]}"
    assert card["large"] == f"/large/{image.id}?v={image.sha256[:16]}"
    assert client.get(card["thumbnail"]).headers["content-type"] == "image/jpeg"


def test_what_a_page_holds_is_not_given_again(client: TestClient) -> None:
    first = [card["image_id"] for card in cards(client, count=5, tab="one")]
    second = [
        card["image_id"] for card in cards(client, count=5, tab="one", holding=",".join(map(str, first)))
    ]
    assert len({*first, *second}) == 10
    assert [card["image_id"] for card in cards(client, count=5, tab="one")] == first


def test_two_tabs_and_two_people_never_hold_the_same_image(client: TestClient) -> None:
    held = [card["image_id"] for card in cards(client, count=6, tab="one")]
    held += [card["image_id"] for card in cards(client, count=6, tab="two")]
    held += [card["image_id"] for card in cards(client, count=6, annotator="Bob")]
    assert len(set(held)) == 18


def test_what_a_page_shows_stays_leased_with_the_status(client: TestClient, project: Project) -> None:
    held = [card["image_id"] for card in cards(client, count=6, tab="one")]
    query = {"group": "unlabelled", "annotator": "Ann", "tab": "one"}
    tiles = [cell["image_id"] for cell in client.get("/api/grid", params=query).json()["groups"][0]["cells"]]
    with project._database.transaction() as connection:
        connection.execute("UPDATE leases SET ends = ends - 595")
    shown = {"annotator": "Ann", "tab": "one", "holding": ",".join(map(str, held))}
    client.get("/api/status", params={**shown, "tiles": ",".join(map(str, tiles))})
    (first,) = project._database.row(
        "SELECT min(ends) - (SELECT value FROM counters WHERE name = 'clock') FROM leases"
    )
    assert first > 550
    client.get("/api/status", params={**shown, "tiles": ""})
    (left,) = project._database.row("SELECT count(*) FROM leases")
    assert left == len(held)


def test_cards_run_out(client: TestClient) -> None:
    seen = set()
    for count in (64, 64):
        batch = [card["image_id"] for card in cards(client, count=count)]
        client.post("/api/answers", json={"events": [event(image) for image in batch]})
        seen |= set(batch)
    assert len(seen) == IMAGES
    assert cards(client, count=64) == []


@pytest.mark.parametrize("holding", ["a", "1,b", "-1", "1.5", str(2**60), "²", ",".join(["1"] * 1001)])
def test_what_is_no_list_of_numbers_is_refused(reader: TestClient, holding: str) -> None:
    answer = reader.get("/api/next", params={"annotator": "Ann", "holding": holding})
    assert answer.status_code == 400
    assert "holding" in answer.json()["problem"]
    answer = reader.get("/api/status", params={"annotator": "Ann", "tiles": holding})
    assert answer.status_code == 400
    assert "tiles" in answer.json()["problem"]


@pytest.mark.parametrize(
    "query", [{}, {"annotator": ""}, {"annotator": "A", "count": 0}, {"annotator": "A", "count": 65}]
)
def test_a_request_that_cannot_be_read(reader: TestClient, query: dict[str, Any]) -> None:
    assert reader.get("/api/next", params=query).status_code == 422


def history(client: TestClient, **query: Any) -> list[tuple[int, str, bool]]:
    answers = client.get("/api/history", params={"annotator": "Ann", **query}).json()["answers"]
    return [
        (each["card"]["image_id"], each["answer"]["action"], each["answer"]["cancelled"]) for each in answers
    ]


def test_history_goes_back_page_by_page(client: TestClient) -> None:
    client.post("/api/answers", json={"events": [event(image) for image in range(7)]})
    first = client.get("/api/history", params={"annotator": "Ann", "count": 3}).json()["answers"]
    assert [each["card"]["image_id"] for each in first] == [6, 5, 4]
    assert first[0]["card"]["thumbnail"].startswith("/thumbnail/6?v=")
    assert history(client, count=3, before=first[-1]["answer"]["seq"]) == [
        (3, "class", False),
        (2, "class", False),
        (1, "class", False),
    ]
    assert history(client, annotator="Bob") == []


def test_what_was_taken_back_can_be_left_out(client: TestClient) -> None:
    client.post("/api/answers", json={"events": [event(0), event(1), event(1, "undo"), event(2, "unsure")]})
    assert history(client) == [(2, "unsure", False), (1, "class", True), (0, "class", False)]
    assert history(client, undoable=True) == [(2, "unsure", False), (0, "class", False)]
    assert history(client, undoable=True, count=1) == [(2, "unsure", False)]
