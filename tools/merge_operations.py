"""Merging into images and into a video, for `power_cuts` and `crash_operations`."""

from __future__ import annotations

from fractions import Fraction
from functools import partial
from pathlib import Path
from unittest import mock

import cv2
import numpy as np
from operation import Operation, need

from dfl_tf.merge import video_output
from dfl_tf.merge.frame import MergedFrame
from dfl_tf.merge.output import Output
from dfl_tf.merge.session import MergeJournal
from dfl_tf.merge.video_output import VideoOutput, VideoTarget
from dfl_tf.video.color import to_bgr
from dfl_tf.video.frames import shown_frames
from dfl_tf.video.write import Encoding


def _output(folder: Path) -> Output:
    return Output(folder / "merged", folder / "merged_mask")


def _frames(folder: Path) -> list[Path]:
    return [folder / "data_dst" / f"{number:05d}.png" for number in range(1, 5)]


def _merge(key: str, folder: Path) -> None:
    """Merge in two runs, the second one resumed, as the frame loop does."""
    output = _output(folder)
    output.prepare(resume=True, overwrite=False)
    for part in (slice(0, 2), slice(0, 4)):
        session = MergeJournal(folder / "new_SAEHD_merge_session.json", {"model": "new"}, output)
        session.start(resume=True)
        for frame in _frames(folder)[part]:
            if not session.finished(frame, key):
                session.note(frame, key, output.make(frame, _merged(frame, key)))
        session.save()


def _merged(frame: Path, key: str) -> MergedFrame:
    value = int(frame.stem) + (100 if key == "new" else 0)
    image = np.full((8, 8 + value, 3), value, np.uint8)
    return MergedFrame(image=image, mask=image[..., 0])


def _merge_state(folder: Path) -> str:
    output, count = _output(folder), 0
    session = MergeJournal(folder / "new_SAEHD_merge_session.json", {}, output)
    content = session.read(session.path)
    session._done = {} if content is None else content["frames"]
    for frame in _frames(folder):
        for path, what in zip(output.paths(frame), ("image", "mask"), strict=True):
            if path.exists():
                found = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
                wanted = [getattr(_merged(frame, key), what) for key in ("old", "new")]
                need(any(np.array_equal(found, each) for each in wanted), f"{path} is torn")
        if session.finished(frame, "new"):
            count += 1
            read = cv2.imread(str(output.paths(frame)[0]))
            need(np.array_equal(read, _merged(frame, "new").image), f"{frame} is not what counts")
    return "new" if count == len(_frames(folder)) else "old"


def _merge_further(folder: Path) -> None:
    _merge("new", folder)
    need(_merge_state(folder) == "new", "the merge could not be resumed")


def _video(folder: Path, key: str) -> VideoOutput:
    (folder / "data_dst").mkdir(exist_ok=True)  # may hold the times of its frames
    target = VideoTarget(folder / "result.mp4", rate=Fraction(25), audio=False,
                         encoding=Encoding(lossless=True))  # fmt: skip
    frames = _frames(folder)
    return VideoOutput(target, frames, range(4), [key] * 4, folder / "record.json")


def _shown(frame: Path, key: str) -> MergedFrame:
    value = 20 * int(frame.stem) + (100 if key == "new" else 0)
    return MergedFrame(np.full((16, 32, 3), value, np.uint8), np.full((16, 32), value, np.uint8))


def _merge_video(key: str, folder: Path, *, overwrite: bool = False) -> None:
    """Merge into a video of parts of two frames, in two runs, the second one resumed."""
    with mock.patch.object(video_output, "PART", 2):
        for count in (3, 4):
            output = _video(folder, key)
            if output.prepare(resume=not overwrite, overwrite=overwrite) is not None:
                return
            for frame in _frames(folder)[:count]:
                if not output.finished(frame, key):
                    output.take(frame, output.make(frame, _shown(frame, key)))
            output.save()
            overwrite = False
        output.finish()


def _video_state(folder: Path, *, first: bool = False) -> str:
    found = []
    for path, what in zip(_video(folder, "new")._target.paths, ("image", "mask"), strict=True):
        if not path.exists():
            need(first, f"{path} is lost")
            found.append("old")
            continue
        shown = [to_bgr(frame)[..., : 3 if what == "image" else 1] for frame in shown_frames(path)]
        for key in ("old", "new"):
            wanted = [getattr(_shown(frame, key), what) for frame in _frames(folder)]
            if len(shown) == 4 and all(
                np.array_equal(a.squeeze(), b) for a, b in zip(shown, wanted, strict=True)
            ):
                found.append(key)
    need(len(found) == 2, "a video is torn")
    need(found != ["new", "old"], "the masks are not those of the video")
    return found[0]


def _video_further(folder: Path) -> None:
    _merge_video("new", folder, overwrite=_video_state(folder, first=True) == "old")
    need(_video_state(folder) == "new", "the video could not be finished")


def _video_resumed(folder: Path) -> None:
    _merge_video("new", folder)
    need(_video_state(folder) == "new", "the video could not be resumed")


def merge_operations() -> dict[str, Operation]:
    """Merging for the first time and again, by name."""
    return {
        "merge, first": Operation(
            lambda folder: None, partial(_merge, "new"), _merge_state, _merge_further
        ),
        "merge again": Operation(
            partial(_merge, "old"), partial(_merge, "new"), _merge_state, _merge_further
        ),
        "merge --video": Operation(
            lambda folder: None, partial(_merge_video, "new"), partial(_video_state, first=True),
            _video_resumed,
        ),
        "merge --video again": Operation(
            partial(_merge_video, "old"), partial(_merge_video, "new", overwrite=True),
            _video_state, _video_further,
        ),
    }  # fmt: skip
