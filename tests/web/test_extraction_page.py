"""A face is placed by hand in a real browser, and is one that can be trained on."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from dfl_tf.data import Faceset, OutputSpec, SampleSpec, make_sample
from dfl_tf.extract.frame_work import Folders
from dfl_tf.extract.journal import read_journal
from dfl_tf.face import FaceType
from dfl_tf.formats import read_metadata
from dfl_tf.web.views import extraction
from tests.extract.squares import FACE

from .support.contrast import unreadable
from .support.placing import extracted_workspace
from .support.served import serving

PLACING = Path(__file__).parent / "support" / "placing.py"
SHOWN = "document.querySelector('.extraction .viewer')?.dataset.state === 'shown'"
NAME = "document.querySelector('.extraction .stage .name')?.textContent"
STATUS = "document.querySelector('.extraction .told').textContent"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return extracted_workspace(tmp_path_factory.mktemp("extraction") / "project")


@pytest.fixture(scope="module")
def served(root):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(extraction, "place_command", lambda: [sys.executable, str(PLACING)])
        patch.setenv("PYTHONPATH", f"{Path(__file__).parents[2]}:{':'.join(sys.path)}")
        with serving(root) as server:
            yield server


def at_frame(tab, x, y):
    """Where a point of the frame is on the screen."""
    return tab.run(
        "(() => { const i = document.querySelector('.extraction .viewer img'),"
        " b = i.getBoundingClientRect(), s = b.width / i.naturalWidth;"
        f" return [b.x + {x} * s, b.y + {y} * s]; }})()"
    )


def part(tab, selector):
    """Middle of a part of the shape, in pixels of the frame."""
    return tab.run(
        f"(() => {{ const e = document.querySelector({json.dumps(selector)}),"
        " b = e.getBoundingClientRect(),"
        " i = document.querySelector('.extraction .viewer img'), o = i.getBoundingClientRect(),"
        " s = o.width / i.naturalWidth;"
        " return [(b.x + b.width / 2 - o.x) / s, (b.y + b.height / 2 - o.y) / s]; })()"
    )


def drag(tab, start, end):
    tab.drag(*(at_frame(tab, *place) for place in (start, end)))


def press(tab, code, key, **more):
    for kind in ("keyDown", "keyUp"):
        tab.call("Input.dispatchKeyEvent", type=kind, code=code, key=key, **more)


def test_a_face_is_placed_by_hand_and_can_be_trained_on(tabs, root, served):
    aligned = root / "data_src" / "aligned"
    tab = tabs()
    tab.size(1280, 720)
    tab.open(served.context.instance.address)
    tab.run("void (location.hash = '#/extraction/src/2')")
    tab.wait(f"{SHOWN} && {NAME} === '00002.png'")
    tab.click(".extraction .legend [data-kind=none]")  # the next frame without a face
    tab.wait(f"{SHOWN} && {NAME} === '00004.png'")

    press(tab, "KeyN", "n")
    tab.wait("document.querySelector('.viewer.drawing') !== null")
    drag(tab, (60, 70), (150, 160))
    tab.wait("document.querySelectorAll('.shape circle[data-point]').length === 68")
    tab.wait(f"{STATUS} === 'Found by the landmarker.'")
    assert unreadable(tab) == []
    np.testing.assert_allclose(part(tab, ".shape .body"), (105, 115), atol=2)

    drag(tab, (105, 150), (115, 145))  # the shape moves
    np.testing.assert_allclose(part(tab, ".shape .body"), (115, 110), atol=2)
    corner = part(tab, "[data-part=corner2]")
    drag(tab, corner, (corner[0] + 20, corner[1] + 20))  # and grows
    np.testing.assert_allclose(part(tab, "[data-part=corner0]"), (70, 65), atol=2)
    chin = part(tab, "[data-point='8']")
    drag(tab, part(tab, "[data-part=turn]"), (165, 85))  # and turns to the right
    turned = part(tab, "[data-point='8']")
    assert turned[0] < chin[0] - 5
    press(tab, "KeyZ", "z", modifiers=2)  # Ctrl+Z
    np.testing.assert_allclose(part(tab, "[data-point='8']"), chin, atol=1)
    lower = (chin[0] + 3, chin[1] + 9)
    drag(tab, chin, lower)  # a single point
    np.testing.assert_allclose(part(tab, "[data-point='8']"), lower, atol=1)
    tab.run("(window.old = true, location.reload())")  # nothing is lost by a reload
    tab.wait("!window.old && document.querySelectorAll('.shape circle[data-point]').length === 68")
    press(tab, "ArrowRight", "ArrowRight")  # the whole by one pixel
    press(tab, "Enter", "Enter")
    tab.wait(f"{STATUS} === 'saved'")

    (face,) = read_journal(aligned).frames["00004.png"].faces
    assert (face.by_hand, face.file) == (True, "00004_0.jpg")
    np.testing.assert_allclose(face.box, (71, 65, 181, 175), atol=3)
    expected = (71, 65) + FACE * 110
    expected[8] += (3, 9)
    np.testing.assert_allclose(face.landmarks, expected, atol=3)
    metadata = read_metadata(aligned / "00004_0.jpg")
    np.testing.assert_allclose(metadata.source_landmarks, face.landmarks, atol=1e-9)
    (sample,) = [each for each in Faceset.open(aligned) if each.name == "00004_0.jpg"]
    outputs = {"image": OutputSpec(warp=True), "mask": OutputSpec(kind="mask", mask="full")}
    wanted = SampleSpec(resolution=64, face_type=FaceType.WHOLE_FACE, outputs=outputs)
    arrays = make_sample(sample, wanted, 3)
    assert 0.2 < arrays["mask"].mean() < 0.9
    tab.wait("document.querySelector('[data-kind=hand]').textContent === 'by hand 1'")

    tab.click("[data-do=undo]")
    tab.wait(f"{STATUS} === 'undone'")
    assert not (aligned / "00004_0.jpg").exists()
    assert [path.name for path in Folders(aligned).trash.iterdir()] == ["00004_0.jpg"]
    tab.click("[data-do=restore]")
    tab.wait(f"{STATUS} === 'is back'")
    assert (aligned / "00004_0.jpg").exists()

    press(tab, "ArrowRight", "ArrowRight")
    press(tab, "ArrowRight", "ArrowRight")
    tab.wait(f"{SHOWN} && {NAME} === '00006.png'")
    press(tab, "KeyV", "v")  # the face of the frame before as a start
    tab.wait(f"{STATUS} === 'Taken from frame 5.'")
    press(tab, "Enter", "Enter")
    tab.wait(f"{STATUS} === 'saved'")
    before, now = (read_journal(aligned).frames[f"0000{n}.png"] for n in (5, 6))
    np.testing.assert_allclose(now.faces[1].landmarks, before.faces[0].landmarks)
    assert tab.errors() == []


def test_what_another_window_changed_is_not_overwritten(tabs, root, served):
    aligned = root / "data_src" / "aligned"
    one, other = tabs(), tabs()
    for tab in (one, other):
        tab.size(1280, 720)
        tab.open(served.context.instance.address)
        tab.run("void (location.hash = '#/extraction/src/7')")
        tab.wait(f"{SHOWN} && {NAME} === '00007.png'")
    press(one, "KeyV", "v")
    one.wait(f"{STATUS} === 'Taken from frame 6.'")
    press(other, "KeyV", "v")
    other.wait(f"{STATUS} === 'Taken from frame 6.'")
    press(one, "Enter", "Enter")
    one.wait(f"{STATUS} === 'saved'")
    press(other, "Enter", "Enter")
    other.wait("document.querySelector('.message')?.textContent.includes('changed meanwhile')")
    assert len(read_journal(aligned).frames["00007.png"].faces) == 2
    other.wait("document.querySelectorAll('.extraction .list li').length === 2")
    press(other, "Enter", "Enter")  # now that it has seen the other one
    other.wait(f"{STATUS} === 'saved'")
    assert len(read_journal(aligned).frames["00007.png"].faces) == 3


def test_a_face_waits_for_the_connection_as_it_was_placed(tabs, root, served):
    tab = tabs()
    tab.size(1280, 720)
    tab.open(served.context.instance.address)
    tab.run("void (location.hash = '#/extraction/src/8')")
    tab.wait(f"{SHOWN} && {NAME} === '00008.png'")
    press(tab, "KeyV", "v")
    tab.wait(f"{STATUS} === 'Taken from frame 7.'")
    middle = part(tab, ".shape .body")
    tab.run(
        "(window.whole = fetch, window.fetch = (place, how) => how?.method === 'POST'"
        " ? Promise.reject(new TypeError('no connection')) : whole(place, how))"
    )
    press(tab, "Enter", "Enter")
    tab.wait(f"{STATUS}.includes('no connection, trying again')")
    press(tab, "ArrowRight", "ArrowRight")  # would be lost with the shape
    tab.click("[aria-label='Frame before']")  # would put the face on another frame
    np.testing.assert_allclose(part(tab, ".shape .body"), middle)
    assert tab.run(NAME) == "00008.png"
    tab.run("(window.fetch = whole)")
    tab.wait(f"{STATUS} === 'saved'", 10)
    face = read_journal(root / "data_src" / "aligned").frames["00008.png"].faces[-1]
    left, top, right, bottom = face.box
    np.testing.assert_allclose(((left + right) / 2, (top + bottom) / 2), middle, atol=1)
    assert face.by_hand
