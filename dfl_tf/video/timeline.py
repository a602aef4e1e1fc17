"""When each decoded frame is shown, made of the time stamps that a file has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby, pairwise

# Frames of one second or of the longest reordering may come back without being another recording.
_REORDERED = 17
# MPEG streams are broadcasts: a jump is a change of clock there, not a pause (as FFmpeg has it).
_LONGEST_GAP = Fraction(10)


@dataclass(frozen=True)
class Timeline:
    """Times of all shown frames.

    Attributes
    ----------
    times : tuple of Fraction
        Seconds from the first frame, strictly increasing.
    origin : Fraction
        The first frame's time on the clock of the file.
    shifts : tuple of Fraction
        What is added to the clock of the file in each of its pieces (`Clock`), the first is 0.
    notes : tuple of str
        What was invented, for one line each.
    """

    times: tuple[Fraction, ...]
    origin: Fraction = Fraction(0)
    shifts: tuple[Fraction, ...] = (Fraction(0),)
    notes: tuple[str, ...] = ()


def is_new_piece(now: Fraction, latest: Fraction, slack: Fraction, broadcast: bool) -> bool:
    """Whether the clock of a file was reset between two time stamps (seconds)."""
    return now < latest - slack or (broadcast and now > latest + _LONGEST_GAP)


def slack_of(rate: Fraction) -> Fraction:
    """Seconds that time stamps may go back without being a new piece."""
    return max(Fraction(1), _REORDERED / rate)


def timeline(
    stamps: Sequence[int | None], unit: Fraction, rate: Fraction, *, broadcast: bool = False
) -> Timeline:
    """Order and complete the time stamps of decoded frames.

    Decoders give frames in the order of showing. Where the stamps do not follow it (AVI files
    store those of decoding), the same stamps are handed out in increasing order; a jump back by
    more than a reordering is another recording joined on, which goes on one frame later.

    Parameters
    ----------
    stamps : sequence of int or None
        In the order of decoded frames, at least one.
    unit : Fraction
        Seconds of one.
    rate : Fraction
        Frames a second, where stamps are missing.
    broadcast : bool
        A jump forward by more than 10 s is joined in the same way.
    """
    step = 1 / rate
    known = [stamp for stamp in stamps if stamp is not None]
    if len(set(known)) * 2 <= len(stamps) and len(stamps) > 1:
        made = tuple(i * step for i in range(len(stamps)))
        origin = known[0] * unit if known else Fraction(0)
        return Timeline(
            made, origin, notes=(f"no usable time stamps; made from the rate, {float(rate):g} a s",)
        )
    notes = []
    if len(known) < len(stamps):
        missing = len(stamps) - len(known)
        notes.append(f"{missing} frames without a time stamp; made from the rate")
    raw = _filled([None if s is None else s * unit for s in stamps], step)
    pieces = _pieces(raw, slack_of(rate), broadcast)
    if len(pieces) > 1:
        notes.append(f"its clock was reset {len(pieces) - 1} times; the parts are joined")
    times: list[Fraction] = []
    shifts = []
    for piece in pieces:
        shift = times[-1] + step - piece[0] if times else Fraction(0)
        shifts.append(shift)
        times += [time + shift for time in piece]
    doubled = sum(a == b for a, b in pairwise(times))
    if doubled:
        notes.append(f"{doubled} frames with the time of the one before; moved apart")
        times = _apart(times, step)
    origin = times[0]
    return Timeline(tuple(t - origin for t in times), origin, tuple(shifts), tuple(notes))


def _filled(raw: list[Fraction | None], step: Fraction) -> list[Fraction]:
    first = next(i for i, time in enumerate(raw) if time is not None)
    start = raw[first]
    assert start is not None
    filled: list[Fraction] = [start - (first - i) * step for i in range(first)]
    for time in raw[first:]:
        filled.append(filled[-1] + step if time is None else time)
    return filled


def _pieces(raw: list[Fraction], slack: Fraction, broadcast: bool) -> list[list[Fraction]]:
    pieces = [[raw[0]]]
    latest = raw[0]
    for time in raw[1:]:
        if is_new_piece(time, latest, slack, broadcast):
            pieces.append([])
            latest = time
        pieces[-1].append(time)
        latest = max(latest, time)
    return [sorted(piece) for piece in pieces]


def _apart(times: list[Fraction], step: Fraction) -> list[Fraction]:
    groups = [(time, len(list(same))) for time, same in groupby(times)]
    ends = [time for time, _ in groups[1:]] + [groups[-1][0] + step]
    return [
        time + j * (end - time) / count
        for (time, count), end in zip(groups, ends, strict=True)
        for j in range(count)
    ]


class Clock:
    """The clock of a file, read along one of its streams, on the times of its frames.

    Parameters
    ----------
    line : Timeline
        Of the frames.
    slack : Fraction
        See `slack_of`.
    broadcast : bool
        As the timeline was made.
    """

    def __init__(self, line: Timeline, slack: Fraction, broadcast: bool) -> None:
        self._line, self._slack, self._broadcast = line, slack, broadcast
        self._piece = 0
        self._latest: Fraction | None = None

    def offset(self, raw: Fraction) -> Fraction:
        """Return what is to be added to `raw`, the next time stamp of the stream in seconds."""
        if self._latest is not None and is_new_piece(
            raw, self._latest, self._slack, self._broadcast
        ):
            self._piece, self._latest = self._piece + 1, raw
        self._latest = raw if self._latest is None else max(self._latest, raw)
        piece = min(self._piece, len(self._line.shifts) - 1)
        return self._line.shifts[piece] - self._line.origin
