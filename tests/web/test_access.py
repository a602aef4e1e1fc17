"""Who may enter, and what they may send: without a browser, as an attacker would."""

from __future__ import annotations

import contextlib
import gzip
import json
import re
import socket
import time
from dataclasses import replace
from pathlib import Path

import pytest

import dfl_tf.web
from dfl_tf.web import connections
from dfl_tf.web.access import HEADERS, LARGEST_BODY
from dfl_tf.web.answers import NotListed
from dfl_tf.web.server import bind
from dfl_tf.web.views import VIEWS

from .support.served import JSON, Served, serving
from .support.trainings import lock

STATIC = Path(dfl_tf.web.__file__).parent / "static"
MODELS = "/api/watch/models"


def model_id(served: Served) -> str:
    return served.context.id_of("model", "new_SAEHD")


# -- token and cookie ------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "path", ["/", "/static/app.js", "/static/vendor/uPlot.min.css", MODELS, "/api/events", "/none"]
)
@pytest.mark.parametrize("cookie", ["none", "wrong", "other instance", "empty", "token"])
def test_nothing_is_given_without_the_cookie(served, path, cookie):
    instance = served.context.instance
    cookies = {
        "none": None,
        "wrong": f"{instance.cookie}={'0' * 64}",
        "other instance": f"dfl_tf_00000000={instance.pass_}",
        "empty": f"{instance.cookie}=",
        "token": f"{instance.cookie}={instance.token}",
    }
    answer = served.ask(path, {"Cookie": cookies[cookie]})
    assert answer.status == 403
    assert b"token" in answer.body
    assert instance.token.encode() not in answer.body


def test_the_token_becomes_a_cookie_and_leaves_the_address(served):
    instance = served.context.instance
    answer = served.ask(f"/?token={instance.token}", logged_in=False)
    assert (answer.status, answer.headers["Location"]) == (303, "/")
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    cookie = answer.headers["Set-Cookie"]
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(cookie.split("; "))
    assert instance.token not in cookie
    entered = served.ask("/", {"Cookie": f"a=b; {cookie.partition(';')[0]}"}, logged_in=False)
    assert entered.status == 200
    assert instance.name in cookie


@pytest.mark.parametrize(
    "query", ["token=", "token=wrong", "token={0}&token={0}", "token={0}x", "tokem={0}", "x" * 9000]
)
def test_a_wrong_token_opens_nothing(served, query):
    query = query.format(served.context.instance.token)
    answer = served.ask(f"/?{query}", logged_in=False)
    assert answer.status == 403
    assert answer.headers["Set-Cookie"] is None


def test_two_servers_in_one_browser_do_not_log_each_other_out(served, tmp_path):
    with serving(tmp_path) as other:
        cookies = f"{served.own['Cookie']}; {other.own['Cookie']}"
        assert served.ask("/", {"Cookie": cookies}).status == 200
        assert other.ask("/", {"Cookie": cookies}).status == 200


# -- hosts and origins -----------------------------------------------------------------------------
@pytest.mark.parametrize(
    "host", ["localhost:1", "LOCALHOST", "127.0.0.1", "[::1]:8765", "gpu-box:9", "gpu-box"]
)
def test_known_hosts(served, host):
    assert served.ask("/", {"Host": host}).status == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "evil-localhost",
        "localhost:80:80", "user@localhost", "localhost/", "localhost#", "", "localhost:",
        "127.0.0.2", "[::2]", "::1", "gpu-box.evil.example", "xgpu-box", "localhost:123456",
    ],
)  # fmt: skip
def test_other_hosts_get_nothing_though_they_have_the_token(served, host):
    token = served.context.instance.token
    for path in ("/", MODELS, f"/?token={token}"):
        answer = served.ask(path, {"Host": host})
        assert answer.status == 400
        assert answer.headers["Set-Cookie"] is None


