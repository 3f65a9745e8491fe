from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from helpers.review_cohort import HOSTILE, SHAPE, write_cohort
from scripts.review.run import start_session
from scripts.review.server import make_app
from scripts.scoring.settings import ScoreSettings
from scripts.slides.slide import open_slide

TOKEN, HOST = "the-token", "127.0.0.1:8000"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_cohort(tmp_path_factory.mktemp("review") / "all", {"test_1": 0.9, HOSTILE: 0.7})
    (folder / "secret.txt").write_text("secret")
    return folder


@pytest.fixture(scope="module")
def client(folder: Path) -> Iterator[TestClient]:
    session = start_session(
        folder / "maps", [folder / "slides"], folder / "output", folder / "truth", ScoreSettings(nms_radius_um=200)
    )
    app = make_app(session, TOKEN, [HOST])
    with TestClient(app, base_url=f"http://{HOST}/{TOKEN}", raise_server_exceptions=False) as client:
        yield client
    session.close()


@pytest.fixture(scope="module")
def base(client: TestClient) -> str:
    """Where the pictures of the slide with truth are."""
    (row,) = (row for row in client.get("/worklist").json()["slides"] if row["name"] == "test_1")
    return f"/slides/{row['number']}/{row['version']}"


def test_the_page_and_its_files_are_there(client: TestClient) -> None:
    page = client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    for name, kind in (("app.js", "text/javascript"), ("review.css", "text/css"), ("colors.css", "text/css")):
        assert client.get(f"/files/{name}").headers["content-type"].startswith(kind)
    assert "Redistribution" in client.get("/files/openseadragon.LICENSE.txt").text


@pytest.mark.parametrize(
    "path",
    [
        *("/files/../secret.txt", "/files/..%2fsecret.txt", "/files/%2e%2e/%2e%2e/secret.txt", "/files//etc/passwd"),
        *(
            "/files/..\\secret.txt",
            "/files/%00",
            "/files/",
            "/files/report.html",
            "/../secret.txt",
            "/%2e%2e/secret.txt",
        ),
        *("/slides/0/../../secret.txt", "/slides/..%2f..%2fsecret.txt", "/slides/-1", "/slides/7", "/slides/1e1"),
        *("/slides/0/x/tiles/1/0/..%2f0.jpg", "/slides/0/x/tiles/1/-1/0.jpg", "/etc/passwd", "/worklist/..%2f"),
    ],
)
def test_nothing_else_can_be_reached(client: TestClient, path: str) -> None:
    answer = client.request("GET", f"http://{HOST}/{TOKEN}{path}")
    assert answer.status_code in (404, 405)
    assert "secret" not in answer.text.replace("secret.txt", "")
    assert "root:" not in answer.text


@pytest.mark.parametrize(
    ("tile", "part"),
    [
        ((1, 1, 2), (slice(256, 512), slice(512, 768))),
        ((1, 3, 5), (slice(768, 901), slice(1280, 1302))),
        ((1, 0, 5), (slice(0, 256), slice(1280, 1302))),
    ],
    ids=["inside", "corner", "right edge"],
)
def test_tiles_are_the_slides_pixels(
    client: TestClient, base: str, folder: Path, tile: tuple[int, ...], part: tuple[slice, slice]
) -> None:
    with open_slide(folder / "slides" / "test_1.tif") as slide:
        expected = slide.read_level((0, 0), SHAPE, 0)[part].astype(int)
    answer = client.get(f"{base}/tiles/{'/'.join(map(str, tile))}.jpg")
    assert answer.headers["content-type"] == "image/jpeg"
    with Image.open(io.BytesIO(answer.content)) as picture:
        found = np.asarray(picture).astype(int)
    assert found.shape == expected.shape
    noise = expected.std(axis=(0, 1)).max()
    assert np.abs(found - expected).mean() < max(3, noise / 2), "as JPEG keeps it; a tile beside differs by more"


