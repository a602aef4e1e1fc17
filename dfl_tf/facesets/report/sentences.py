"""What stands out in the faces of src and dst, in sentences, the most important first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from dfl_tf.face.face_type import FaceType
from dfl_tf.facesets.report.facts import Facts, SideFacts
from dfl_tf.facesets.report.poses import PoseGap, pose_gaps

FEW = 500
_GAP_SHARE = 0.02
_SMALL = 0.7  # of the size of the faces of dst
_BRIGHTER = 30.0  # levels of 255
_COLOR = 15.0
_BLURRED = 0.5  # of the median sharpness
_SHARE = 0.05


class Finding(NamedTuple):
    """A sentence, and how much it matters: 0 to 1."""

    weight: float
    text: str


def sentences(facts: Facts) -> list[str]:
    """What should be known before training, the most important first.

    Returns
    -------
    list of str
        Empty if nothing stands out.
    """
    found = [Finding(0.9, f"{line}.") for line in facts.mask_warnings]
    for name, side in facts.sides.items():
        found += _of_side(name, side)
    if facts.dst is not None:
        found += _of_both(facts.src, facts.dst)
    return [finding.text for finding in sorted(found, key=lambda f: -f.weight)]


def _of_side(name: str, side: SideFacts) -> Iterator[Finding]:
    faces, images = side.survey.faces, len(side.names)
    if faces == 0:
        yield Finding(1.0, f"{name} has no usable face.")
        return
    if images > faces:
        yield Finding(
            0.5 + 0.5 * _share(images - faces, images),
            f"{images - faces} of {images} {name} images have no usable metadata: training does "
            "not see them.",
        )
    if 0 < side.survey.with_mask < faces:
        missing = faces - side.survey.with_mask
        yield Finding(0.55, f"{missing} of {faces} {name} faces have no mask, the others have one.")
    if name == "src" and faces < FEW:
        yield Finding(0.35, f"src has only {faces} faces; 1,000 to 10,000 varied ones are usual.")
    types = {FaceType.from_name(face_type) for face_type in side.survey.face_types}
    if len(types) > 1:
        kinds = ", ".join(f"{n} {kind}" for kind, n in side.survey.face_types.most_common())
        yield Finding(0.6, f"{name} mixes face types: {kinds}.")
    yield from _persons(name, side)
    yield from _blurred(name, side)
    if name == "src":  # every frame of dst is wanted
        share = _share(len(side.duplicates), images)
        if share > _SHARE:
            yield Finding(
                0.2 + 0.4 * share,
                f"{share:.0%} of the src images ({len(side.duplicates)}) are near duplicates of "
                "others: they cost time and add nothing (dfl-tf faceset filter --near-duplicates).",
            )


def _persons(name: str, side: SideFacts) -> Iterator[Finding]:
    if side.grouping is None or len(side.grouping.groups) < 2:
        return
    sizes = [len(group.members) for group in side.grouping.groups]
    others = sum(sizes[1:])
    yield Finding(
        0.6 + 0.4 * _share(others, sum(sizes)),
        f"{name} shows more than one person, or faces that are hard to tell: {others} of "
        f"{sum(sizes)} faces are in {len(sizes) - 1} other groups (dfl-tf faceset group).",
    )


def _blurred(name: str, side: SideFacts) -> Iterator[Finding]:
    values, middle = side.scales["sharpness"], side.median("sharpness")
    blurred = int(np.count_nonzero(values < _BLURRED * middle))
    share = _share(blurred, len(values))
    if share > _SHARE:
        yield Finding(
            0.3 + 0.5 * share,
            f"{share:.0%} of the {name} faces ({blurred}) are less than half as sharp as the "
            "middle one.",
        )


def _of_both(src: SideFacts, dst: SideFacts) -> Iterator[Finding]:
    # a face can be a cell further for the estimate alone
    gaps = [gap for gap in pose_gaps(src.poses, dst.poses) if not gap.near]
    lost, total = sum(gap.faces for gap in gaps), int(dst.poses.sum())
    if gaps and src.poses.sum() and _share(lost, total) > _GAP_SHARE:
        yield Finding(
            0.5 + 0.5 * _share(lost, total),
            f"{_share(lost, total):.0%} of the dst faces ({lost}) look where src has none, nor "
            f"nearby; mostly {_direction(gaps[0])}: add such src material.",
        )
    have, need = src.median("size"), dst.median("size")
    if have < _SMALL * need:
        yield Finding(
            0.5,
            f"src faces are smaller in their frames ({have:.0f} pixels) than those of dst "
            f"({need:.0f}): the result cannot be sharper than src.",
        )
    yield from _colors(src, dst)
    if bool(src.survey.with_mask) != bool(dst.survey.with_mask):
        with_masks, without = ("src", "dst") if src.survey.with_mask else ("dst", "src")
        yield Finding(0.7, f"{with_masks} has masks, {without} has none: apply one model to both.")


def _colors(src: SideFacts, dst: SideFacts) -> Iterator[Finding]:
    one, other = src.median("brightness"), dst.median("brightness")
    if abs(one - other) > _BRIGHTER:
        more = "brighter" if one > other else "darker"
        yield Finding(
            0.4 + abs(one - other) / 1000,
            f"src is {more} than dst ({one:.0f} against {other:.0f} of 255): train with a color "
            "transfer (ct_mode), or add src material in such light.",
        )
    tint = _tint(src) - _tint(dst)
    if np.abs(tint).max() > _COLOR:
        color = ("blue", "green", "red")[int(np.abs(tint).argmax())]
        more = "more" if tint[np.abs(tint).argmax()] > 0 else "less"
        yield Finding(0.38, f"src faces are {more} {color} than those of dst; see ct_mode.")


def _tint(side: SideFacts) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Mean blue, green and red around their own mean."""
    known = side.colors[~np.isnan(side.colors).any(axis=1)]
    if not len(known):
        return np.full(3, np.nan)
    means: np.ndarray[tuple[int, ...], np.dtype[np.float64]] = known.mean(axis=0)
    return means - means.mean()


def _direction(gap: PoseGap) -> str:
    yaw, pitch = sum(gap.yaw) / 2, sum(gap.pitch) / 2
    side = "left" if yaw > 0 else "right"
    height = "up" if pitch > 0 else "down"
    return (
        f"{abs(yaw):.0f} degrees to the {side} of the image and {abs(pitch):.0f} degrees {height}"
    )


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