def test_a_request_has_one_host(served):
    cookie = served.own["Cookie"]
    start = f"GET / HTTP/1.1\r\nCookie: {cookie}\r\nConnection: close\r\n"
    for hosts in ("", "Host: localhost\r\nHost: evil.example\r\n"):
        assert b" 400 " in served.raw(f"{start}{hosts}\r\n".encode()).split(b"\r\n")[0]
    old = f"GET / HTTP/1.0\r\nCookie: {cookie}\r\n\r\n"
    assert b" 400 " in served.raw(old.encode()).split(b"\r\n")[0]


@pytest.mark.parametrize(
    "origin",
    [
        None, "", "null", "https://evil.example", "http://localhost.evil.example",
        "http://127.0.0.1@evil.example", "http://127.0.0.1.evil.example:80", "localhost",
        "file://localhost", "http://localhost/", "http://localhost:80/path", "javascript:localhost",
        "http://evil.example#localhost", "http://[::1].evil.example",
    ],
)  # fmt: skip
def test_writes_need_an_origin_of_the_list(served, origin):
    path = f"{MODELS}/{model_id(served)}/requests"
    answer = served.post(path, {"kind": "save"}, {"Origin": origin})
    assert (answer.status, "Origin" in answer.json["error"]) == (403, True)
    same = {"Origin": origin, "Host": "evil.example"}  # "Origin equals Host" would be fooled
    assert served.post(path, {"kind": "save"}, same).status == 400


def test_an_origin_of_another_port_comes_through_a_tunnel(served):
    path = f"{MODELS}/{model_id(served)}/requests"
    for origin in ("http://localhost:9000", "https://gpu-box", "http://[::1]:1"):
        answer = served.post(path, {"kind": "save"}, {"Origin": origin})
        assert answer.status == 409, "let through, and refused since nothing runs"


@pytest.mark.parametrize("site", ["cross-site", "same-site", "none"])
def test_what_a_browser_calls_foreign_writes_nothing(served, site):
    path = f"{MODELS}/{model_id(served)}/requests"
    assert served.post(path, {"kind": "save"}, {"Sec-Fetch-Site": site}).status == 403


@pytest.mark.parametrize(
    "kind",
    [None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"],
)
def test_forms_write_nothing(served, kind):
    path = f"{MODELS}/{model_id(served)}/requests"
    assert served.post(path, {"kind": "save"}, {"Content-Type": kind}).status == 415


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT"])
def test_other_methods_are_refused(served, method):
    assert served.ask("/", method=method).status in (400, 405)


def test_a_read_only_server_writes_nothing(workspace):
    with serving(workspace, read_only=True) as served:
        assert served.ask("/api/about").json["read_only"] is True
        answer = served.post(f"{MODELS}/{model_id(served)}/requests", {"kind": "save"})
        assert (answer.status, "--read-only" in answer.json["error"]) == (403, True)


def test_every_answer_has_the_headers(served):
    for path, status in (("/", 200), (MODELS, 200), ("/none", 404), ("/api/watch/models/x", 404)):
        answer = served.ask(path)
        assert answer.status == status
        assert {name: answer.headers[name] for name in HEADERS} == HEADERS
    assert "unsafe" not in HEADERS["Content-Security-Policy"]


def test_the_page_lies_below_a_base_url(workspace):
    with serving(workspace, base_url="/dfl/box") as served:
        token = served.context.instance.token
        assert served.ask("/dfl/box/").status == 200
        assert served.ask("/dfl/box/static/app.js").status == 200
        assert served.ask("/dfl/box/api/watch/models").status == 200
        assert served.ask("/api/about").status == 404
        for path in ("/dfl/box/", "/dfl/box"):
            answer = served.ask(f"{path}?token={token}", logged_in=False)
            assert answer.headers["Location"] == "/dfl/box/"
            assert "Path=/dfl/box/" in answer.headers["Set-Cookie"]
        assert served.ask(f"/?token={token}", logged_in=False).status == 403


# -- paths -----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "path",
    [
        "../server.py", "..%2fserver.py", "%2e%2e/server.py", "%252e%252e%252fserver.py",
        "/etc/passwd", "%2fetc%2fpasswd", "..\\server.py", "..%5cserver.py",
        "views/../../server.py", "%00", "app.js%00.css", "....//server.py", "file:///etc/passwd",
        "%c0%ae%c0%ae/server.py",
        "views", "", ".", "vendor/",
    ],
)  # fmt: skip
def test_no_path_leads_out_of_the_static_files(served, path):
    for place in ("/static/", f"{MODELS}/", f"{MODELS}/{model_id(served)}/previews/"):
        answer = served.ask(place + path)
        harmless = path.endswith(("/", ".")) or not path  # the list of models, by another address
        assert answer.status in ((200, 307, 404) if harmless else (404,)), (place, path)
        assert b"root:" not in answer.body
        assert b"import " not in answer.body


