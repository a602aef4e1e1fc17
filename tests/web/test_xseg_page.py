"""Masks drawn in a real browser, with real mouse events and keys."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from dfl_tf.facesets.xseg_store import open_store
from dfl_tf.facesets.xseg_tools import count
from dfl_tf.formats import read_metadata

from .support.contrast import unreadable
from .support.labeling import labeling_workspace
from .support.served import serving

CONTROL, SHIFT = 2, 8
STATUS = "document.querySelector('.saved')?.dataset.state"
BOARD = "document.querySelector('.board')"
NAMES = "document.querySelector('.name')?.textContent"


class Hand:
    """A mouse and a keyboard on the board, in pixels of the image."""

    def __init__(self, tab, side: int = 160) -> None:
        self.tab, self.side = tab, side

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Where a pixel of the image is on the screen, not zoomed."""
        left, top, width, height = self.tab.run(
            f"(() => {{ const b = {BOARD}.getBoundingClientRect();"
            " return [b.x, b.y, b.width, b.height]; })()"
        )
        scale = min(width - 2, height - 2) / self.side * 0.94
        return (
            left + width / 2 + (x - self.side / 2) * scale,
            top + height / 2 + (y - self.side / 2) * scale,
        )

    def mouse(self, kind: str, x: float, y: float, keys: int = 0, **more: object) -> None:
        px, py = self.place(x, y)
        pressed = {} if kind == "mouseMoved" and not more else {"button": "left"}
        self.tab.call("Input.dispatchMouseEvent", type=kind, x=px, y=py, modifiers=keys,
                      **{**pressed, **more})  # fmt: skip

    def click(self, x: float, y: float, keys: int = 0) -> None:
        self.mouse("mouseMoved", x, y, keys)
        self.mouse("mousePressed", x, y, keys, clickCount=1, buttons=1)
        self.mouse("mouseReleased", x, y, keys, clickCount=1)

    def drag(self, x: float, y: float, to: tuple[float, float]) -> None:
        self.mouse("mouseMoved", x, y)
        self.mouse("mousePressed", x, y, clickCount=1, buttons=1)
        for part in (0.3, 0.7, 1.0):
            self.mouse("mouseMoved", x + (to[0] - x) * part, y + (to[1] - y) * part, buttons=1,
                       button="left")  # fmt: skip
        self.mouse("mouseReleased", *to, clickCount=1)

    def press(self, code: str, keys: int = 0, key: str = "") -> None:
        """Press a key by its place; `key` is what the keyboard's layout makes of it."""
        for kind in ("keyDown", "keyUp"):
            self.tab.call("Input.dispatchKeyEvent", type=kind, code=code, key=key, modifiers=keys)

    def draw(self, points: list[tuple[float, float]]) -> None:
        for point in [*points, points[0]]:
            self.click(*point)
        self.mode("edit")

    def mode(self, wanted: str) -> None:
        self.tab.wait(f"{BOARD}.dataset.mode === {json.dumps(wanted)}")

    def saved(self) -> None:
        self.tab.wait(f"{STATUS} === 'saved'")

    def face(self, name: str) -> None:
        self.tab.wait(f"{NAMES} === {json.dumps(name)} && {BOARD}.dataset.mode")


@pytest.fixture
def root(tmp_path):
    return labeling_workspace(tmp_path / "project")


def opened(tab, served, side="src", face=""):
    tab.size(1280, 720)
    tab.open(served.context.instance.address)
    tab.run(f"void (location.hash = '#/xseg/{side}{face}')")
    tab.wait(f"{BOARD}?.dataset.face")
    return Hand(tab)


def labels(path: Path):
    return [(kind, points.tolist()) for kind, points in read_metadata(path).seg_ie_polys]


def until(claim):
    while not claim():
        time.sleep(0.02)


SQUARE = [(38, 38), (120, 40), (118, 125), (40, 124)]


