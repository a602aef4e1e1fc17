"""Every option of merging and every flag of `merge`, as a user gives it, seen in the pixels.

The frames are small and the network is NumPy, so a merge takes a blink of an eye.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

from dfl_tf.cli import merge as merge_cli
from dfl_tf.cli.main import run
from dfl_tf.face import FaceType
from dfl_tf.formats.models import choose_model
from dfl_tf.merge import job, opening
from dfl_tf.merge.networks import MergeNetworks
from dfl_tf.merge.opening import MergeModel
from dfl_tf.merge.provenance import read_provenance
from dfl_tf.options import MergeOptions, specs
from tests.cli import test_model_snapshots

from . import test_command, test_image_format, test_settings, test_shards, test_video_output
from .conftest import enhance, make_workspace, segment, swap

Pixels = np.ndarray
Check = Callable[["Merged", "Merged"], None]


@dataclass(frozen=True)
class Merged:
    """Merged frames and masks, and the folder that they lie in."""

    frames: Pixels
    masks: Pixels
    folder: Path
    asked: tuple[int, ...]

    def inside(self) -> Pixels:
        """Where the mask is white."""
        return self.masks[..., :1] > 250


def changed(one: Merged, other: Merged) -> float:
    return float(np.abs(one.frames.astype(int) - other.frames).mean())


def frames_differ(base: Merged, made: Merged) -> None:
    assert changed(base, made) > 0.01


def only_frames_differ(base: Merged, made: Merged) -> None:
    """The pixels differ, the masks do not."""
    frames_differ(base, made)
    np.testing.assert_array_equal(base.masks, made.masks)


def smaller_mask(base: Merged, made: Merged) -> None:
    assert made.masks.mean() < base.masks.mean()
    frames_differ(base, made)


def larger_mask(base: Merged, made: Merged) -> None:
    assert made.masks.mean() > base.masks.mean()
    frames_differ(base, made)


def softer_mask(base: Merged, made: Merged) -> None:
    def soft(merged: Merged) -> float:
        return float(np.mean((merged.masks > 10) & (merged.masks < 245)))

    assert soft(made) > soft(base)


def detail(merged: Merged) -> float:
    """Mean strength of edges in the faces."""
    edges = [np.abs(cv2.Laplacian(f.astype(np.float32), cv2.CV_32F)) for f in merged.frames]
    return float(np.mean(np.stack(edges)))


def sharper(base: Merged, made: Merged) -> None:
    assert detail(made) > detail(base)


def smoother(base: Merged, made: Merged) -> None:
    assert detail(made) < detail(base)


def fewer_colors(base: Merged, made: Merged) -> None:
    def colors(merged: Merged) -> int:
        return len(np.unique(merged.frames.reshape(-1, 3), axis=0))

    assert colors(made) < colors(base)


@dataclass(frozen=True)
class Row:
    """An option, the value given, and what is seen; `beside` is given to both runs."""

    value: Any
    check: Check
    beside: dict[str, Any] | None = None


HIST = {"mode": "hist-match"}
ROWS = {
    "mode": Row("raw-rgb", frames_differ),
    "masked_hist_match": Row(False, only_frames_differ, HIST),
    "hist_match_threshold": Row(100, only_frames_differ, HIST),
    "mask_mode": Row("learned-prd", larger_mask),
    "erode_mask_modifier": Row(30, smaller_mask),
    "blur_mask_modifier": Row(60, softer_mask),
    "motion_blur_power": Row(100, smoother),
    "output_face_scale": Row(20, smaller_mask),
    "color_transfer_mode": Row("none", only_frames_differ),
    "sharpen_mode": Row("box", sharper, {"blursharpen_amount": 60}),
    "blursharpen_amount": Row(60, sharper, {"sharpen_mode": "gaussian"}),
    "super_resolution_power": Row(100, frames_differ),
    "image_denoise_power": Row(500, only_frames_differ),
    "bicubic_degrade_power": Row(80, smoother),
    "color_degrade_power": Row(100, fewer_colors),
    "morph": Row(0.25, only_frames_differ),
}
OF_THE_COMMAND: dict[str, Any] = {
    "seed": "test_seed_of_random_color_transfers",
    "batch": "test_batch_is_what_the_network_sees_at_once",
    "frames": "test_frames_and_folders",
    "output_dir": "test_frames_and_folders",
    "output_mask_dir": "test_frames_and_folders",
    "provenance": "test_provenance",
    "workers": "test_workers_are_threads",
    "cpu": "test_devices_and_models_that_are_asked_for",
    "devices": "test_devices_and_models_that_are_asked_for",
    "threads": "test_devices_and_models_that_are_asked_for",
    "model_class": "test_devices_and_models_that_are_asked_for",
    "name": "test_devices_and_models_that_are_asked_for",
    "frames_dir": test_command.test_single_folders_in_the_old_spelling,
    "aligned_dir": test_command.test_single_folders_in_the_old_spelling,
    "ema": "test_devices_and_models_that_are_asked_for",
    "model_dir": test_command.test_single_folders_in_the_old_spelling,
    "resume": test_command.test_a_second_run_needs_resume_or_overwrite,
    "overwrite": test_command.test_a_second_run_needs_resume_or_overwrite,
    "keep_going": test_command.test_keep_going_ends_with_1_and_names_the_frame,
    "sheet": test_command.test_sheet_shows_modes_and_masks_and_writes_nothing_else,
    "sheet_modes": test_command.test_sheet_shows_modes_and_masks_and_writes_nothing_else,
    "sheet_masks": test_command.test_sheet_shows_modes_and_masks_and_writes_nothing_else,
    "sheet_count": test_command.test_sheet_shows_modes_and_masks_and_writes_nothing_else,
    "shard": test_shards.test_shards_together_are_an_undivided_run,
    "sheet_size": test_command.test_sheet_sweeps_options,
    "sweep": test_command.test_sheet_sweeps_options,
    "kind": test_image_format.test_tiff_and_png_of_any_level_hold_the_same_pixels,
    "level": test_image_format.test_jpeg_has_the_quality_asked_for_and_exact_masks,
    "bits": test_image_format.test_16_bits_keep_more_of_the_face_than_8,
    "video": test_video_output.test_video_holds_the_pixels_of_the_images_and_no_image_is_made,
    "reference": test_video_output.test_times_and_sound_of_the_reference_are_taken,
    "rate": test_video_output.test_video_holds_the_pixels_of_the_images_and_no_image_is_made,
    "audio": test_video_output.test_bitrate_and_silence,
    "lossless": test_video_output.test_video_holds_the_pixels_of_the_images_and_no_image_is_made,
    "bitrate": test_video_output.test_bitrate_and_silence,
    "advice": test_command.test_remarks_are_said_unless_they_are_not_wanted,
    "as_json": test_command.test_workspace_is_merged_into_its_folders,
    "snapshot": test_model_snapshots.test_merge_and_export_use_a_snapshot,
    "enhancer": test_command.test_missing_networks_are_explained,
    "frame_config": test_settings,
    "legacy_session": test_settings,
}
"""Flags that are not options: the test that sees what they do."""


class Merges:
    """Runs `dfl-tf merge`; equal command lines run once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.asked: list[int] = []
        self._known: dict[str, Merged] = {}

    def __call__(self, *flags: str, code: int = 0, **given: Any) -> Merged:
        key = repr((flags, sorted(given.items())))
        if key not in self._known:
            place = self.root.parent / f"made{len(self._known)}"
            config = place.with_suffix(".yaml")
            config.write_text(yaml.safe_dump(given))
            words = [f"--output-dir={place / 'm'}", f"--output-mask-dir={place / 'k'}"]
            words += [f"--config={config}"] if given else []
            self.asked.clear()
            assert run(["merge", str(self.root), "--frames=1:3", *words, *flags]) == code
            frames, masks = (
                np.stack([cv2.imread(str(p)) for p in sorted((place / sub).iterdir())])
                for sub in "mk"
            )
            self._known[key] = Merged(frames, masks, place, tuple(self.asked))
        return self._known[key]


