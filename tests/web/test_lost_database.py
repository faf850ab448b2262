"""The page of a project whose database is on a server that is lost for a while."""

from __future__ import annotations

from pathlib import Path

from starlette.testclient import TestClient

from aral.annotation import Project
from aral.testing import PostgresServer, save_noise
from aral.web import Security, make_app
from tests.web.conftest import BASE, PORT, SECRET, event


def test_an_answer_is_refused_until_the_server_is_back_and_then_counts_once(
    own_server: PostgresServer, tmp_path: Path
) -> None:
    for number in range(3):
        save_noise(tmp_path / "photos" / f"{number}.png", number)
    rules = Security(SECRET, PORT)
    with Project.create_or_open(
        tmp_path / "photos", class_names=("cat", "dog"), database=own_server.address()
    ) as project:
        project.images.sync()
        with TestClient(
            make_app(project, rules), base_url=BASE, cookies={rules.cookie_name: SECRET}
        ) as client:
            answer = event(1)
            own_server.stop()
            refused = client.post("/api/answers", json={"events": [answer]})
            assert refused.status_code == 503 and "cannot be reached" in refused.json()["problem"]
            assert client.get("/api/status?annotator=Ann").status_code == 503
            own_server.start()
            kept = client.post("/api/answers", json={"events": [answer]})
            assert kept.status_code == 200, kept.text
            assert client.get("/api/status?annotator=Ann").status_code == 200
            assert client.post("/api/answers", json={"events": [answer]}).status_code == 200
        assert project.annotations.newest_seq() == project.labels.counts().labelled == 1
