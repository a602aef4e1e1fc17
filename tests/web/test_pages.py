"""The page in a real browser: headless Chromium, driven through a pipe."""

from __future__ import annotations

import http.server
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from chromium import Tab

from dfl_tf.cli.main import run

from .support.contrast import unreadable
from .support.served import serving
from .support.trainings import image, iteration, line, lock, make_workspace

TABS = Callable[[], Tab]
SUPPORT = Path(__file__).parent / "support"
TEXT = "(document.querySelector({!r})?.textContent ?? '')"
DRAWN = "Number(document.querySelector('[data-points]')?.dataset.points ?? 0)"
LINES = "document.querySelectorAll('.log div').length"
ITERATION = "Number(document.querySelector('.facts dd')?.textContent ?? 0)"


@pytest.fixture
def project(workspace: Path, tmp_path: Path) -> Path:
    """A workspace of one's own."""
    return make_workspace(tmp_path / "project")


def text(selector: str) -> str:
    return TEXT.format(selector)


def test_a_live_training_is_watched_and_stopped(tabs, tmp_path):
    folder = tmp_path / "project" / "model"
    folder.mkdir(parents=True)
    training = subprocess.Popen([sys.executable, SUPPORT / "live_training.py", folder])
    try:
        with serving(tmp_path / "project") as served:
            tab = tabs()
            tab.open(served.context.instance.address)
            tab.wait(f"{text('.detail .state')} === 'running'")
            drawn = tab.wait(DRAWN)
            tab.wait(f"{DRAWN} > {drawn} + 2")  # it goes on by itself
            before = tab.run(ITERATION)
            tab.wait(f"{ITERATION} > {before}")

            tab.press("p")
            tab.wait("document.querySelector('img.preview').naturalWidth > 0")

            tab.press("o")
            tab.wait("document.activeElement.id === 'ask-key'")
            tab.type("save_every_iters")
            tab.press("Tab")
            tab.type("7")
            tab.press("Enter")
            tab.wait(f"{text('.model ~ .dim')}.includes('were taken')")
            tab.wait(
                "[...document.querySelectorAll('.log div')]"
                ".some(e => e.textContent.includes('save_every_iters'))"
            )

            tab.press("x")
            tab.wait("!!document.querySelector('dialog[open]')")
            tab.press("Escape")
            tab.wait("!document.querySelector('dialog')")
            assert training.poll() is None
            assert unreadable(tab) == []
            tab.click("[data-kind=stop]")
            tab.click("dialog button[type=submit]")
            tab.wait(f"{text('.detail .state')} === 'ended'")
            assert training.wait(60) == 0
            assert "stop requested" in tab.run(text(".model + p"))
            assert tab.run("document.querySelector('[data-kind=save]').disabled")
            assert tab.errors() == []
        assert (folder / "new_SAEHD_data.dat").exists()
    finally:
        training.kill()


def test_a_link_on_a_foreign_page_ends_logged_in(tabs, served):
    """SameSite=Lax lets the link in; forms and images of that page get nothing."""
    address, place = served.context.instance.address, served.context.instance.place
    page = f"""<!doctype html><title>foreign</title><a href="{address}">enter</a>
    <img src="{place}static/icon.svg"><script src="{place}static/app.js"></script>""".encode()

    class Foreign(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *arguments: object) -> None:
            """Nothing."""

    foreign = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Foreign)
    threading.Thread(target=foreign.serve_forever, daemon=True).start()
    other = f"http://foreign.example:{foreign.server_port}/"
    try:
        tab = tabs()
        tab.open(other)
        tab.click("a")
        tab.wait(f"location.href.startsWith({place!r}) && {text('#connection')} === 'live'")
        assert "token" not in tab.run("location.href + document.referrer + document.cookie")

        tab.open(other)  # with the cookie in the browser now
        assert tab.run("document.querySelector('img').naturalWidth") == 0
        path = f"api/watch/models/{served.context.id_of('model', 'new_SAEHD')}/requests"
        outcome = tab.run(
            f"fetch('{place}{path}', {{method: 'POST', credentials: 'include', mode: 'no-cors',"
            " headers: {'Content-Type': 'text/plain'}, body: '{\"kind\":\"stop\"}'})"
            ".then(r => r.type, e => 'refused')"
        )
        assert outcome in ("opaque", "refused")
        assert not list(served.context.workspace.model.glob("*.request"))
    finally:
        foreign.shutdown()
        foreign.server_close()


