"""Pictures are re-encoded, addressed by number, and cached by the browser only under a URL of their content."""

from __future__ import annotations

from io import BytesIO

import pytest
from PIL import Image
from starlette.testclient import TestClient

from aral.annotation import ModelRecord, Project
from aral.web.images import IMMUTABLE, picture_urls


@pytest.mark.parametrize("kind", ["thumbnail", "stage", "full"])
def test_pictures_are_jpegs_of_the_image(client: TestClient, project: Project, kind: str) -> None:
    answer = client.get(picture_urls(project.images.get(3))[kind])
    picture = Image.open(BytesIO(answer.content))
    assert picture.format == "JPEG"
    assert picture.size == (96, 72)
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.headers["cache-control"] == IMMUTABLE


def test_only_an_address_of_the_content_is_kept_for_good(reader: TestClient) -> None:
    assert reader.get("/thumbnail/3").headers["cache-control"] == "no-cache"
    assert reader.get("/thumbnail/3?v=0000000000000000").headers["cache-control"] == "no-cache"


def test_what_the_browser_has_is_not_sent_again(reader: TestClient) -> None:
    first = reader.get("/thumbnail/3")
    again = reader.get("/thumbnail/3", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert reader.get("/thumbnail/4", headers={"if-none-match": first.headers["etag"]}).status_code == 200


def test_each_size_has_an_address_and_an_etag_of_its_own(reader: TestClient, project: Project) -> None:
    urls = picture_urls(project.images.get(3))
    assert [urls[size] for size in ("stage", "full")] == [
        f"{urls['thumbnail']}&size={size}" for size in ("stage", "full")
    ]
    assert reader.get(f"{urls['thumbnail']}&size=thumbnail").content == reader.get(urls["thumbnail"]).content
    stage = reader.get(urls["stage"])
    assert reader.get(urls["stage"], headers={"if-none-match": stage.headers["etag"]}).status_code == 304
    assert reader.get(urls["full"], headers={"if-none-match": stage.headers["etag"]}).status_code == 200
    assert reader.get("/thumbnail/3?size=huge").status_code == 422


@pytest.mark.parametrize(
    "address", ["/thumbnail/999", "/thumbnail/999?size=stage", "/thumbnail/999?size=full", "/generated/1"]
)
def test_what_is_not_there(reader: TestClient, address: str) -> None:
    answer = reader.get(address)
    assert answer.status_code in (400, 404)
    assert answer.json()["problem"]


@pytest.mark.parametrize("number", ["-1", "x", "1.5", str(2**60), "0x1", "%31%00"])
def test_what_is_no_number(reader: TestClient, number: str) -> None:
    assert reader.get(f"/thumbnail/{number}").status_code in (404, 422)


def test_generated_images(client: TestClient, project: Project) -> None:
    project.models.record(ModelRecord(0, "models/0000", 3, 1.0, (0, 1, 2)))
    project.models.set_generated_images(1, project.images.thumbnail(0))
    answer = client.get("/generated/1")
    assert answer.content == project.images.thumbnail(0)
    assert answer.headers["cache-control"] == "no-cache"
