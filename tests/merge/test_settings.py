"""Settings by frame: files, single frames, old sessions, flags."""

from __future__ import annotations

from pathlib import Path

import pytest

from dfl_tf.errors import OptionError
from dfl_tf.formats.sessions.merge_session import LegacyMergeSession, SessionFrame
from dfl_tf.merge.settings import FrameSettings, read_frame_values
from dfl_tf.options import Layer, MergeOptions, default

FRAMES = [Path(f"{i:05d}.png") for i in range(1, 5)]


def layer(**values):
    return (Layer(values, "test"),)


def test_single_frames_over_all_frames_under_flags(tmp_path):
    path = tmp_path / "frames.yaml"
    path.write_text(
        "00002: {erode_mask_modifier: 5, mode: seamless}\n"
        '"3:": {erode-mask-modifier: 7, blur_mask_modifier: 9}\n'
    )
    settings = FrameSettings(
        config=layer(erode_mask_modifier=1, blur_mask_modifier=2),
        frames=read_frame_values(path),
        frames_origin=path.name,
        given=layer(blur_mask_modifier=3),
    ).resolve(FRAMES)
    assert [s.erode_mask_modifier for s in settings] == [1, 5, 7, 7]
    assert [s.blur_mask_modifier for s in settings] == [3, 3, 3, 3]
    assert [s.mode for s in settings] == ["overlay", "seamless", "overlay", "overlay"]


def test_all_errors_of_single_frames_are_told():
    frames = {"00009": {"mode": "overlay"}, "1:2": {"colour": 1}}
    with pytest.raises(
        OptionError, match="00009: matches no frame; 1:2: colour is not a merge option"
    ):
        FrameSettings(frames=frames, frames_origin="f.yaml").resolve(FRAMES)


def test_value_out_of_range_names_its_file():
    frames = {"00001": {"blur_mask_modifier": "900"}}
    with pytest.raises(OptionError, match=r"blur_mask_modifier=.*0 … 400 .*f\.yaml"):
        FrameSettings(frames=frames, frames_origin="f.yaml").resolve(FRAMES)


@pytest.mark.parametrize("text", ["- a\n- b", "mode: overlay", "{", ""])
def test_file_must_map_frames_to_options(tmp_path, text):
    (tmp_path / "f.yaml").write_text(text)
    with pytest.raises(OptionError, match=r"f\.yaml"):
        read_frame_values(tmp_path / "f.yaml")


def session(*configs):
    frames = [
        SessionFrame(f"C:\\w\\{path.name}", path.name, [], 0.0, 0.0, config, False)
        for path, config in zip(FRAMES, configs, strict=False)
    ]
    return LegacyMergeSession(frames, [], [], 100)


def test_session_gives_each_frame_its_configuration():
    stored = {
        "mode": "seamless", "mask_mode": 1, "color_transfer_mode": 6, "sharpen_mode": 2,
        "type": 1, "default_mode": "overlay", "face_type": "wf", "sharpen_dict": {0: "None"},
    }  # fmt: skip
    old = session(stored, None, stored | {"erode_mask_modifier": 5}, None)
    settings = FrameSettings(session=old).resolve(FRAMES)
    assert settings[0] == default(
        MergeOptions,
        mode="seamless",
        mask_mode="dst",
        color_transfer_mode="idt-m",
        sharpen_mode="gaussian",
    )
    assert settings[1] == settings[0]
    assert [s.erode_mask_modifier for s in settings] == [0, 0, 5, 5]
    given = FrameSettings(session=old, given=layer(mode="overlay")).resolve(FRAMES)
    assert {s.mode for s in given} == {"overlay"}


def test_session_of_other_frames_is_refused():
    with pytest.raises(
        OptionError, match=r"session was recorded for 2 frames .*00001\.png.*folder has 4"
    ):
        FrameSettings(session=session(None, None)).resolve(FRAMES)
