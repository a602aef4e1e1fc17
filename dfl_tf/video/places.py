"""Where the videos and merged frames of a workspace lie, and under which names results go."""

from __future__ import annotations

from pathlib import Path

from dfl_tf.errors import UsageError
from dfl_tf.video.pyav import require_av, videos_named
from dfl_tf.video.write import takes_h264


def merged_folder(place: Path) -> tuple[Path, Path]:
    """Return the folder of merged frames of a workspace or folder, and where results go."""
    inside = place / "data_dst" / "merged"
    if inside.is_dir():
        return inside, place
    return place, place.parent


def find_reference(root: Path) -> Path | None:
    """Return the dst video of a workspace, if there is just one.

    Raises
    ------
    UsageError
        There are several.
    """
    found = videos_named(root, "data_dst")
    if len(found) > 1:
        names = ", ".join(p.name for p in found)
        raise UsageError(f"{root} holds several dst videos ({names}); choose by --reference")
    return found[0] if found else None


def cut_name(source: Path) -> tuple[Path, bool]:
    """Return the default name of a piece, and whether it has the suffix of its source.

    It has .mp4 where the kind of the source holds no H.264.
    """
    kept = takes_h264(require_av(), source.suffix)
    suffix = source.suffix if kept else ".mp4"
    return source.with_name(f"{source.stem}_cut{suffix}"), kept