def test_a_mask_is_drawn_changed_and_found_in_the_file(tabs, root):
    src = root / "data_src" / "aligned"
    path = src / "00000.jpg"
    with serving(root) as served:
        tab = tabs()
        hand = opened(tab, served)
        hand.face("00000.jpg")

        hand.draw(SQUARE)
        hand.saved()
        assert unreadable(tab) == []
        ((kind, points),) = labels(path)
        assert kind == 1
        np.testing.assert_allclose(points, SQUARE, atol=0.7)
        assert count(open_store(src))["labels"] == 2  # as dfl-tf xseg status sees it

        hand.press("KeyZ", CONTROL)  # the polygon is under way again
        hand.mode("draw")
        until(lambda: labels(path) == [])
        hand.press("KeyZ", CONTROL | SHIFT)
        until(lambda: labels(path) == [(1, points)])

        hand.click(38, 38)  # nothing is selected: a click on the outline selects it
        hand.mode("edit")
        hand.drag(38, 38, (25, 28))
        hand.saved()
        until(lambda: labels(path)[0][1] != points)
        dragged = labels(path)[0][1]
        np.testing.assert_allclose(dragged, [(25, 28), *SQUARE[1:]], atol=1)
        hand.press("ArrowRight")
        hand.press("ArrowDown", SHIFT)
        x, y = dragged[0]
        until(lambda: np.allclose(labels(path)[0][1][0], [x + 1, y + 10], atol=1e-4))
        hand.click(119, 82, CONTROL)  # on an edge: a fifth point
        until(lambda: len(labels(path)[0][1]) == 5)
        np.testing.assert_allclose(labels(path)[0][1][2], (119, 82), atol=1)
        hand.click(118, 125, CONTROL)  # on a point: it goes
        until(lambda: len(labels(path)[0][1]) == 4)
        for _ in range(6):  # back through all of it
            hand.press("KeyZ", CONTROL)
        until(lambda: labels(path) == [])
        for _ in range(6):
            hand.press("KeyY", CONTROL)
        until(lambda: labels(path) and len(labels(path)[0][1]) == 4)

        hand.press("Escape")
        hand.press("KeyW", key="W")  # Caps Lock is on
        hand.draw([(62, 62), (82, 62), (72, 82)])
        until(lambda: [kind for kind, _ in labels(path)] == [1, 0])
        hand.press("Delete")
        until(lambda: [kind for kind, _ in labels(path)] == [1])

        hand.click(62, 62)  # two points are no polygon, and a face that is left drops them
        hand.click(82, 62)
        hand.press("KeyD", key="в")
        hand.face("00001.jpg")
        assert [len(points) for _, points in labels(path)] == [4]
        hand.press("KeyC")
        until(lambda: labels(src / "00001.jpg") == labels(path))
        assert tab.errors() == []