def test_an_absolute_address_is_no_path(served):
    for target in ("http://localhost/static/app.js", "//etc/passwd", "*"):
        start = f"GET {target} HTTP/1.1\r\nHost: localhost\r\n"
        found = served.raw(
            f"{start}Cookie: {served.own['Cookie']}\r\nConnection: close\r\n\r\n".encode()
        )
        assert b" 404 " in found.split(b"\r\n")[0], target


def test_links_that_lead_out_of_the_workspace_are_not_followed(served, workspace):
    path = f"{MODELS}/{model_id(served)}/previews"
    images = served.ask(path).json
    assert "linked" not in {image["title"] for image in images}
    with pytest.raises(NotListed):
        served.context.inside(workspace / "model" / "new_SAEHD_preview" / "linked.jpg")
    with pytest.raises(NotListed):
        served.context.inside(workspace / "model" / "new_SAEHD_history" / "linked" / "0000007.jpg")
    (good, *_) = [image for image in images if image["title"] == "SAEHD"]
    answer = served.ask(f"{path}/{good['id']}")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "image/jpeg")
    assert answer.body == (workspace / "model/new_SAEHD_preview/SAEHD.jpg").read_bytes()


def test_a_log_that_leads_out_of_the_workspace_is_not_read(tmp_path):
    outside = tmp_path / "elsewhere.jsonl"
    outside.write_text('{"event": "message", "time": 1, "text": "secret"}\n')
    model = tmp_path / "project" / "model"
    model.mkdir(parents=True)
    (model / "new_SAEHD_data.dat").touch()
    (model / "new_SAEHD_log.jsonl").symlink_to(outside)
    with serving(tmp_path / "project") as served:
        assert served.ask(f"{MODELS}/{model_id(served)}/log").json["lines"] == []


def test_requests_are_written_into_the_model_folder_and_nowhere_else(tmp_path):
    model = tmp_path / "project" / "model"
    model.mkdir(parents=True)
    (model / "new_SAEHD_data.dat").touch()
    target = tmp_path / "target"
    target.write_text("mine")
    with serving(tmp_path / "project") as served:
        path = f"{MODELS}/{model_id(served)}/requests"
        lock(model)
        for body in (
            {"kind": "../save"}, {"kind": "snapshot", "name": "../../x"},
            {"kind": "snapshot", "name": "/x"}, {"kind": "snapshot", "name": "a\0b"},
            {"kind": "nothing"}, {}, [], {"kind": ["save"]},
            {"kind": "options"}, {"kind": "options", "options": {"no_such_key": 1}},
            {"kind": "options", "options": {"gan_power": "1e999"}},
            {"kind": "options", "options": {"gan_power": {"a": 1}}},
        ):  # fmt: skip
            answer = served.post(path, body)
            assert (answer.status, bool(answer.json["error"])) == (400, True), body
        assert sorted(p.name for p in model.glob("*.request")) == []
        (model / "new_SAEHD_stop.request.x").symlink_to(target)
        assert served.post(path, {"kind": "stop"}).json == {"asked": "stop"}
        assert [p.name for p in model.glob("*.request")] == ["new_SAEHD_stop.request"]
        assert served.post(path, {"kind": "stop"}).status == 409
    assert target.read_text() == "mine"


