"""What a run knows when it starts, as the rules of `dfl_tf.options.advice` read it.

Nothing is measured in full: a few faces of each side are looked at, evenly spaced, and their
images only where an option is about colors.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from dfl_tf.errors import DflTfError
from dfl_tf.formats.faces.mask_record import read_mask_record
from dfl_tf.options import effective, kind_of
from dfl_tf.options.advice import STANDSTILL, FacesSeen, RunFacts, remarks
from dfl_tf.train.plateau import measure_trend

if TYPE_CHECKING:
    from dfl_tf.data import Faceset
    from dfl_tf.data.faceset import FaceSample
    from dfl_tf.train.batch_source import Facesets
    from dfl_tf.train.settings import Settings
    from dfl_tf.train.start import Prepared

LOOKED_AT = 64
"""Faces of a side that are looked at."""
_ALL = 4000
"""Faces up to which the metadata of all are in memory."""
_PROFILE = np.deg2rad(35)
_NEAR = np.deg2rad((10.0, 15.0))
"""Pitch and yaw by which a dst face may differ from the nearest src face."""
_FLAT_RATE, _FLAT_P = 0.01, 0.1  # as a plateau of a recipe

Floats = npt.NDArray[np.float64]


def advice_of(prepared: Prepared, facesets: Facesets) -> list[str]:
    """Remarks on the settings of a run that starts; none with ``--no-advice``."""
    if not prepared.run.advice:
        return []
    return [*remarks(situation_of(prepared, facesets)).values()]


def advice_on_switch(before: Settings, wanted: Settings, iteration: int) -> list[str]:
    """Remarks on options that change during a run, beyond those on the options before."""
    if not wanted.run.advice:
        return []
    earlier, now = (
        remarks(_of_settings(settings, before.legacy(), iteration)) for settings in (before, wanted)
    )
    return [text for name, text in now.items() if name not in earlier]


def situation_of(prepared: Prepared, facesets: Facesets) -> RunFacts:
    """What is known of a run that starts."""
    state, settings = prepared.state, prepared.settings
    stored = {} if state is None else state.options
    situation = _of_settings(settings, stored, 0 if state is None else state.iteration)
    situation = replace(
        situation,
        new=state is None and not (prepared.run.init_from or prepared.pretrained),
        standstill=0 if state is None else standstill(state.loss_history),
        has_pair=prepared.workspace.src.exists() and prepared.workspace.dst.exists(),
    )
    if facesets.pretrain or not kind_of(prepared.place.model_class).swaps_faces:
        return situation
    return _with_faces(situation, facesets)


def _of_settings(settings: Settings, stored: Mapping[str, object], iteration: int) -> RunFacts:
    options, run = settings.options, settings.run
    backups = options.autobackup_hour or run.backup_every
    snapshots = run.snapshot_every or run.keep_best != "none" or run.rolls_back
    return RunFacts(
        options=asdict(effective(options).options),
        stored=dict(stored),  # type: ignore[arg-type]  # plain values, as `data.dat` has them
        new=False,
        iteration=iteration,
        way_back=bool(backups or snapshots or run.no_save),
        samples_per_step=int(options.batch_size) * run.accumulate,
    )


def standstill(history: Sequence[Sequence[float]]) -> int:
    """Return over how many of the last iterations no loss has fallen; 0 if one has.

    Parameters
    ----------
    history : sequence of (src, dst)
        All losses of the model.
    """
    if len(history) < STANDSTILL:
        return 0
    rows = history[len(history) - STANDSTILL :]
    if len({len(row) for row in rows}) > 1:
        return 0  # other losses were added meanwhile
    losses = np.array(rows, np.float64)
    trends = [measure_trend(column) for column in losses.T]
    flat = all(t.p_value >= _FLAT_P or t.fall < _FLAT_RATE for t in trends)
    return STANDSTILL if trends and flat else 0


def _with_faces(situation: RunFacts, facesets: Facesets) -> RunFacts:
    """Add what a look at some faces of both sides says."""
    src, dst = _some(facesets.src), _some(facesets.dst)
    src_poses, dst_poses = _poses(src), _poses(dst)
    situation = replace(
        situation,
        src=_side(facesets.src, src, src_poses),
        dst=_side(facesets.dst, dst, dst_poses),
        uncovered=_uncovered(src_poses, dst_poses),
    )
    if not (situation.on("random_hsv_power") or situation.on("ct_mode")):
        return situation
    src_colors, dst_colors = _colors(src), _colors(dst)
    if len(src_colors) < 2 or not len(dst_colors):
        return situation
    distance = np.abs(src_colors.mean(axis=0) - dst_colors.mean(axis=0)).max()
    spread = src_colors.mean(axis=1).std()
    return replace(situation, light_spread=float(spread), color_distance=float(distance))


def _side(faceset: Faceset, samples: Sequence[FaceSample], poses: Floats) -> FacesSeen:
    return FacesSeen(_masks(faceset, samples), _mask_model(faceset), _profiles(poses))


def _some(faceset: Faceset) -> list[FaceSample]:
    """A few faces, evenly spaced; damaged ones are left out here and told by the data pipeline."""
    count = min(LOOKED_AT, len(faceset))
    samples = []
    for index in np.linspace(0, len(faceset) - 1, count).astype(int):
        with contextlib.suppress(DflTfError, OSError):
            samples.append(faceset[int(index)])
    return samples


def _masks(faceset: Faceset, some: Sequence[FaceSample]) -> bool | None:
    samples = faceset if len(faceset) <= _ALL else some
    with contextlib.suppress(DflTfError, OSError):
        return any(s.xseg_bytes is not None or s.polygons for s in samples)
    return None


def _mask_model(faceset: Faceset) -> str:
    record = None
    with contextlib.suppress(DflTfError):
        record = read_mask_record(faceset.path)
    return "" if record is None else f"{record.sha256} {record.face_type}"


def _poses(samples: Sequence[FaceSample]) -> Floats:
    """Pitch and yaw, (n, 2), radians."""
    poses = []
    for sample in samples:
        with contextlib.suppress(DflTfError):
            poses.append(sample.pitch_yaw_roll()[:2])
    return np.array(poses, np.float64).reshape(-1, 2)


def _profiles(poses: Floats) -> float | None:
    return float((np.abs(poses[:, 1]) > _PROFILE).mean()) if len(poses) else None


def _uncovered(src: Floats, dst: Floats) -> float | None:
    """Share of dst poses without a src pose nearby."""
    if not len(src) or not len(dst):
        return None
    near = np.all(np.abs(dst[:, None] - src[None]) <= _NEAR, axis=2)
    return 1.0 - float(np.any(near, axis=1).mean())


def _colors(samples: Sequence[FaceSample]) -> Floats:
    """Mean color of the middle of each face, (n, 3), BGR, levels of 255."""
    means = []
    for sample in samples:
        with contextlib.suppress(DflTfError, OSError, cv2.error):
            data = np.frombuffer(sample.bytes(), np.uint8)
            image = cv2.imdecode(data, cv2.IMREAD_REDUCED_COLOR_8)
            if image is not None:
                height, width = (side // 4 for side in image.shape[:2])
                middle = image[height : 3 * height + 1, width : 3 * width + 1]
                means.append(middle.reshape(-1, 3).mean(axis=0))
    return np.array(means, np.float64).reshape(-1, 3)
