"""A merge tuned in a real browser is the merge that the command line makes, bit for bit."""

from __future__ import annotations

import base64
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from dfl_tf.cli.main import run
from dfl_tf.web import tuning

from .support.contrast import unreadable
from .support.merging import load, tunable_workspace
from .support.served import serving

MERGING = Path(__file__).parent / "support" / "merging.py"

IMAGE = "document.querySelector('.viewer img')"
READY = "document.querySelector('.viewer')?.dataset.state === 'shown'"
PIXELS = f"""(() => {{
  const canvas = document.createElement('canvas'), image = {IMAGE};
  canvas.width = image.naturalWidth; canvas.height = image.naturalHeight;
  const drawn = canvas.getContext('2d');
  drawn.drawImage(image, 0, 0);
  const {{ data }} = drawn.getImageData(0, 0, canvas.width, canvas.height);
  let text = '';
  const part = 4096;
  for (let i = 0; i < data.length; i += part)
    text += String.fromCharCode(...data.subarray(i, i + part));
  return [canvas.width, canvas.height, btoa(text)];
}})()"""


def shown(tab, frame, view="After"):
    """The pixels that the page shows, BGR."""
    tab.wait(f"{READY} && {IMAGE}.dataset.shown === '{view} of frame {frame}' && {IMAGE}.complete")
    width, height, text = tab.run(PIXELS)
    rgba = np.frombuffer(base64.b64decode(text), np.uint8).reshape(height, width, 4)
    return rgba[:, :, 2::-1]


def put(tab, key, value, kind="number"):
    """Give a control a value, as a hand does."""
    tab.run(
        f"(() => {{ const e = document.querySelector('[data-key={key}] [type={kind}],"
        f" [data-key={key}] select'); e.value = {value!r};"
        " e.dispatchEvent(new Event(e.tagName === 'SELECT' ? 'change' : 'input',"
        " {bubbles: true})); })()"
    )


def press(tab, code, key):
    """Press a key by its place on the keyboard."""
    for kind in ("keyDown", "keyUp"):
        tab.call("Input.dispatchKeyEvent", type=kind, code=code, key=key)


def saved(tab):
    tab.wait("[...document.querySelectorAll('.actions [role=status]')]"
             ".some(e => e.textContent === 'saved')")  # fmt: skip


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setattr(tuning, "render_command", lambda: [sys.executable, str(MERGING), "render"])
    monkeypatch.setattr(tuning, "program", lambda: [sys.executable, str(MERGING)])
    monkeypatch.setattr("dfl_tf.api.load_model", load)
    monkeypatch.setenv("PYTHONPATH", f"{Path(__file__).parents[2]}:{':'.join(sys.path)}")
    return tunable_workspace(tmp_path / "project")


def test_a_merge_is_tuned_saved_and_made(tabs, root, tmp_path):
    with serving(root) as served:
        tab = tabs()
        tab.size(1280, 720)
        tab.open(served.context.instance.address)
        tab.run("void (location.hash = '#/tuner')")
        plain = shown(tab, 1)
        assert unreadable(tab) == []

        put(tab, "blur_mask_modifier", 24)
        put(tab, "color_transfer_mode", "lct")
        for value in range(-30, 31, 4):  # a slider that is drawn along
            put(tab, "erode_mask_modifier", value, "range")
        saved(tab)
        assert not np.array_equal(shown(tab, 1), plain)

        press(tab, "ArrowRight", "ArrowRight")
        press(tab, "BracketLeft", "[")
        press(tab, "ArrowRight", "ArrowRight")
        press(tab, "BracketRight", "]")
        put(tab, "mode", "hist-match")
        saved(tab)
        tab.wait("document.querySelectorAll('.timeline .bar.own').length === 1")

        press(tab, "KeyB", "b")  # the other settings are still the default ones
        tab.wait("document.querySelector('[data-name=B]').ariaPressed === 'true'")
        press(tab, "Home", "Home")
        assert np.array_equal(shown(tab, 1), plain)
        press(tab, "KeyA", "a")

        images = {}
        for frame in (1, 2, 3, 6):
            tab.run(f"(() => {{ const e = document.querySelector('.frames [type=range]');"
                    f" e.value = {frame}; e.dispatchEvent(new Event('input')); }})()")  # fmt: skip
            images[frame] = shown(tab, frame)
        press(tab, "Digit3", "3")
        mask = shown(tab, 6, "Mask")
        press(tab, "Digit1", "1")

        press(tab, "KeyS", "s")
        tab.wait("document.querySelector('.message')?.textContent.startsWith('Saved: ')")
        places = [f"--output-dir={tmp_path / 'm'}", f"--output-mask-dir={tmp_path / 'k'}"]
        files = ["--config", root / "merge.yaml", "--frame-config", root / "merge_frames.yaml"]
        assert run(["merge", str(root), *map(str, files), *places]) == 0
        for frame, image in images.items():
            written = cv2.imread(str(tmp_path / "m" / f"{frame:05d}.png"))
            np.testing.assert_array_equal(image, written, err_msg=f"frame {frame}")
        np.testing.assert_array_equal(mask, cv2.imread(str(tmp_path / "k" / "00006.png")))

        tab.click(".job button")
        tab.wait("document.querySelector('.job').dataset.state === 'done'", 120)
        for path in (tmp_path / "m").iterdir():
            assert (root / "data_dst" / "merged" / path.name).read_bytes() == path.read_bytes()

        tab.run("location.reload()")
        np.testing.assert_array_equal(shown(tab, 1), images[1])  # nothing is lost by a reload
        tab.wait("document.querySelectorAll('.timeline .bar.own').length === 1")
        assert tab.errors() == []