# -- bounds ----------------------------------------------------------------------------------------
def test_bodies_are_bounded(served):
    path = f"{MODELS}/{model_id(served)}/requests"
    headers = {**JSON, "Content-Length": str(LARGEST_BODY + 1)}
    assert served.ask(path, headers, method="POST").status == 413
    lines = [f"POST {path} HTTP/1.1", *(f"{k}: {v}" for k, v in {**served.own, **JSON}.items())]
    lines += ["Transfer-Encoding: chunked", "", ""]
    chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
    found = served.raw("\r\n".join(lines).encode() + chunk * 17 + b"0\r\n\r\n")
    assert b" 413 " in found.split(b"\r\n")[0]
    assert served.ask("/", {"Content-Length": "5"}, body=b"hello").status == 400


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[" * 100_000, b"\xff", b'{"kind": NaN}', b"1" * 9999]
)
def test_what_is_no_json_is_refused(served, body):
    path = f"{MODELS}/{model_id(served)}/requests"
    lock_error = served.ask(path, JSON, method="POST", body=body)
    assert lock_error.status in (400, 409)
    assert lock_error.json["error"]


def test_long_headers_and_addresses_are_refused(served):
    assert served.ask("/?" + "x" * 40_000).status == 431
    assert served.ask("/", {"X-Long": "x" * 40_000}).status == 431
    with contextlib.suppress(ConnectionResetError):  # what is left is not read
        assert served.ask("/", {"X-Long": "x" * 400_000}).status == 400


def test_a_slow_body_and_a_slow_request_are_given_up(workspace):
    with serving(workspace, asking_seconds=0.3, body_seconds=0.3) as served:
        path = f"{MODELS}/{model_id(served)}/requests"
        lines = [f"POST {path} HTTP/1.1", *(f"{k}: {v}" for k, v in {**served.own, **JSON}.items())]
        found = served.raw("\r\n".join([*lines, "Content-Length: 100", "", "{"]).encode())
        assert b" 408 " in found.split(b"\r\n")[0]
        assert served.raw(b"GET / HTTP/1.1\r\nHost: ") == b""
        with socket.create_connection(("127.0.0.1", served.port), timeout=30) as dripping:
            try:
                for letter in b"GET /" * 200:
                    dripping.sendall(bytes([letter]))
                    time.sleep(0.01)
                assert dripping.recv(1) == b""
            except OSError:
                pass  # it was closed while we wrote
            else:
                pytest.fail("a request that drips was waited for")


def test_a_thousand_idle_connections_keep_nobody_out(served):
    idle = []
    try:
        for _ in range(1000):
            idle.append(socket.create_connection(("127.0.0.1", served.port), timeout=30))
        assert served.ask("/api/about").status == 200
        idle[0].settimeout(30)
        with contextlib.suppress(ConnectionResetError):
            assert idle[0].recv(1) == b"", "the oldest was closed"
        assert connections.CONNECTIONS < 1000
    finally:
        for each in idle:
            each.close()


def test_streams_of_events_are_bounded(workspace):
    with serving(workspace) as served:
        object.__setattr__(served.context.events, "_limit", 2)
        lines = ["GET /api/events HTTP/1.1", *(f"{k}: {v}" for k, v in served.own.items()), "", ""]
        opened = []
        for _ in range(2):
            each = socket.create_connection(("127.0.0.1", served.port), timeout=30)
            each.sendall("\r\n".join(lines).encode())
            found = b""
            while b"hello" not in found:
                found += each.recv(4096)
            opened.append(each)
        assert served.ask("/api/events").status == 503
        opened.pop().close()
        while len(served.context.events._queues) > 1:
            time.sleep(0.01)
        opened[0].close()


