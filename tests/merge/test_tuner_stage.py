"""A frame composed from remembered answers is the frame that a merge writes, bit for bit."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from dfl_tf.errors import UsageError
from dfl_tf.face import FaceType
from dfl_tf.merge.networks import MergeNetworks
from dfl_tf.merge.run import merge_frames
from dfl_tf.merge.tuner.remembered import Recent
from dfl_tf.merge.tuner.serving import encoded
from dfl_tf.merge.tuner.stage import Stage
from dfl_tf.options import MergeOptions, default

from .conftest import enhance as enlarge
from .conftest import segment, swap
from .test_run import run_of, tasks_of

SETTINGS = {
    "as it comes": {},
    "hist-match": {"mode": "hist-match", "masked_hist_match": False},
    "seamless": {"mode": "seamless", "color_transfer_mode": "mkl"},
    "raw-predict": {"mode": "raw-predict"},
    "raw-rgb": {"mode": "raw-rgb"},
    "random": {"color_transfer_mode": "sot-m", "erode_mask_modifier": 20},
    "lct": {"color_transfer_mode": "lct", "blur_mask_modifier": 30, "output_face_scale": -7},
    "mask": {"mask_mode": "learned-prd*learned-dst*XSeg-prd*XSeg-dst", "motion_blur_power": 60},
    "enhanced": {"super_resolution_power": 40, "mask_mode": "XSeg-prd", "color_degrade_power": 5},
    "degraded": {"image_denoise_power": 80, "blursharpen_amount": 4, "sharpen_mode": "box"},
}


def by_place(images):
    """A network whose answer depends on the place in its batch."""
    shift = np.arange(len(images), dtype=np.float32).reshape(-1, 1, 1, 1) / 50
    faces, *masks = swap(images)
    return np.clip(faces - shift, 0, 1), *masks


class Models:
    """Stands for `MergeModels`; counts the faces that each network was shown."""

    face_type = FaceType.WHOLE_FACE

    def __init__(self) -> None:
        self.shown = []

    def loaded(self, *, xseg):
        return True

    def require_xseg(self, mask_modes):
        pass

    def networks(self, *, morph=1.0, xseg=True, enhance=True):
        def counted(name, network):
            def answer(images):
                self.shown.append(name)
                return network(images)

            return answer

        return MergeNetworks(
            counted("predict", by_place),
            32,
            counted("segment", segment),
            counted("enhance", enlarge),
            counted("segment", lambda images: np.stack([segment(image) for image in images])),
            None,
        )


@pytest.fixture
def stage(workspace):
    return Stage(tasks_of(workspace), Models())


@pytest.mark.parametrize("name", SETTINGS)
def test_a_view_is_what_a_merge_writes(workspace, stage, name):
    settings = default(MergeOptions, **SETTINGS[name])
    tasks = tasks_of(workspace, **SETTINGS[name])
    merge_frames(tasks, run_of(workspace, networks=Models().networks()))
    # Other settings come first, so that what can be remembered is remembered.
    for index in (5, 0, 3, 2):
        for before in ("as it comes", "enhanced", "mask"):
            stage.merged(index, default(MergeOptions, **SETTINGS[before]))
        frame = tasks[index].path.name
        for folder, view in (("merged", "after"), ("merged_mask", "mask")):
            written = cv2.imread(str(workspace / folder / frame), cv2.IMREAD_COLOR)
            kind, data = encoded(stage.view(index, settings, view), 0)
            assert kind == "image/png"
            shown = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
            np.testing.assert_array_equal(shown, written, err_msg=f"{frame} {view}")


def test_only_what_a_network_sees_anew_is_asked(stage):
    asked = stage.models.shown
    stage.merged(0, default(MergeOptions))
    assert asked == ["predict"]
    for values in SETTINGS.values():
        if not {"mask_mode", "super_resolution_power"} & values.keys():
            stage.merged(0, default(MergeOptions, **values))
    assert asked == ["predict"]
    masks = default(MergeOptions, mask_mode="XSeg-prd*XSeg-dst")
    stage.merged(0, masks)
    assert asked == ["predict", "segment", "segment"]
    stage.merged(0, replace(masks, mask_mode="XSeg-dst", mode="hist-match"))
    assert asked == ["predict", "segment", "segment"]
    stage.merged(0, default(MergeOptions, morph=0.5))
    assert asked == ["predict", "segment", "segment", "predict"]
    said = []
    stage.merged(1, default(MergeOptions), lambda: said.append(True))
    assert said
    said.clear()
    stage.merged(1, default(MergeOptions, mode="raw-rgb"), lambda: said.append(True))
    assert not said


def test_a_frame_that_changed_on_disk_is_read_again(stage):
    before = stage.view(0, default(MergeOptions), "before").copy()
    path = stage.tasks[0].path
    cv2.imwrite(str(path), 255 - cv2.imread(str(path)))
    np.testing.assert_array_equal(stage.view(0, default(MergeOptions), "before"), 255 - before)


@pytest.mark.parametrize("mode", ["overlay", "raw-predict"])
def test_a_triptych_is_frame_result_and_mask_side_by_side(stage, mode):
    settings = default(MergeOptions, mode=mode)
    before, after, mask = (stage.view(0, settings, view) for view in ("before", "after", "mask"))
    drawn = stage.view(0, settings, "triptych")
    height, width = before.shape[:2]
    assert drawn.shape == (height, 3 * width, 3)
    np.testing.assert_array_equal(drawn[:, :width], before)
    rows, columns = after.shape[:2]
    np.testing.assert_array_equal(drawn[:rows, width : width + columns], after)
    np.testing.assert_array_equal(drawn[:rows, 2 * width : 2 * width + columns], mask)


def test_a_frame_that_is_not_there_is_named(stage):
    with pytest.raises(UsageError, match="frame 7: there are 6 frames"):
        stage.view(6, default(MergeOptions), "before")


def test_reduced_images_are_jpegs():
    kind, data = encoded(np.zeros((30, 90, 3), np.uint8), 45)
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert (kind, image.shape) == ("image/jpeg", (15, 45, 3))
    _, data = encoded(np.zeros((30, 90, 3), np.uint8), 400)
    assert cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR).shape == (30, 90, 3)


def test_what_was_not_used_for_longest_is_forgotten_first():
    recent = Recent(10)
    recent.put("a", 1, 4)
    recent.put("b", 2, 4)
    assert recent.get("a") == 1
    recent.put("c", 3, 4)
    assert (recent.get("a"), recent.get("b"), recent.get("c")) == (1, None, 3)
    recent.put("c", 4, 5)
    assert (recent.get("a"), recent.get("c")) == (1, 4)
    recent.put("d", 5, 100)
    assert (recent.get("a"), recent.get("d")) == (None, 5)
