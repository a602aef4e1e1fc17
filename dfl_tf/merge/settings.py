"""Settings of every frame: one set for all, others for single frames, or an old session's."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dfl_tf.disk.guarded import read_yaml
from dfl_tf.disk.tree_schema import Table, Text
from dfl_tf.errors import OptionError
from dfl_tf.formats.sessions.merge_session import LegacyMergeSession
from dfl_tf.options import Layer, MergeOptions, resolve, specs

# Housekeeping of the old configuration object, and what the model decides.
_LEGACY_ONLY = {"type", "default_mode", "sharpen_dict", "face_type"}

_FRAMES = Table(Table(Text()))


@dataclass(frozen=True)
class FrameSettings:
    """Where the settings of frames come from, lowest precedence first.

    Attributes
    ----------
    session : LegacyMergeSession or None
        Configurations of the interactive merger.
    config : tuple of Layer
        Files for all frames.
    frames : mapping
        Values for single frames, by name without suffix or by range `A:B` (counted from 1).
    frames_origin : str
        The file of `frames`.
    given : tuple of Layer
        Environment and flags.
    """

    session: LegacyMergeSession | None = None
    config: tuple[Layer, ...] = ()
    frames: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    frames_origin: str = ""
    given: tuple[Layer, ...] = ()

    def resolve(self, paths: Sequence[Path]) -> list[MergeOptions]:
        """Return the settings of each frame.

        Raises
        ------
        OptionError
            If a value is wrong, a selector fits no frame, or the session is one of other frames.
        """
        stored = self._session_configs(paths)
        own = self._frame_values(paths)
        known: dict[str, MergeOptions] = {}
        result = []
        for config, values in zip(stored, own, strict=True):
            identity = repr((config, values))
            if identity not in known:
                layers = [Layer(config, "the merger session", kind="stored")] if config else []
                layers += self.config
                layers += [Layer(values, self.frames_origin)] if values else []
                layers += self.given
                known[identity] = resolve(MergeOptions, layers).options
            result.append(known[identity])
        return result

    def _session_configs(self, paths: Sequence[Path]) -> list[dict[str, object]]:
        """Return each frame's stored configuration; one without has that of the frame before."""
        if self.session is None:
            return [{} for _ in paths]
        names = [frame.filename for frame in self.session.frames]
        if names != [path.name for path in paths]:
            raise OptionError(
                f"The session was recorded for {len(names)} frames "
                f"({', '.join(names[:3])}, …) but the folder has {len(paths)} "
                f"({', '.join(p.name for p in paths[:3])}, …). It can only be used with the same "
                "frames."
            )
        configs = []
        last: dict[str, object] = {}
        for frame in self.session.frames:
            if frame.config is not None:
                last = {k: v for k, v in frame.config.items() if k not in _LEGACY_ONLY}
            configs.append(last)
        return configs

    def _frame_values(self, paths: Sequence[Path]) -> list[dict[str, object]]:
        by_stem = {path.stem: i for i, path in enumerate(paths)}
        found: list[dict[str, object]] = [{} for _ in paths]
        errors = []
        for selector, values in self.frames.items():
            unknown = [key for key in values if key not in specs(MergeOptions)]
            if unknown:
                errors.append(f"{selector}: {', '.join(unknown)} is not a merge option")
            chosen = _chosen(selector, by_stem, len(paths))
            if not chosen:
                errors.append(f"{selector}: matches no frame")
            for index in chosen:
                found[index].update(values)
        if errors:
            raise OptionError(f"{self.frames_origin}: {'; '.join(errors)}")
        return found


def _chosen(selector: str, by_stem: Mapping[str, int], count: int) -> range | list[int]:
    if selector in by_stem:
        return [by_stem[selector]]
    match = re.fullmatch(r"(\d{0,9}):(\d{0,9})", selector)
    if match is None:
        return []
    first, last = match.groups()
    return range(max(int(first or 1), 1) - 1, min(int(last or count), count))


def read_frame_values(path: Path) -> dict[str, dict[str, object]]:
    """Read a YAML or JSON file of settings for single frames.

    Names of frames are kept as text, so 00012 is the frame 00012.

    Raises
    ------
    OptionError
        If it is not a mapping of frames to options.
    """
    content = read_yaml(
        path,
        kind="settings of frames",
        schema=_FRAMES,
        error=OptionError,
        texts=True,
        advice='It holds frames with options, such as "00012": {erode_mask_modifier: 5} or '
        '"1:100": {mode: seamless}.',
    )
    return {
        frame: {key.replace("-", "_"): value for key, value in values.items()}
        for frame, values in content.items()
    }