@pytest.fixture(scope="module")
def merges(tmp_path_factory: pytest.TempPathFactory, landmarks: Any) -> Iterator[Merges]:
    root = make_workspace(tmp_path_factory.mktemp("merge") / "workspace", landmarks)
    (root / "data_dst" / "aligned" / "00006_1.jpg").unlink()  # motion is blurred for single faces
    made = Merges(root)

    def opened(request: Any, folders: Any, tasks: Any, *_: Any, **__: Any) -> MergeModel:
        (morph,) = {task.settings.morph for task in tasks}

        def predict(images: Pixels) -> tuple[Pixels, Pixels, Pixels]:
            made.asked.append(len(images))
            faces, mask, dst_mask = swap(images)
            return faces * np.float32(morph), mask, dst_mask

        networks = MergeNetworks(predict, 32, segment, enhance)
        return MergeModel("new", "SAEHD", 5, FaceType.WHOLE_FACE, networks, "weights")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(merge_cli, "open_model", opened)
        yield made


def test_every_option_has_a_row() -> None:
    assert set(ROWS) == set(specs(MergeOptions))
    names = {str(parameter.name) for parameter in merge_cli.command.params}
    flags = {name for name in names if not name.startswith(("option_", "control_"))}
    assert set(OF_THE_COMMAND) == flags - {"workspace", "quiet"}  # every command is quiet
    named = {test for test in OF_THE_COMMAND.values() if isinstance(test, str)}
    assert named <= set(globals())


