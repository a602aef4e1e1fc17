"""Golden cases of the data pipeline: files, geometry, masks, order, warps, samples, colors, XSeg.

The README of the folder describes the files. Every file is optional: a folder has the cases that
its json files and array names list. Tolerances are those of the README.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from golden_kinds import data_colors, data_files, data_geometry, data_samples
from golden_kinds.check import Check

Cases = Callable[[Path], list[str]]
Run = Callable[[Path, str], list[Check]]

_UNLISTED = "(list of cases)"
_GROUPS: dict[str, tuple[Cases, Run]] = {
    "file": (data_files.face_files, data_files.run_face_file),
    "jpeg_edge": (data_files.edge_files, data_files.run_edge_file),
    "packed": (data_files.paks, data_files.run_pak),
    "meta": (data_files.metas, data_files.run_meta),
    "tables": (data_geometry.tables, data_geometry.run_tables),
    "umeyama": (data_geometry.fits, data_geometry.run_fit),
    "geometry": (data_geometry.faces, data_geometry.run_face),
    "masks": (data_geometry.masked_faces, data_geometry.run_masks),
    "pose": (data_geometry.pose_sets, data_geometry.run_poses),
    "index_hosts": (data_samples.index_hosts, data_samples.run_index_host),
    "warp": (data_samples.warps, data_samples.run_warp),
    "sample": (data_samples.samples, data_samples.run_sample),
    "color": (data_colors.pairs, data_colors.run_pair),
    "filter": (data_colors.filters, data_colors.run_filter),
    "xseg": (data_colors.batches, data_colors.run_batch),
}


def cases(folder: Path) -> list[str]:
    """Names of all cases of the folder: `group:case`."""
    found = []
    for group, (find, _) in _GROUPS.items():
        try:
            found += [f"{group}:{case}" for case in find(folder)]
        except Exception:
            found.append(f"{group}:{_UNLISTED}")  # its run says what is wrong
    return found


def run(folder: Path, case: str) -> list[Check]:
    """Run one case."""
    group, name = case.split(":", 1)
    if name == _UNLISTED:
        raise ValueError(f"{_GROUPS[group][0](folder)} cannot be listed")
    return _GROUPS[group][1](folder, name)
