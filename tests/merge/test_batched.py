"""XSeg and the enhancer see the faces of several frames at once."""

from __future__ import annotations

import numpy as np
import pytest

from dfl_tf.merge.networks import MergeNetworks
from dfl_tf.merge.run import merge_frames

from .conftest import enhance, segment, swap
from .test_run import contents, run_of, tasks_of

OPTIONS = {"mask_mode": "XSeg-prd*XSeg-dst", "super_resolution_power": 60}


def singly(images, counts, network):
    counts.append(len(images))
    return np.stack([network(image) for image in images])


@pytest.fixture
def alone(workspace):
    """The frames, each face asked for by itself."""
    networks = MergeNetworks(swap, 32, segment, enhance)
    merge_frames(tasks_of(workspace, **OPTIONS), run_of(workspace, networks=networks))
    return images_of(workspace)


def images_of(workspace):
    found = {folder: contents(workspace / folder) for folder in ("merged", "merged_mask")}
    for folder in found:
        for path in (workspace / folder).iterdir():
            path.unlink()
    assert all(len(images) == 6 for images in found.values())
    return found


def test_faces_of_several_frames_are_asked_for_at_once(workspace, alone):
    masks, faces = [], []

    def never(image):
        raise AssertionError("asked for by itself")

    networks = MergeNetworks(
        swap, 32, never, never,
        lambda images: singly(images, masks, segment),
        lambda images: singly(images, faces, enhance),
    )  # fmt: skip
    run = run_of(workspace, networks=networks, batch=4)
    merge_frames(tasks_of(workspace, **OPTIONS), run)
    assert images_of(workspace) == alone
    assert faces == [4, 4]  # six faces, the places of the second batch are filled up
    assert masks == [4, 4, 4, 4]


def test_only_faces_that_need_it_are_shown(workspace):
    asked = []

    def watched(images):
        asked.append([bool(image.any()) for image in images])
        return np.stack([segment(image) for image in images])

    networks = MergeNetworks(swap, 32, segment, enhance, watched)
    tasks = tasks_of(workspace)
    other = tasks_of(workspace, mask_mode="XSeg-dst")
    merge_frames([other[0], *tasks[1:]], run_of(workspace, networks=networks, batch=3))
    assert asked == [[True, False, False]]


@pytest.mark.parametrize("broken", ["XSeg", "enhancer"])
def test_a_batch_that_fails_is_asked_for_one_at_a_time(workspace, alone, broken, caplog):
    def fails(images):
        raise RuntimeError("out of memory")

    def works(images):
        return np.stack([segment(image) for image in images])

    batches = (fails, None) if broken == "XSeg" else (works, fails)
    networks = MergeNetworks(swap, 32, segment, enhance, *batches)
    merge_frames(tasks_of(workspace, **OPTIONS), run_of(workspace, networks=networks))
    assert images_of(workspace) == alone
    assert "each is asked for by itself (out of memory)" in caplog.text
