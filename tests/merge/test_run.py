"""The frame loop: what is written, going on after a kill, failing frames."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from dfl_tf.errors import OptionError, UsageError, WorkspaceError
from dfl_tf.face import FaceType
from dfl_tf.formats.faces.dfljpg import read_metadata
from dfl_tf.formats.faces.faceset_pak import write_pak
from dfl_tf.merge.image_format import ImageFormat
from dfl_tf.merge.landmarks import read_frame_faces
from dfl_tf.merge.networks import MergeNetworks
from dfl_tf.merge.output import Output
from dfl_tf.merge.plan import list_frames, plan_frames, select
from dfl_tf.merge.provenance import Provenance, read_provenance
from dfl_tf.merge.run import MergeRun, merge_frames
from dfl_tf.merge.session import MergeJournal
from dfl_tf.options import MergeOptions, default

from .conftest import add_face, segment, swap

ROOT = Path(__file__).resolve().parents[2]
PACKET = Provenance("new", "SAEHD", 7).packet()


def tasks_of(workspace, **options):
    settings = default(MergeOptions, **options)
    folder = workspace / "data_dst"
    faces = read_frame_faces(folder / "aligned")
    return plan_frames(list_frames(folder), faces, lambda *_: settings)


def output_of(workspace, name="merged", **form):
    return Output(workspace / name, workspace / f"{name}_mask", PACKET, ImageFormat(**form))


def run_of(workspace, name="merged", **how):
    output = how.pop("output", None) or output_of(workspace, name)
    output.prepare(resume=True, overwrite=False)
    networks = how.pop("networks", MergeNetworks(swap, 32))
    return MergeRun(networks, FaceType.WHOLE_FACE, output, **{"workers": 2, "batch": 4} | how)


def contents(folder) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir())}


def test_every_frame_gets_an_image_a_mask_and_a_note(workspace):
    seen = []
    report = merge_frames(
        tasks_of(workspace), run_of(workspace), progress=lambda *n: seen.append(n)
    )
    names = [f"{i:05d}.png" for i in range(1, 7)]
    assert list(contents(workspace / "merged")) == names
    assert list(contents(workspace / "merged_mask")) == names
    assert (report.merged, report.without_face, report.several_faces) == (5, 1, 1)
    assert seen == [(i, 6) for i in range(1, 7)]
    for folder in ("merged", "merged_mask"):
        for data in contents(workspace / folder).values():
            assert read_provenance(data)["system"] == "new (SAEHD)"
    source = cv2.imread(str(workspace / "data_dst" / "00004.png"))
    assert np.array_equal(cv2.imread(str(workspace / "merged" / "00004.png")), source)
    mask = cv2.imread(str(workspace / "merged_mask" / "00001.png"), cv2.IMREAD_UNCHANGED)
    assert mask.shape == source.shape[:2]


@pytest.mark.parametrize("color_transfer", ["rct", "sot-m"])
def test_result_does_not_depend_on_workers(workspace, color_transfer):
    tasks = tasks_of(workspace, color_transfer_mode=color_transfer)
    merge_frames(tasks, run_of(workspace, "one", workers=1))
    merge_frames(tasks, run_of(workspace, "three", workers=3))
    assert contents(workspace / "one") == contents(workspace / "three")


def test_network_always_sees_whole_batches(workspace):
    shapes = []

    def watched(images):
        shapes.append(images.shape)
        return swap(images)

    merge_frames(tasks_of(workspace), run_of(workspace, networks=MergeNetworks(watched, 32)))
    assert shapes == [(4, 32, 32, 3)] * 2


def session_of(workspace):
    return MergeJournal(
        workspace / "model" / "new_SAEHD_merge_session.json", {"model": "new"}, output_of(workspace)
    )


def merge(workspace, identity="weights 1", resume=True, **options):
    session = session_of(workspace)
    session.start(resume=resume)
    tasks = tasks_of(workspace, **options)
    return merge_frames(tasks, run_of(workspace), session=session, identity=identity)


def test_finished_frames_are_skipped_and_kept(workspace):
    assert merge(workspace).skipped == 0
    stamps = {p: p.stat().st_mtime_ns for p in (workspace / "merged").iterdir()}
    again = merge(workspace)
    assert (again.skipped, again.merged) == (6, 0)
    assert stamps == {p: p.stat().st_mtime_ns for p in (workspace / "merged").iterdir()}


def test_other_settings_weights_inputs_or_missing_files_are_redone(workspace):
    merge(workspace)
    assert merge(workspace, erode_mask_modifier=3).skipped == 0
    assert merge(workspace, identity="weights 2", erode_mask_modifier=3).skipped == 0
    assert merge(workspace, identity="weights 2", erode_mask_modifier=3).skipped == 6
    (workspace / "merged" / "00002.png").unlink()
    (workspace / "merged_mask" / "00003.png").write_bytes(b"torn")
    os.utime(workspace / "data_dst" / "00005.png", (1, 1))
    assert merge(workspace, identity="weights 2", erode_mask_modifier=3).skipped == 3


def test_stopping_leaves_whole_frames_and_goes_on(workspace):
    merge_frames(tasks_of(workspace), run_of(workspace, "uninterrupted"))
    stop = threading.Event()
    session = session_of(workspace)
    session.start(resume=False)
    report = merge_frames(
        tasks_of(workspace),
        run_of(workspace, batch=1, workers=1),
        session=session,
        stop=stop,
        progress=lambda *_: stop.set(),
    )
    assert report.interrupted
    done = len(contents(workspace / "merged"))
    assert 0 < done < 6
    rest = MergeJournal(session.path, {}, output_of(workspace))
    rest.start(resume=True)
    report = merge_frames(tasks_of(workspace), run_of(workspace), session=rest)
    assert report.skipped == done
    assert contents(workspace / "merged") == contents(workspace / "uninterrupted")


CHILD = """
import sys, time
from pathlib import Path
from tests.merge import test_run
from dfl_tf.merge.networks import MergeNetworks
from dfl_tf.merge.run import merge_frames

