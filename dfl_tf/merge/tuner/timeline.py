"""Which settings of merging hold for which frames."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import groupby

import yaml

from dfl_tf.errors import OptionError
from dfl_tf.options import Layer, MergeOptions, resolve
from dfl_tf.options.schema import Value
from dfl_tf.options.yaml_file import dump

ONE_FOR_ALL = ("morph",)
"""Options that cannot differ between frames."""


@dataclass(frozen=True)
class FrameSpan:
    """Frames with settings of their own.

    Attributes
    ----------
    first, last : int
        Counted from 1, both included.
    values : mapping
        Options that differ from those of all frames.
    """

    first: int
    last: int
    values: Mapping[str, Value]


@dataclass(frozen=True)
class SettingsTimeline:
    """Settings of all frames, and segments that differ.

    Attributes
    ----------
    base : MergeOptions
        What holds where no segment says otherwise.
    segments : tuple of FrameSpan
        In the order of frames; they do not overlap.
    """

    base: MergeOptions = field(default_factory=MergeOptions)
    segments: tuple[FrameSpan, ...] = ()

    @classmethod
    def of_frames(cls, settings: Sequence[MergeOptions]) -> SettingsTimeline:
        """Return the timeline that gives each frame these settings; the most common are `base`.

        Raises
        ------
        OptionError
            They differ in an option that must be one for all frames.
        """
        if not settings:
            return cls()
        base = Counter(settings).most_common(1)[0][0]
        usual = asdict(base)
        segments, at = [], 1
        for options, group in groupby(settings):
            count = len(list(group))
            values = {key: value for key, value in asdict(options).items() if value != usual[key]}
            segments.append(FrameSpan(at, at + count - 1, values))
            at += count
        return cls(base, _joined(segments)).checked()

    def at(self, frame: int) -> MergeOptions:
        """Return the settings of a frame, counted from 1."""
        for segment in self.segments:
            if segment.first <= frame <= segment.last:
                where = _span(segment.first, segment.last)
                return _resolved(asdict(self.base) | dict(segment.values), where)
        return self.base

    def changed(
        self, values: Mapping[str, object], span: tuple[int, int] | None
    ) -> SettingsTimeline:
        """Return a timeline with some settings changed.

        Parameters
        ----------
        values : mapping
            Option to value. None: the default where all frames are meant, and in a span what
            holds for all frames.
        span : (int, int) or None
            First and last frame, counted from 1; None: all frames but those of segments that have
            a value of their own.

        Raises
        ------
        OptionError
            A value is wrong or cannot differ between frames.
        """
        if span is None:
            kept = {k: v for k, v in asdict(self.base).items() if values.get(k, v) is not None}
            given = {key: value for key, value in values.items() if value is not None}
            return replace(self, base=_resolved(kept | given, "all frames"))
        first, last = span
        where = _span(first, last)
        given = {key: value for key, value in values.items() if value is not None}
        read = asdict(_resolved(asdict(self.base) | given, where))
        change = partial(_with, {k: None if v is None else read[k] for k, v in values.items()})
        pieces, at = [], first
        for segment in self.segments:
            if segment.last < first or segment.first > last:
                pieces.append(segment)
                continue
            low, high = max(segment.first, first), min(segment.last, last)
            pieces += [replace(segment, last=first - 1), FrameSpan(at, low - 1, change({}))]
            pieces += [
                FrameSpan(low, high, change(segment.values)),
                replace(segment, first=last + 1),
            ]
            at = high + 1
        pieces.append(FrameSpan(at, last, change({})))
        return replace(self, segments=_joined(pieces)).checked()

    def checked(self) -> SettingsTimeline:
        """Return it, if its values are such that a merge takes them.

        Raises
        ------
        OptionError
        """
        for segment in self.segments:
            where = _span(segment.first, segment.last)
            wrong = [key for key in ONE_FOR_ALL if key in segment.values]
            if wrong:
                raise OptionError(f"{where}: {', '.join(wrong)} is one value for all frames")
            _resolved(asdict(self.base) | dict(segment.values), where)
        return self

    def config(self) -> str:
        """Return the file for ``dfl-tf merge --config``: the settings of all frames."""
        return dump(self.base)

    def frame_config(self) -> str:
        """Return the file for ``dfl-tf merge --frame-config``: those of the segments."""
        frames = {f"{s.first}:{s.last}": dict(s.values) for s in self.segments}
        text = yaml.safe_dump(frames, sort_keys=False, default_flow_style=False)
        return f"# Settings of single frames, for dfl-tf merge --frame-config.\n{text}"


def _span(first: int, last: int) -> str:
    """Name some frames, if they are some."""
    name = f"frames {first}:{last}"
    if not 1 <= first <= last:
        raise OptionError(f"{name}: give the first and the last one, from 1 on")
    return name


def _resolved(values: Mapping[str, object], where: str) -> MergeOptions:
    return resolve(MergeOptions, [Layer(values, where)]).options


def _with(change: Mapping[str, Value], values: Mapping[str, Value]) -> Mapping[str, Value]:
    merged = {**values, **change}
    return {key: value for key, value in merged.items() if value is not None}


def _joined(pieces: Iterable[FrameSpan]) -> tuple[FrameSpan, ...]:
    """Sort segments, leave out those that say nothing, and join equal neighbors."""
    found: list[FrameSpan] = []
    for piece in sorted(pieces, key=lambda piece: piece.first):
        if piece.last < piece.first or not piece.values:
            continue
        before = found[-1] if found else None
        if before and before.last + 1 == piece.first and before.values == piece.values:
            found[-1] = replace(before, last=piece.last)
        else:
            found.append(piece)
    return tuple(found)
