from __future__ import annotations

from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from scripts.review.guard import MAX_BODY_BYTES, Guard, new_token

TOKEN, HOST = "the-token", "127.0.0.1:8000"


async def echo(request: Request) -> JSONResponse:
    return JSONResponse({"path": request.url.path, "body": (await request.body()).decode()})


APP = Starlette(routes=[Route("/a", echo, methods=["GET", "POST", "DELETE"])])
CLIENT = TestClient(Guard(APP, TOKEN, [HOST]), base_url=f"http://{HOST}", raise_server_exceptions=False)
JSON = {"Content-Type": "application/json"}


def status(method: str = "GET", path: str = f"/{TOKEN}/a", **options: Any) -> int:
    return int(CLIENT.request(method, path, **options).status_code)


def test_the_page_gets_through() -> None:
    assert status() == 200
    assert status(headers={"Origin": f"http://{HOST}", "Sec-Fetch-Site": "same-origin"}) == 200
    assert status("POST", headers=JSON, content="{}") == 200


@pytest.mark.parametrize("path", ["/", "/a", "/the-toke/a", "/the-token", "/the-tokens/a", "//a", "/%00/a", "/é/a"])
def test_without_the_token_nothing_is_there(path: str) -> None:
    answer = CLIENT.get(path)
    assert answer.status_code == 404
    assert "open the address that the command printed" in answer.text, "the guard itself answers"
    assert TOKEN not in answer.text


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "127.0.0.1", "127.0.0.1:8001", "localhost:8000", ""]
)
def test_other_names_are_refused(host: str) -> None:
    """DNS rebinding: a stranger's name that leads to this machine."""
    assert status(headers={"Host": host}) == 421


@pytest.mark.parametrize("origin", ["http://evil.example", "null", f"https://{HOST}", "http://127.0.0.1:8001"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_other_origins_are_refused(origin: str, method: str) -> None:
    assert status(method, headers={**JSON, "Origin": origin}) == 403


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_requests_of_other_pages_are_refused_but_links_work(site: str) -> None:
    assert status(headers={"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "no-cors"}) == 403
    assert status(headers={"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate"}) == 200


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "PATCH"])
def test_other_methods_are_refused(method: str) -> None:
    answer = CLIENT.request(method, f"/{TOKEN}/a")
    assert answer.status_code == 405
    assert "access-control-allow-origin" not in answer.headers


def test_a_form_cannot_post() -> None:
    assert status("POST", data={"a": "b"}) == 415
    assert status("POST", headers={"Content-Type": "text/plain"}, content="{}") == 415


def test_what_is_sent_is_bounded() -> None:
    assert status("POST", headers=JSON, content=b"a" * MAX_BODY_BYTES) == 200
    assert status("POST", headers=JSON, content=b"a" * (MAX_BODY_BYTES + 1)) == 413
    assert status("POST", headers=JSON, content=iter([b"a"])) == 411
    lying = {**JSON, "Content-Length": "5"}
    assert status("POST", headers=lying, content=iter([b"a" * MAX_BODY_BYTES] * 2)) == 500, "it is not read to its end"


@pytest.mark.parametrize("path", ["/", f"/{TOKEN}/a", f"/{TOKEN}/b"])
def test_each_answer_forbids_scripts_and_frames_of_others(path: str) -> None:
    headers = CLIENT.get(path).headers
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == "'self'"
    assert policy["style-src"].startswith("'self' 'sha256-")
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer", "the token is in the address"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["cache-control"] == "no-store"


def test_tokens_cannot_be_guessed() -> None:
    tokens = {new_token() for _ in range(100)}
    assert len(tokens) == 100
    assert min(map(len, tokens)) >= 22