def test_names_and_metadata_are_text(tabs, served):
    tab = tabs()
    tab.open(served.context.instance.address)
    tab.wait("document.querySelectorAll('.log div').length > 0")
    log = tab.run(text(".log"))
    assert '<img src=x onerror="window.broken=1">\\x1b[2J\\u202eevil' in log
    assert "<img" in tab.run(text(".view > .dim"))  # the model whose name cannot be used
    assert tab.run("document.querySelectorAll('img[src=x]').length") == 0
    assert tab.run("window.broken ?? null") is None
    assert tab.errors() == []


def test_nothing_is_lost_by_a_killed_server_or_a_reload(
    tabs, project, tmp_path, monkeypatch, capsys
):
    lock(project / "model")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    command = [sys.executable, "-m", "dfl_tf", "web", str(project)]

    def start(*more: str) -> tuple[subprocess.Popen[bytes], str]:
        started = subprocess.Popen([*command, *more], stdout=subprocess.PIPE)
        assert started.stdout is not None
        with started.stdout:
            return started, started.stdout.readline().decode()

    def shown() -> str:
        assert run(["web", str(project), "--show"]) == 0
        return capsys.readouterr().out.strip()

    server, first = start()
    try:
        address = shown()
        port = address.split(":")[2].split("/")[0]
        token = address.partition("token=")[2]
        assert token not in first
        assert f"127.0.0.1:{port}" in first
        (record,) = (tmp_path / "data" / "dfl_tf" / "web").iterdir()
        assert record.stat().st_mode & 0o777 == 0o600
        for facts in ("cmdline", "environ"):
            assert token not in Path(f"/proc/{server.pid}/{facts}").read_text()

        tab = tabs()
        tab.open(address)
        tab.wait(f"{ITERATION} === 4000 && {LINES} === 1")
        server.kill()
        server.wait()
        log = project / "model" / "new_SAEHD_log.jsonl"
        with log.open("a") as file:  # meanwhile the training goes on
            file.write(iteration(4010) + line("message", text="said in between"))
        tab.wait(f"{text('#connection')}.includes('lost')")
        server, _ = start("--port", port)
        assert shown() == address
        tab.wait(f"{text('#connection')} === 'live' && {ITERATION} === 4010 && {LINES} === 2")
        tab.call("Page.reload")
        tab.wait(f"{text('.log')}.includes('said in between') && {ITERATION} === 4010")
        assert tab.run(LINES) == 2
    finally:
        server.kill()
        server.wait()


def test_tabs_share_one_stream(tabs, served):
    opened = [tabs() for _ in range(3)]
    for tab in opened:
        tab.open(served.context.instance.address)
        tab.wait("document.querySelectorAll('.card').length > 0")
    time.sleep(0.5)
    assert len(served.context.events._queues) == 1
    opened[0].close()
    while len(served.context.events._queues) != 1:
        time.sleep(0.05)