# -- what is served --------------------------------------------------------------------------------
def test_static_files_are_sent_packed_to_who_asks(served):
    plain = served.ask("/static/app.js")
    packed = served.ask("/static/app.js", {"Accept-Encoding": "br, gzip"})
    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.body) == plain.body == (STATIC / "app.js").read_bytes()
    assert packed.headers["ETag"] != plain.headers["ETag"]
    known = {"Accept-Encoding": "gzip", "If-None-Match": packed.headers["ETag"]}
    assert served.ask("/static/app.js", known).status == 304


def test_the_front_end_is_small_and_needs_nothing_from_elsewhere():
    own = [p for p in STATIC.rglob("*") if p.is_file() and p.parent.name != "vendor"]
    assert sum(len(gzip.compress(path.read_bytes(), 9)) for path in own) < 100_000  # as sent
    for path in own:
        text = path.read_text()
        found = re.findall(r"https?://[^\s\"'`)]+", text)
        assert set(found) <= {"http://www.w3.org/2000/svg"}, path
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text
        ), path
    page = (STATIC / "index.html").read_text()
    assert not re.search(r"<script(?![^>]* src=)|<style|\son\w+=|style=|javascript:", page)


def loaded(path: Path, known: set[Path]) -> set[Path]:
    """A script with all that it imports."""
    if path not in known:
        known.add(path)
        for name in re.findall(r'from "(\.[^"]+)"', path.read_text()):
            loaded((path.parent / name).resolve(), known)
    return known


@pytest.mark.parametrize("name", [view.name for view in VIEWS])
def test_a_view_loads_little(name):
    view = STATIC / "views" / f"{name}.js"
    styles = re.search(r"^export const styles = (.*);", view.read_text(), re.MULTILINE)
    sheets = re.findall(r"\w+", styles[1].replace("true", name)) if styles else []
    files = loaded(STATIC / "app.js", set()) | loaded(view, set()) | {STATIC / "app.css"}
    files |= {STATIC / "views" / f"{sheet}.css" for sheet in sheets}
    assert len(files) > 8
    assert sum(path.stat().st_size for path in files) < 100_000


def test_uplot_comes_with_its_licence():
    licence = (STATIC / "vendor" / "uPlot.LICENSE.txt").read_text()
    assert "MIT License" in licence
    assert "Leon Sorokin" in licence
    assert "uPlot (v1.6." in (STATIC / "vendor" / "uPlot.iife.min.js").read_text()[:100]


def test_files_are_not_sent_twice(served):
    first = served.ask("/static/app.js")
    again = served.ask("/static/app.js", {"If-None-Match": first.headers["ETag"]})
    assert (first.status, again.status, again.body) == (200, 304, b"")


def test_hostile_names_are_text_in_json(served):
    answer = served.ask(MODELS)
    assert answer.body.isascii()
    assert [model["name"] for model in answer.json["models"]] == ["new", "XSeg"]
    (left_out,) = answer.json["left_out"]
    assert "cannot be used in file names" in left_out
    assert not re.search(r"[\x00-\x1f\u202e]", left_out)
    assert answer.json["models"][0]["id"] == model_id(served)
    lines = served.ask(f"{MODELS}/{model_id(served)}/log").json["lines"]
    assert lines[0]["text"].endswith('<img src=x onerror="window.broken=1">\\x1b[2J\\u202eevil')


def test_a_failure_says_no_more_than_its_kind(served, monkeypatch, caplog):
    monkeypatch.setattr(type(served.context), "unusable", lambda self: 1 / 0)
    answer = served.ask(MODELS)
    assert (answer.status, answer.json) == (
        500,
        {"error": "the server failed (ZeroDivisionError)."},
    )


def test_another_instance_does_not_know_the_cookie(served):
    other = replace(served.context.instance, token="other")
    assert other.pass_ != served.context.instance.pass_
    assert json.dumps(other.address) != json.dumps(other.place)


def test_small_answers_do_not_wait_for_an_acknowledgement():
    with bind("127.0.0.1", None) as listening, socket.create_connection(listening.getsockname()):
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
