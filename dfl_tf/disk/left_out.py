"""What a command leaves out, counted by kind: the one form in which every command says it.

References
----------
Design decision 50.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple


class Omission(NamedTuple):
    """One thing that was left out.

    Attributes
    ----------
    kind : str
        A plural, the same for all things that are left out for the same cause: "broken links".
    name : str
        Of the file, face or frame.
    reason : str
        What is wrong with this one; empty where the kind says it all.
    """

    kind: str
    name: str
    reason: str = ""


class LeftOut:
    """Everything that was left out, in the order in which it was met.

    Examples
    --------
    >>> left_out = LeftOut()
    >>> left_out.add("broken links", "00001.jpg")
    >>> left_out.lines()
    ['broken links: 1 left out (00001.jpg)']
    """

    def __init__(self, omissions: Iterable[Omission] = ()) -> None:
        self._omissions = list(omissions)

    def add(self, kind: str, name: str, reason: str = "") -> None:
        """Count one thing."""
        self._omissions.append(Omission(kind, name, reason))

    def skip(self, name: str, error: Exception) -> None:
        """Count something that is content but cannot be used.

        An error may say its kind (`FacesetError.kind`).
        """
        reason = str(error)
        # Errors name the file with its folder; here the name stands before the reason already.
        before, named, after = reason.partition(f"{name}: ")
        if named and (not before or before.endswith(("/", "\\"))):
            reason = after
        self.add(getattr(error, "kind", "unreadable files"), name, reason or type(error).__name__)

    def extend(self, others: Iterable[Omission]) -> None:
        """Count what another part of the command left out."""
        self._omissions.extend(others)

    def __iter__(self) -> Iterator[Omission]:
        return iter(self._omissions)

    def __len__(self) -> int:
        return len(self._omissions)

    @property
    def skipped(self) -> list[tuple[str, str]]:
        """Name and reason of what is content but cannot be used; not of what is not content."""
        return [(o.name, o.reason) for o in self._omissions if o.reason]

    def by_kind(self) -> dict[str, list[Omission]]:
        """Group the omissions; kinds and the omissions of each keep their order."""
        kinds: dict[str, list[Omission]] = {}
        for omission in self._omissions:
            kinds.setdefault(omission.kind, []).append(omission)
        return kinds

    def lines(self, *, see: str = "", all_of_them: bool = False) -> list[str]:
        """One line a kind, with its number and one example.

        Parameters
        ----------
        see : str
            The command that lists all of them; named at the end if more than the examples exist.
        all_of_them : bool
            List every one below its kind.
        """
        lines = []
        for kind, found in self.by_kind().items():
            if all_of_them:
                lines.append(f"{kind}: {len(found)} left out")
                lines += [f"  {_named(omission)}" for omission in found]
            else:
                example = "" if len(found) == 1 else "for example "
                lines.append(f"{kind}: {len(found)} left out ({example}{_named(found[0])})")
        if see and not all_of_them and len(self) > len(lines):
            lines.append(f"to list all that was left out: {see}")
        return lines

    def as_dict(self) -> dict[str, list[dict[str, str]]]:
        """The same for machines: kind → names with reasons."""
        return {
            kind: [{"name": omission.name, "reason": omission.reason} for omission in found]
            for kind, found in self.by_kind().items()
        }


def _named(omission: Omission) -> str:
    return f"{omission.name}: {omission.reason}" if omission.reason else omission.name