def test_curves_are_zoomed_smoothed_and_chosen(tabs, served):
    tab = tabs()
    tab.size(1280, 900)
    tab.open(served.context.instance.address)
    whole = tab.wait(DRAWN)
    box = tab.run("(() => { const b = document.querySelector('.u-over').getBoundingClientRect();"
                  " return [b.x, b.y, b.width, b.height]; })()")  # fmt: skip
    for kind, share in (("mousePressed", 0.2), ("mouseMoved", 0.4), ("mouseReleased", 0.4)):
        tab.call("Input.dispatchMouseEvent", type=kind, x=box[0] + share * box[2],
                 y=box[1] + box[3] / 2, button="left", buttons=1, clickCount=1)  # fmt: skip
    tab.wait(f"{DRAWN} < {whole} / 3")
    tab.press("0")
    tab.wait(f"{DRAWN} === {whole}")
    tab.press("l")
    tab.wait("[...document.querySelectorAll('button')].some(b => b.textContent === 'Log axis'"
             " && b.ariaPressed === 'true')")  # fmt: skip
    tab.run("(() => { const s = document.getElementById('smoothing'); s.value = 0.9;"
            " s.dispatchEvent(new Event('input')); })()")  # fmt: skip
    tab.run("document.querySelector('.choices').open = true")
    tab.run("[...document.querySelectorAll('.choice')]"
            ".find(c => c.textContent.includes('learning_rate')).click()")  # fmt: skip
    tab.wait(f"{text('.legend')}.includes('learning_rate/src_dst_opt 5.00e-5')")
    tab.call("Page.reload")  # what was chosen stays
    tab.wait(f"{text('.legend')}.includes('learning_rate/src_dst_opt')")
    assert tab.errors() == []


def test_previews_have_a_history(tabs, served):
    tab = tabs()
    tab.open(served.context.instance.address)
    tab.wait("document.querySelector('img.preview').naturalWidth > 0")
    assert tab.run(text(".columns")) == "srcsrc → srcdstdst → dstsrc → dst"
    tab.run("document.querySelector('[aria-label=\"History of previews\"]').focus()")
    tab.press("ArrowLeft")
    tab.wait("document.querySelector('img.preview').alt.includes('after 1300 iterations')")
    tab.press("f")
    tab.wait("!!document.querySelector('dialog.lightbox[open]')")
    tab.press("ArrowLeft")
    tab.wait(
        "document.querySelector('img.large').src === document.querySelector('img.preview').src"
    )
    tab.wait("document.querySelector('img.preview').alt.includes('after 200 iterations')")
    tab.press("Escape")
    tab.wait("!document.querySelector('dialog')")
    assert tab.errors() == []


def test_a_phone_can_watch_and_everything_has_a_name(tabs, served):
    tab = tabs()
    tab.size(390, 844, phone=True)
    tab.open(served.context.instance.address)
    tab.wait("document.querySelector('img.preview').naturalWidth > 0")
    assert tab.run("document.documentElement.scrollWidth") <= 390
    nameless = tab.run(
        "[...document.querySelectorAll('button, a, input, select, img')].filter(e =>"
        " !(e.textContent.trim() || e.alt || e.ariaLabel || e.labels?.length || e.title))"
        ".map(e => e.outerHTML.slice(0, 80))"
    )
    assert nameless == []


@pytest.mark.slow
def test_memory_stays_flat_over_5000_previews(tabs, project):
    folder = project / "model" / "new_SAEHD_history" / "SAEHD"
    source = project / "model" / "new_SAEHD_preview" / "SAEHD.jpg"
    for number in range(5000):
        shutil.copy(source, folder / f"{number:07d}.jpg")
    image(folder / "0000001.jpg", 9)
    with serving(project) as served:
        tab = tabs()
        tab.open(served.context.instance.address)
        tab.wait("document.querySelector('img.preview').naturalWidth > 0")

        def through(first: int, last: int) -> dict[str, float]:
            tab.run(
                f"""(async () => {{
                const slider = document.querySelector('[aria-label="History of previews"]');
                const image = document.querySelector('img.preview');
                for (let i = {first}; i < {last}; i++) {{
                  slider.value = i; slider.dispatchEvent(new Event('input'));
                  if (!image.complete)
                    await new Promise((go) => {{ image.onload = image.onerror = go; }});
                }} }})()"""
            )
            tab.call("HeapProfiler.collectGarbage")
            facts = tab.call("Performance.getMetrics")["metrics"]
            return {fact["name"]: fact["value"] for fact in facts}

        tab.call("Performance.enable")
        before = through(0, 200)
        for first in range(200, 5000, 200):
            after = through(first, first + 200)
        assert after["Nodes"] <= before["Nodes"] + 50
        assert after["JSHeapUsedSize"] < before["JSHeapUsedSize"] + (2 << 20)