@pytest.mark.parametrize("path", ["tiles/1/0/0.jpg", "map/10/0/0/0.png", "thumbnail.jpg"])
def test_browsers_keep_pictures(client: TestClient, base: str, path: str) -> None:
    first = client.get(f"{base}/{path}")
    assert "max-age" in first.headers["cache-control"]
    assert "private" in first.headers["cache-control"]
    again = client.get(f"{base}/{path}", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get(f"{base}/{path}", headers={"If-None-Match": '"other"'}).content == first.content


@pytest.mark.parametrize("path", ["tiles/1/9/0.jpg", "tiles/3/0/0.jpg", "map/10/9/0/0.png", "map/101/0/0/0.png"])
def test_pictures_that_are_not_there_are_told(client: TestClient, base: str, path: str) -> None:
    answer = client.get(f"{base}/{path}")
    assert answer.status_code == 404
    assert "reload the page" in answer.json()["error"]


def test_tiles_of_an_earlier_file_are_refused(client: TestClient, base: str) -> None:
    answer = client.get(f"{base.rsplit('/', 1)[0]}/0123456789abcdef/tiles/1/0/0.jpg")
    assert answer.status_code == 404
    assert "changed" in answer.json()["error"]


def test_names_stay_data(client: TestClient) -> None:
    answer = client.get("/worklist")
    assert answer.headers["content-type"] == "application/json"
    assert HOSTILE in [row["name"] for row in answer.json()["slides"]]


def test_an_unforeseen_error_tells_nothing(client: TestClient, base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*values: object) -> None:
        raise RuntimeError("of the inside")

    monkeypatch.setattr("scripts.review.session.encode_jpeg", fail)
    answer = client.get(f"{base}/tiles/1/0/0.jpg")
    assert answer.status_code == 500
    assert "inside" not in answer.text


def test_verdicts_come_and_go(client: TestClient, base: str) -> None:
    slide = base.rsplit("/", 1)[0]
    first = client.get(slide).json()["marks"][0]
    answer = client.post(f"{slide}/verdicts", json={"action": "judge", "id": first["id"], "verdict": "tumor"})
    assert answer.status_code == 200
    assert answer.json()["marks"][0]["verdict"] == "tumor"
    revision = answer.json()["revision"]
    assert "marks" not in client.get(f"{slide}/verdicts?revision={revision}").json()
    assert client.get(f"{slide}/verdicts?revision={revision - 1}").json()["marks"]
    totals = client.get("/worklist").json()["totals"]
    assert (totals["detections_reviewed"], totals["slides"]) == (1, 2)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"7", b'{"action": "format"}', b"[" * 100_000])
def test_other_content_is_refused(client: TestClient, base: str, content: bytes) -> None:
    slide = base.rsplit("/", 1)[0]
    client.get(slide)
    answer = client.post(f"{slide}/verdicts", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_an_edit_from_outside_is_told_with_the_new_state(client: TestClient, base: str, folder: Path) -> None:
    slide = base.rsplit("/", 1)[0]
    second = client.get(slide).json()["marks"][1]
    path = folder / "output" / "test_1.geojson"
    content = json.loads(path.read_text(encoding="utf-8"))
    for feature in content["features"]:
        if feature["id"] == second["id"]:
            feature["properties"]["classification"] = {"name": "Not tumor"}
    path.write_text(json.dumps(content), encoding="utf-8")
    answer = client.post(f"{slide}/verdicts", json={"action": "judge", "id": second["id"], "verdict": "tumor"})
    assert answer.status_code == 409
    assert "another program" in answer.json()["error"]
    assert answer.json()["marks"][1]["verdict"] == "not_tumor"


def test_only_the_folder_of_verdicts_is_written_to(client: TestClient, folder: Path) -> None:
    names = {path.name for path in (folder / "output").iterdir() if not path.name.startswith(".")}
    assert names <= {f"{name}.{kind}" for name in ("test_1", HOSTILE) for kind in ("geojson", "jsonl")}
    assert not [path for place in ("maps", "slides", "truth") for path in (folder / place).glob("*.geojson")]