def test_keys_filters_views_and_zoom(tabs, root, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", ":".join([str(Path(__file__).parents[2]), *sys.path]))
    src = root / "data_src" / "aligned"
    with serving(root) as served:
        tab = tabs()
        hand = opened(tab, served)
        hand.face("00000.jpg")
        tab.wait("document.querySelector('.counted').dataset.complete === 'true'")
        counted = "8 faces: 1 labeled, 7 not, 1 with an applied mask"
        tab.wait(f"document.querySelector('.counted').textContent === {counted!r}")

        hand.press("KeyF")  # only unlabeled
        shown = [name for name in _walk(tab, hand, "KeyD", 7)]
        assert shown == [f"{number:05d}.jpg" for number in (1, 3, 4, 5, 6, 7)]
        hand.press("KeyF")  # only labeled
        hand.face("00002.jpg")
        hand.press("KeyF")
        hand.press("KeyD", SHIFT)
        hand.face("00007.jpg")
        hand.press("KeyA", CONTROL)  # the labeled one before
        hand.face("00002.jpg")
        hand.press("KeyD")
        hand.face("00003.jpg")

        pressed = "[...document.querySelectorAll('[aria-pressed=true]')].map(e => e.textContent)"
        for code, text in (("Digit4", "Polygons"), ("Digit5", "Mask"), ("Backquote", "Overlay")):
            hand.press(code)
            assert text in tab.run(pressed)
        hand.press("Digit1")
        assert "Mask" not in tab.run(pressed)
        hand.press("KeyM")
        until(lambda: [kind for kind, _ in labels(src / "00003.jpg")] == [1, 0])

        x, y = hand.place(80, 80)
        tab.call("Input.dispatchMouseEvent", type="mouseWheel", x=x, y=y, deltaX=0, deltaY=-100)
        hand.press("KeyD")
        hand.face("00004.jpg")
        hand.draw([(74, 74), (86, 74), (86, 86)])  # 1.2 times as far from the middle
        hand.saved()
        ((_, points),) = labels(src / "00004.jpg")
        expected = [[80 + (a - 80) / 1.2, 80 + (b - 80) / 1.2] for a, b in
                    [(74, 74), (86, 74), (86, 86)]]  # fmt: skip
        np.testing.assert_allclose(points, expected, atol=0.7)

        hand.press("KeyX")
        hand.face("00005.jpg")
        assert (root / "data_src" / "aligned_trash" / "00004.jpg").is_file()
        hand.press("F1")
        tab.wait("document.querySelector('dialog')?.textContent.includes('only unlabeled')")

        tab.press("Escape")
        tab.wait("!document.querySelector('dialog')")
        tab.click("[data-kind=xseg-fetch]")
        tab.wait("!!document.querySelector('[data-do=start]')", 60)
        tab.click("[data-do=start]")
        tab.wait(
            "document.querySelector('.job[data-kind=xseg-fetch]')?.dataset.state === 'done'", 60
        )
        fetched = sorted(path.name for path in (root / "data_src" / "aligned_xseg").iterdir())
        assert fetched == ["00002.jpg", "00003.jpg"]

        tab.run("void (location.hash = '#/xseg/dst')")  # a pak
        tab.wait(f"{BOARD}?.dataset.mode === 'idle'")
        assert "dfl-tf faceset unpack" in tab.run("document.querySelector('.refusal').textContent")
        hand.click(80, 80)
        assert tab.run(f"{BOARD}.dataset.mode") == "idle"
        assert tab.errors() == []


def test_fingers_and_a_pointer_that_stays_in_the_middle(tabs, root):
    src = root / "data_src" / "aligned"
    with serving(root) as served:
        tab = tabs()
        hand = opened(tab, served)
        hand.face("00000.jpg")
        tab.call("Emulation.setTouchEmulationEnabled", enabled=True, maxTouchPoints=2)

        def touch(kind, *places):
            points = [
                dict(zip("xy", hand.place(*each), strict=True), id=number)
                for number, each in enumerate(places)
            ]
            tab.call("Input.dispatchTouchEvent", type=kind, touchPoints=points)

        for place in [*SQUARE, SQUARE[0]]:  # taps
            touch("touchStart", place)
            touch("touchEnd")
        hand.mode("edit")
        hand.saved()
        np.testing.assert_allclose(labels(src / "00000.jpg")[0][1], SQUARE, atol=0.7)
        touch("touchStart", SQUARE[2])  # a point is dragged
        for place in ((116, 120), (110, 110)):
            touch("touchMove", place)
        touch("touchEnd")
        until(lambda: np.allclose(labels(src / "00000.jpg")[0][1][2], (110, 110), atol=1))
        before = labels(src / "00000.jpg")
        touch("touchStart", (80, 20), (80, 60))  # two fingers zoom, and draw nothing
        for far in (30, 40, 60):
            touch("touchMove", (80, 40 - far), (80, 40 + far))
        touch("touchEnd")
        tab.call("Emulation.setTouchEmulationEnabled", enabled=False)
        hand.press("KeyD")
        hand.face("00001.jpg")
        assert labels(src / "00000.jpg") == before
        tab.wait(f"Math.abs({BOARD}.dataset.zoom - 3) < 0.1")  # kept from face to face
        hand.press("Digit0")

        for place in SQUARE[:2]:
            hand.click(*place)
        hand.mouse("mouseMoved", 100, 100)
        tab.call("Input.dispatchKeyEvent", type="keyDown", code="ShiftLeft", key="Shift",
                 modifiers=SHIFT)  # fmt: skip
        hand.mouse("mouseMoved", 110, 95, SHIFT)  # ten pixels to the right, five up
        hand.mouse("mousePressed", 110, 95, SHIFT, clickCount=1, buttons=1)
        hand.mouse("mouseReleased", 110, 95, SHIFT, clickCount=1)
        tab.call("Input.dispatchKeyEvent", type="keyUp", code="ShiftLeft", key="Shift")
        hand.press("Enter")
        hand.mode("edit")
        hand.saved()
        ((_, points),) = labels(src / "00001.jpg")
        np.testing.assert_allclose(points, [*SQUARE[:2], (110, 95)], atol=1)
        assert tab.errors() == []


def _walk(tab, hand, code, most):
    """Names of the faces that a key leads to."""
    for _ in range(most):
        before = tab.run(NAMES)
        hand.press(code)
        name = tab.run(NAMES)
        if name == before:
            return
        hand.face(name)
        yield name


def test_no_label_is_lost_or_misplaced(tabs, root):
    src = root / "data_src" / "aligned"
    first, second = src / "00000.jpg", src / "00001.jpg"
    with serving(root) as served:
        instance = served.context.instance
        tab = tabs()
        hand = opened(tab, served)
        hand.face("00000.jpg")

        other = second.read_bytes()
        first.write_bytes(other)  # sorted under the page
        hand.draw(SQUARE)
        tab.wait(f"{STATUS} === 'refused'")
        assert "replaced by another image" in tab.run(
            "document.querySelector('.refused').innerText"
        )
        assert first.read_bytes() == other
        tab.click(".refused button")  # show the file as it is; the work stays in the browser
        tab.wait(f"{BOARD}.dataset.polygons === '0' && !!document.querySelector('.draft')")
        hand.press("KeyD")
        hand.face("00001.jpg")

    hand.draw(SQUARE)  # nobody is there
    tab.wait(f"{STATUS} === 'unsaved'")
    assert labels(second) == []
    with serving(root, instance=instance):
        hand.saved()
        ((_, points),) = labels(second)
        np.testing.assert_allclose(points, SQUARE, atol=0.7)
        hand.press("KeyD")
        hand.face("00002.jpg")
        hand.press("KeyD")
        hand.face("00003.jpg")
    third = src / "00003.jpg"
    hand.draw(SQUARE)
    tab.wait(f"{STATUS} === 'unsaved'")
    tab.close()  # the page is gone as well
    assert labels(third) == []
    with serving(root, instance=instance):
        tab = tabs()
        tab.open(f"{instance.place}#/xseg/src")
        until(lambda: len(labels(third)) == 1)
        np.testing.assert_allclose(labels(third)[0][1], SQUARE, atol=0.7)
        tab.wait("document.querySelectorAll('.draft').length === 1")
        assert labels(first) == []
        assert "00000.jpg" in tab.run("document.querySelector('.draft').textContent")