@pytest.mark.parametrize("key", ROWS)
def test_option_shows(key: str, merges: Merges) -> None:
    row, spec = ROWS[key], specs(MergeOptions)[key]
    base = merges(**(row.beside or {}))
    if list(ROWS).index(key) % 2:
        made = merges(**(row.beside or {}), **{key: row.value})
    else:
        value = f"={row.value}" if spec.kind is not bool else ""
        name = spec.flag if row.value is not False else f"--no-{spec.flag[2:]}"
        made = merges(name + value, **(row.beside or {}))
    row.check(base, made)


def test_seed_of_random_color_transfers(merges: Merges) -> None:
    mode = "sot-m"
    base = merges("--seed=1", color_transfer_mode=mode)
    assert changed(base, merges("--seed=1", "--workers=1", color_transfer_mode=mode)) == 0
    assert changed(base, merges("--seed=2", color_transfer_mode=mode)) > 0


def test_batch_is_what_the_network_sees_at_once(merges: Merges) -> None:
    one, all_three = merges("--batch=1"), merges("--batch=3", "--workers=1")
    assert set(one.asked) == {1}
    assert sum(all_three.asked) == 3
    assert changed(one, all_three) == 0


def test_frames_and_folders(merges: Merges) -> None:
    base = merges()
    made = merges("--frames=2:3")
    np.testing.assert_array_equal(made.frames, base.frames[1:])
    assert sorted(p.name for p in (made.folder / "k").iterdir()) == ["00002.png", "00003.png"]


def test_provenance(merges: Merges) -> None:
    base, made = merges(), merges("--no-provenance")
    assert read_provenance(base.folder / "m" / "00001.png") is not None
    assert read_provenance(made.folder / "m" / "00001.png") is None


def test_workers_are_threads(merges: Merges, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    real = job.merge_frames

    def watched(tasks: Any, how: Any, **more: Any) -> Any:
        seen.append(how.workers)
        return real(tasks, how, **more)

    monkeypatch.setattr(job, "merge_frames", watched)
    merges("--workers=3", "--keep-going")
    assert seen == [3]


def test_devices_and_models_that_are_asked_for(
    merges: Merges, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model named is the one loaded, for the devices and threads named."""
    monkeypatch.undo()
    loaded = []

    def load_model(
        folder: Path, name: str, model_class: str, *, training: bool, run: Any, ema: bool
    ) -> Any:
        loaded.append((folder, name, model_class, run.cpu, run.devices, run.threads, ema))
        return SimpleNamespace(iteration=1, options=SimpleNamespace(face_type="wf"))

    def find(folder: Path, model_class: str | None = None) -> list[Any]:
        pairs = [("a", "AMP"), ("b", "SAEHD"), ("c", "SAEHD")]
        found = [SimpleNamespace(name=name, model_class=cls) for name, cls in pairs]
        return [each for each in found if model_class in (None, each.model_class)]

    monkeypatch.setattr("dfl_tf.api.load_model", load_model)
    monkeypatch.setattr(choose_model, "find_models", find)
    monkeypatch.setattr(opening, "networks_of", lambda model, **_: MergeNetworks(swap, 32, segment))
    monkeypatch.setattr(opening, "weights_checksum", lambda model: "w")
    monkeypatch.setattr(merge_cli, "open_model", OPEN_MODEL)
    words = ["merge", str(merges.root), f"--model-dir={tmp_path}", "--frames=1:1"]
    out = [f"--output-dir={tmp_path / 'm'}", f"--output-mask-dir={tmp_path / 'k'}", "--overwrite"]
    assert run([*words, *out]) == 0
    flags = ["--model=saehd", "--name=c", "--cpu", "--devices=1", "--threads=2", "--ema"]
    assert run([*words, *out, *flags]) == 0
    assert loaded == [
        (tmp_path, "a", "AMP", False, "", 0, False),
        (tmp_path, "c", "SAEHD", True, "1", 2, True),
    ]


OPEN_MODEL = merge_cli.open_model