workspace = Path(sys.argv[1])
session = test_run.session_of(workspace)

def slow(images):
    time.sleep(0.4)
    if session.journal.exists() and session.journal.read_text().count("\\n") >= 2:
        time.sleep(600)  # it cannot end before it is killed, however late that is
    return test_run.swap(images)

session.start(resume=False)
run = test_run.run_of(workspace, networks=MergeNetworks(slow, 32), batch=1, workers=1)
merge_frames(test_run.tasks_of(workspace), run, session=session)
"""


def test_killed_run_goes_on_bit_equal_without_redoing_frames(workspace):
    merge_frames(tasks_of(workspace), run_of(workspace, "uninterrupted"))
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(workspace)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "ops")])},
    )
    journal = session_of(workspace).journal
    while not (journal.exists() and journal.read_text().count("\n") >= 2):
        assert child.poll() is None, "the run ended before it could be killed"
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    child.wait()
    finished = journal.read_text().count("\n")
    stamps = {
        name: (workspace / "merged" / name).stat().st_mtime_ns
        for name, _ in map(json.loads, journal.read_text().splitlines())
    }
    report = merge(workspace, identity="")
    assert report.skipped == finished
    assert report.merged + report.without_face == 6 - finished
    assert contents(workspace / "merged") == contents(workspace / "uninterrupted")
    assert contents(workspace / "merged_mask") == contents(workspace / "uninterrupted_mask")
    for name, stamp in stamps.items():
        assert (workspace / "merged" / name).stat().st_mtime_ns == stamp
    assert not journal.exists()


def test_finished_frames_are_noted_while_an_earlier_one_is_in_work(workspace):
    session = session_of(workspace)
    session.start(resume=False)
    waited = []

    def slow_at_first(image):
        if not waited:
            waited.append(False)
            while not session.journal.exists():
                time.sleep(0.01)
            waited[0] = session.journal.exists()
        return segment(image)

    run = run_of(workspace, networks=MergeNetworks(swap, 32, slow_at_first))
    merge_frames(tasks_of(workspace, mask_mode="XSeg-dst"), run, session=session)
    assert waited == [True]


@pytest.mark.parametrize("torn", [b"[", b'["b.png", {"ke', b"\0" * 40, b'["b.png"' + b"\0" * 40])
def test_what_a_power_cut_left_of_the_last_line_is_ignored(workspace, torn):
    session = session_of(workspace)
    session.start(resume=False)
    session.journal.write_bytes(torn)
    assert MergeJournal.read(session.path)["frames"] == {}


def test_torn_line_of_the_journal_is_ignored(workspace):
    session = session_of(workspace)
    session.start(resume=False)
    whole = '["a.png", {"key": "key", "sizes": [1, 2]}]\n'
    session.journal.write_text(whole + '["b.png", {"ke')
    assert list(MergeJournal.read(session.path)["frames"]) == ["a.png"]


@pytest.mark.parametrize("text", ["{", '{"format": "x"}', '{"format": "dfl_tf merge session"}'])
def test_other_files_are_no_sessions(workspace, text):
    path = session_of(workspace).path
    path.write_text(text)
    with pytest.raises(WorkspaceError, match="--overwrite starts over"):
        session_of(workspace).start(resume=True)


def test_a_folder_with_the_name_of_an_image_is_no_frame(workspace):
    (workspace / "data_dst" / "more.png").mkdir()
    assert [p.name for p in list_frames(workspace / "data_dst")][-1] == "00006.png"


def test_overwrite_removes_merged_frames_only(workspace, caplog):
    merge_frames(tasks_of(workspace), run_of(workspace))
    frames = list_frames(workspace / "data_dst")
    output = Output(workspace / "merged", workspace / "merged_mask", PACKET)
    (workspace / "merged" / "00006.png").rename(workspace / "merged" / "of a longer run.png")
    output.prepare(resume=False, overwrite=True, frames=frames)
    assert not contents(workspace / "merged")
    assert not contents(workspace / "merged_mask")
    merge_frames(tasks_of(workspace), run_of(workspace))
    cv2.imwrite(str(workspace / "merged_mask" / "holiday.jpg"), np.zeros((8, 8), np.uint8))
    output.prepare(resume=False, overwrite=True, frames=frames)
    assert "1 images that are not merged frames stay there (holiday.jpg)" in caplog.text
    assert not contents(workspace / "merged")
    assert list(contents(workspace / "merged_mask")) == ["holiday.jpg"]


def test_output_that_cannot_be_a_folder_is_named(workspace):
    (workspace / "file").write_bytes(b"")
    output = Output(workspace / "file" / "merged", workspace / "m", None)
    with pytest.raises(WorkspaceError, match=r"file/merged: cannot be written"):
        output.prepare(resume=False, overwrite=False)


def test_failing_frame_is_named(workspace):
    (workspace / "data_dst" / "00002.png").write_bytes(b"broken")
    with pytest.raises(
        WorkspaceError, match=r"00002\.png: merging this frame failed .*--keep-going"
    ):
        merge_frames(tasks_of(workspace), run_of(workspace))


def test_keep_going_copies_failing_frames_and_lists_them(workspace):
    (workspace / "data_dst" / "00002.png").write_bytes(b"broken")

    def moody(images):
        faces, mask, target_mask = swap(images)
        return faces, mask, target_mask

    def segment(image):
        raise RuntimeError("no mask today")

    tasks = tasks_of(workspace, mask_mode="XSeg-dst")
    run = run_of(workspace, networks=MergeNetworks(moody, 32, segment), keep_going=True)
    report = merge_frames(tasks, run)
    assert [name for name, _ in sorted(report.failed)] == [
        "00001.png", "00002.png", "00003.png", "00005.png", "00006.png",
    ]  # fmt: skip
    assert dict(report.failed)["00001.png"] == "RuntimeError: no mask today"
    source = cv2.imread(str(workspace / "data_dst" / "00003.png"))
    assert np.array_equal(cv2.imread(str(workspace / "merged" / "00003.png")), source)
    assert not (workspace / "merged" / "00002.png").exists()


def test_full_folder_is_not_touched_without_overwrite(workspace):
    output = Output(workspace / "m", workspace / "mm")
    output.prepare(resume=False, overwrite=False)
    (workspace / "m" / "old.png").write_bytes(b"x")
    with pytest.raises(UsageError, match="holds 1 images already: use --resume"):
        output.prepare(resume=False, overwrite=False)
    output.prepare(resume=True, overwrite=False)
    output.prepare(resume=False, overwrite=True, keep=True)
    assert (workspace / "m" / "old.png").exists()
    output.prepare(resume=False, overwrite=True, frames=[Path("old.jpg")])
    assert not (workspace / "m" / "old.png").exists()


def test_frames_of_one_stem_are_an_error(workspace):
    (workspace / "data_dst" / "00001.jpg").write_bytes(b"x")
    with pytest.raises(WorkspaceError, match=r"00001\.jpg and 00001\.png"):
        list_frames(workspace / "data_dst")


def test_missing_and_empty_folders_are_named(tmp_path):
    with pytest.raises(WorkspaceError, match="no such folder"):
        list_frames(tmp_path / "none")
    with pytest.raises(WorkspaceError, match="holds no frames"):
        list_frames(tmp_path)


@pytest.mark.parametrize(
    ("text", "names"), [("2:3", "23"), ("5:", "56"), (":1", "1"), ("4", "4"), ("6:99", "6")]
)
def test_frames_are_chosen_by_number(workspace, text, names):
    picked = select(tasks_of(workspace), text)
    assert "".join(task.path.stem[-1] for task in picked) == names


@pytest.mark.parametrize("text", ["7:9", "3:2", "x", "1:b"])
def test_wrong_ranges_are_errors(workspace, text):
    with pytest.raises(UsageError, match=f"frames '{text}'"):
        select(tasks_of(workspace), text)


def test_chosen_frames_come_out_as_in_a_whole_run(workspace):
    tasks = tasks_of(workspace, color_transfer_mode="mix-m")
    merge_frames(tasks, run_of(workspace, "whole"))
    merge_frames(select(tasks, "3:5"), run_of(workspace, "part"))
    whole = contents(workspace / "whole")
    part = contents(workspace / "part")
    assert list(part) == ["00003.png", "00004.png", "00005.png"]
    assert all(whole[name] == data for name, data in part.items())


def test_landmarks_from_a_pak_are_those_of_the_loose_files(workspace, tmp_path):
    aligned = workspace / "data_dst" / "aligned"
    loose = read_frame_faces(aligned)
    faces = [(p.name, None, read_metadata(p), p) for p in sorted(aligned.glob("*.jpg"))]
    write_pak(tmp_path / "faceset.pak", faces)
    packed = read_frame_faces(tmp_path)
    assert packed.by_stem.keys() == loose.by_stem.keys()
    for stem, found in loose.by_stem.items():
        assert np.array_equal(packed.by_stem[stem], found)
    assert [len(v) for v in loose.by_stem.values()] == [1, 1, 1, 1, 2]


def test_files_without_landmarks_are_skipped_and_counted(workspace):
    aligned = workspace / "data_dst" / "aligned"
    cv2.imwrite(str(aligned / "plain.jpg"), np.zeros((8, 8, 3), np.uint8))
    add_face(aligned / "without.jpg", "00001.png", None)
    found = read_frame_faces(aligned)
    assert [name for name, _ in found.skipped] == ["plain.jpg", "without.jpg"]
    assert len(found.by_stem) == 5


def test_motion_is_measured_where_neighbors_have_one_face(workspace):
    tasks = tasks_of(workspace)
    assert all(task.motion.power == 0 for task in tasks)
    (workspace / "data_dst" / "aligned" / "00006_1.jpg").unlink()
    tasks = tasks_of(workspace)
    assert [task.motion.power > 0 for task in tasks] == [True, True, False, False, False, True]


def test_frame_of_other_settings_in_one_run(workspace):
    plain, eroded = default(MergeOptions), default(MergeOptions, erode_mask_modifier=40)
    tasks = tasks_of(workspace)
    faces = read_frame_faces(workspace / "data_dst" / "aligned")
    mixed = plan_frames(
        [task.path for task in tasks], faces, lambda i, _: eroded if i == 1 else plain
    )
    merge_frames(tasks, run_of(workspace, "plain"))
    merge_frames(mixed, run_of(workspace, "mixed"))
    before, after = contents(workspace / "plain_mask"), contents(workspace / "mixed_mask")
    assert [name for name in before if before[name] != after[name]] == ["00002.png"]


def test_unusable_option_is_refused():
    with pytest.raises(OptionError):
        default(MergeOptions, mode="sideways")
