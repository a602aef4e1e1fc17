"""The commands `merge` and `video merge` on a small workspace, with a network of NumPy."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from dfl_tf.cli import merge as merge_cli
from dfl_tf.cli.main import run
from dfl_tf.face import FaceType
from dfl_tf.formats.sessions.merge_session import read_merge_session
from dfl_tf.merge.networks import MergeNetworks
from dfl_tf.merge.opening import MergeModel
from dfl_tf.merge.provenance import read_provenance

from .conftest import segment, swap

GOLDEN_SESSION = Path(__file__).parents[1] / "golden" / "formats" / "sample_merger_session.dat"


@pytest.fixture(autouse=True)
def fake_model(monkeypatch):
    def opened(*_, **__):
        networks = MergeNetworks(swap, 32, segment)
        return MergeModel("new", "SAEHD", 5, FaceType.WHOLE_FACE, networks, "weights")

    monkeypatch.setattr(merge_cli, "open_model", opened)


def merge(workspace, *args):
    return run(["merge", str(workspace), "--workers", "2", *args])


def names(folder):
    return [p.name for p in sorted(folder.iterdir())]


def test_workspace_is_merged_into_its_folders(workspace, capsys):
    assert merge(workspace, "--json", "--mode", "hist-match", "--erode", "4") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["merged"] == 5
    assert report["without_face"] == 1
    assert report["model"] == "new"
    assert names(workspace / "data_dst" / "merged") == [f"{i:05d}.png" for i in range(1, 7)]
    assert names(workspace / "data_dst" / "merged_mask") == [f"{i:05d}.png" for i in range(1, 7)]
    session = json.loads((workspace / "model" / "new_SAEHD_merge_session.json").read_text())
    assert session["settings"]["mode"] == "hist-match"
    assert session["settings"]["erode_mask_modifier"] == 4
    assert len(session["frames"]) == 6


def test_remarks_are_said_unless_they_are_not_wanted(workspace, capsys, monkeypatch):
    monkeypatch.setattr(merge_cli, "advice_on", lambda tasks: [f"{len(tasks)} frames"])
    assert merge(workspace) == 0
    assert "advice: 6 frames" in capsys.readouterr().err.splitlines()
    assert merge(workspace, "--overwrite", "--no-advice") == 0
    assert "advice" not in capsys.readouterr().err


def test_a_second_run_needs_resume_or_overwrite(workspace, capsys):
    assert merge(workspace) == 0
    assert merge(workspace) == 2
    assert "use --resume to continue, or --overwrite to start over" in capsys.readouterr().err
    assert merge(workspace, "--resume") == 0
    assert "0 frames merged, 0 without a face, 6 were finished" in capsys.readouterr().out
    assert merge(workspace, "--overwrite", "--frames", "2:3") == 0
    assert "2 frames merged" in capsys.readouterr().out
    assert len(names(workspace / "data_dst" / "merged")) == 6
    assert merge(workspace, "--resume") == 0
    assert "6 were finished" in capsys.readouterr().out
    assert merge(workspace, "--overwrite", "--resume") == 2


@pytest.mark.parametrize("folder", ["--output-dir", "--output-mask-dir"])
def test_results_never_go_over_the_frames(workspace, capsys, folder):
    before = names(workspace / "data_dst")
    assert merge(workspace, folder, str(workspace / "data_dst"), "--overwrite") == 2
    assert "four different folders" in capsys.readouterr().err
    assert names(workspace / "data_dst") == before


def test_all_wrong_values_are_told_with_exit_code_2(workspace, capsys):
    assert merge(workspace, "--blur", "999", "--mode", "sideways") == 2
    said = capsys.readouterr().err
    assert "blur_mask_modifier=999 is outside 0 … 400" in said
    assert "sideways" in said
    assert not (workspace / "data_dst" / "merged").exists()


def test_single_folders_in_the_old_spelling(workspace, tmp_path, capsys):
    old = [
        "merge", "--input-dir", workspace / "data_dst", "--aligned-dir",
        workspace / "data_dst" / "aligned", "--model-dir", workspace / "model", "--model", "SAEHD",
        "--output-dir", tmp_path / "o", "--output-mask-dir", tmp_path / "m", "--cpu-only",
    ]  # fmt: skip
    assert run([str(word) for word in old]) == 0
    assert len(names(tmp_path / "o")) == len(names(tmp_path / "m")) == 6


def test_no_provenance_leaves_no_note_and_says_so(workspace, capsys):
    assert merge(workspace, "--no-provenance") == 0
    assert "provenance: switched off" in capsys.readouterr().err
    first = workspace / "data_dst" / "merged" / "00001.png"
    assert read_provenance(first) is None
    assert merge(workspace, "--overwrite") == 0
    assert read_provenance(first)["version"] == "iteration 5"


def test_keep_going_ends_with_1_and_names_the_frame(workspace, capsys):
    (workspace / "data_dst" / "00005.png").write_bytes(b"broken")
    assert merge(workspace) == 1
    assert "00005.png: merging this frame failed" in capsys.readouterr().err
    assert merge(workspace, "--resume", "--keep-going") == 1
    assert "failed: 00005.png" in capsys.readouterr().err
    assert len(names(workspace / "data_dst" / "merged")) == 5


def test_sheet_shows_modes_and_masks_and_writes_nothing_else(workspace, tmp_path):
    sheet = tmp_path / "sheet.jpg"
    args = ["--sheet", str(sheet), "--sheet-modes", "overlay,raw-predict,seamless"]
    assert merge(workspace, *args, "--sheet-masks", "dst,XSeg-dst", "--sheet-count", "2") == 0
    image = cv2.imread(str(sheet))
    assert image.shape[1] == 4 * 162 + 2
    assert image.shape[0] > 4 * 100
    columns = [image[22:80, 162 * i + 2 : 162 * i + 162].astype(int) for i in range(3)]
    assert np.abs(columns[0] - columns[1]).mean() > 1
    assert read_provenance(sheet)["system"] == "new (SAEHD)"
    assert not (workspace / "data_dst" / "merged").exists()


def test_wrong_names_for_the_sheet(workspace, tmp_path, capsys):
    assert merge(workspace, "--sheet", str(tmp_path / "s.jpg"), "--sheet-modes", "up") == 2
    assert "--sheet-modes mode=up: up is not one of" in capsys.readouterr().err
    assert merge(workspace, "--sheet", str(tmp_path / "s.gif")) == 2
    assert "give a file name with .jpg, .jpeg, .png" in capsys.readouterr().err
    (tmp_path / "file").write_bytes(b"")
    assert merge(workspace, "--sheet", str(tmp_path / "file" / "s.jpg")) == 1
    assert "s.jpg: cannot be written" in capsys.readouterr().err


def test_sheet_sweeps_options(workspace, tmp_path):
    sheet = tmp_path / "sheet.png"
    args = ["--sheet", str(sheet), "--sheet-count", "1", "--sheet-size", "100"]
    swept = ["--sweep", "erode_mask_modifier=-200:200:200", "--sweep", "output-face-scale=-40,40"]
    assert merge(workspace, *args, *swept) == 0
    image = cv2.imread(str(sheet))
    assert image.shape[1] == 4 * 102 + 2
    height = (image.shape[0] - 2) // 2
    rows = [
        [image[top + 20 : top + height, 102 * i + 2 : 102 * i + 102].astype(int) for i in range(4)]
        for top in (0, height)
    ]
    assert np.array_equal(rows[0][0], rows[1][0])  # the frame as it is
    changed = [np.abs(cell - row[0]).mean() for row in rows for cell in row[1:]]
    assert changed[0] > changed[2]  # less is left of the face where more of the mask is eroded
    assert not np.array_equal(rows[0][2], rows[1][2])
    assert merge(workspace, *args, "--sweep", "mode=overlay,raw-predict") == 0
    assert cv2.imread(str(sheet)).shape[1] == 3 * 102 + 2


@pytest.mark.parametrize(
    ("sweeps", "said"),
    [
        (["erode=1"], "there is no merge option erode"),
        (["mode"], "write KEY=first:last:step or KEY=one,two"),
        (["erode_mask_modifier=1:2"], "a range is first:last:step"),
        (["erode_mask_modifier=1:2:-1"], "does not lead from 1 to 2"),
        (["erode_mask_modifier=0:400:1"], "in at most 50 values"),
        (["erode_mask_modifier=0,500"], "500 "),
        (["mode=overlay,up"], "up is not one of"),
        (["mode="], "gives no value"),
        (["mode=overlay", "mode=seamless"], "mode is given twice"),
        (["mode=overlay", "mask_mode=dst", "output_face_scale=1"], "two options at most"),
    ],
)
def test_wrong_sweeps(workspace, tmp_path, capsys, sweeps, said):
    given = [word for sweep in sweeps for word in ("--sweep", sweep)]
    assert merge(workspace, "--sheet", str(tmp_path / "s.png"), *given) == 2
    assert said in capsys.readouterr().err


def test_missing_workspace_model_and_faces_are_named(tmp_path, capsys):
    assert run(["merge"]) == 2
    assert "give WORKSPACE, or --frames-dir and --model-dir" in capsys.readouterr().err
    assert run(["merge", str(tmp_path / "none")]) == 1
    assert "none" in capsys.readouterr().err


def test_merged_frames_become_a_video_that_says_so(workspace, capsys):
    av = pytest.importorskip("av")
    assert merge(workspace) == 0
    assert run(["video", "merge", str(workspace), "--mask", "--fps", "24"]) == 0
    assert "6 frames, 24 a second" in capsys.readouterr().out
    assert names(workspace) == ["data_dst", "model", "result.mp4", "result_mask.mp4"]
    with av.open(str(workspace / "result.mp4")) as container:
        assert "compositeWithTrainedAlgorithmicMedia" in container.metadata["comment"]
        assert "new (SAEHD)" in container.metadata["comment"]


def test_video_info_extract_and_cut_on_the_command_line(workspace, tmp_path, capsys):
    pytest.importorskip("av")
    assert merge(workspace) == 0
    video = str(workspace / "result.mp4")
    assert run(["video", "merge", str(workspace), "--fps", "24", "--lossless"]) == 0
    capsys.readouterr()
    assert run(["video", "info", video, "--json"]) == 0
    about = json.loads(capsys.readouterr().out)
    assert (about["frames"], about["rate"]) == (6, "24")
    assert run(["videoed", "extract-video", "--input-file", video, "--output-dir",
                str(tmp_path / "f"), "--output-ext", "png"]) == 0  # fmt: skip
    first = cv2.imread(str(tmp_path / "f" / "00001.png"))
    assert np.array_equal(first, cv2.imread(str(workspace / "data_dst/merged/00001.png")))
    assert run(["video", "cut", video, "--from-time", "0.1", "--to-time", "0.2"]) == 0
    assert "result_cut.mp4" in capsys.readouterr().out


def test_old_spelling_of_making_a_video(workspace, tmp_path):
    pytest.importorskip("av")
    assert merge(workspace) == 0
    old = ["videoed", "video-from-sequence", "--input-dir", str(workspace / "data_dst/merged"),
           "--output-file", str(tmp_path / "r.mp4"), "--fps", "25", "--include-audio"]  # fmt: skip
    assert run(old) == 0
    assert (tmp_path / "r.mp4").stat().st_size > 1000


def test_missing_networks_are_explained(workspace, capsys, monkeypatch):
    monkeypatch.undo()
    assert merge(workspace) == 1
    assert "there is no face model. There are no models." in capsys.readouterr().err
    assert merge(workspace, "--model", "Quick97") == 2
    (workspace / "model" / "new_SAEHD_data.dat").write_bytes(b"x")
    assert merge(workspace, "--mask-mode", "XSeg-dst") == 1
    assert "holds no XSeg model (XSeg_256.npy)" in capsys.readouterr().err
    assert merge(workspace, "--super-resolution", "10") == 2
    assert "give --enhancer FILE.onnx" in capsys.readouterr().err
    assert not (workspace / "data_dst" / "merged").exists()


def test_print_options_shows_what_a_session_holds(capsys):
    session = GOLDEN_SESSION
    assert run(["merge", "--session", str(session), "--print-options", "--erode", "9"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["frames"] == sum(one["frames"] for one in shown["settings"]) == 3
    assert (shown["finished"], shown["remaining"], shown["model_iteration"]) == (1, 2, 12345)
    stored = read_merge_session(session)
    first = shown["settings"][0]
    assert first["first"] == stored.frames[0].filename
    assert first["options"]["blur_mask_modifier"] == stored.frames[0].config["blur_mask_modifier"]
    # flags win over the session, as they do in a merge
    assert {one["options"]["erode_mask_modifier"] for one in shown["settings"]} == {9}


def test_the_same_old_line_a_second_time_replaces_its_output(workspace, capsys):
    dst = workspace / "data_dst"
    line = [
        *("merge", "--input-dir", dst, "--output-dir", dst / "merged"),
        *("--output-mask-dir", dst / "merged_mask", "--aligned-dir", dst / "aligned"),
        *("--model-dir", workspace / "model", "--model", "SAEHD"),
    ]
    old = [str(word) for word in line]
    assert run(old) == 0
    (dst / "merged" / "00001.png").write_bytes(b"old")
    (dst / "merged" / "mine.txt").write_bytes(b"kept")
    capsys.readouterr()
    assert run(old) == 0
    printed = capsys.readouterr()
    assert "5 frames merged" in printed.out
    assert "an earlier output of this line is replaced; --resume continues it" in printed.err
    assert read_provenance(dst / "merged" / "00001.png") is not None
    assert (dst / "merged" / "mine.txt").read_bytes() == b"kept"
    # the new spelling asks
    assert run(["merge", str(workspace)]) == 2
    assert "or --overwrite to start over" in capsys.readouterr().err


def test_the_reference_gives_the_rate_whatever_fps_says(workspace, tmp_path, capsys):
    pytest.importorskip("av")
    assert merge(workspace) == 0
    reference = tmp_path / "reference.mp4"
    assert run(["video", "merge", str(workspace), "--fps", "10", "--output", str(reference)]) == 0
    words = ["video", "merge", str(workspace), "--output", str(tmp_path / "made.mp4")]
    assert run([*words, "--fps", "24", "--reference", str(reference)]) == 0
    assert "6 frames, 10 a second" in capsys.readouterr().out.splitlines()[-1]
