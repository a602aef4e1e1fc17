"""`dfl-tf extract --like … --not-like …`: of the faces that were extracted keep one person's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt

from dfl_tf.cli.faceset_folder import progress
from dfl_tf.disk.left_out import LeftOut
from dfl_tf.extract.found import Image, Points
from dfl_tf.extract.frame_faces import find_faces, prepare_frame
from dfl_tf.extract.networks import Networks
from dfl_tf.extract.records import FrameRecord
from dfl_tf.facesets.identity import Embedder, make_embedder
from dfl_tf.facesets.likeness import Decision, decide, reference_vectors
from dfl_tf.facesets.measure_cache import MeasureCache
from dfl_tf.facesets.measuring import measure_faces
from dfl_tf.facesets.rearranging import Rearrangement, rearrange, root_of, settle

PATH = click.Path(path_type=Path)


def likeness_flags(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that choose a person."""
    flags = (
        click.option(
            "--like",
            type=PATH,
            multiple=True,
            metavar="IMAGES",
            help="Keep the faces that are like those in an image or a folder of images; may be "
            "repeated. The other faces go to the trash folder beside.",
        ),
        click.option(
            "--not-like",
            type=PATH,
            multiple=True,
            metavar="IMAGES",
            help="Do not keep faces that are like those in these images; may be repeated.",
        ),
        click.option(
            "--like-threshold",
            type=click.FloatRange(0, min_open=True),
            metavar="DISTANCE",
            help="Largest distance of one person's faces; default: as proposed.",
        ),
        click.option("--embedder", type=PATH, help="An ONNX network that tells persons apart."),
    )
    for flag in reversed(flags):
        command = flag(command)
    return command


@dataclass(frozen=True)
class Wanted:
    """Whose faces are kept.

    Attributes
    ----------
    embedder : Embedder
    like, unlike : ndarray, shape (n, k), or None
        Vectors of images of wanted and of unwanted persons.
    threshold : float or None
        None: as proposed.
    left_out : LeftOut
        Images that show no face, or several.
    """

    embedder: Embedder
    like: npt.NDArray[np.float64] | None
    unlike: npt.NDArray[np.float64] | None
    threshold: float | None
    left_out: LeftOut

    @classmethod
    def read(
        cls,
        like: Sequence[Path],
        unlike: Sequence[Path],
        *,
        networks: Networks,
        threshold: float | None = None,
        onnx: Path | None = None,
        models: Path | None = None,
    ) -> Wanted | None:
        """Look at the images that the command line names; None if it names none.

        Raises
        ------
        UsageError
            No face is in them, or persons cannot be told apart here.
        """
        if not like and not unlike:
            return None
        embedder, left_out = make_embedder(onnx, models), LeftOut()

        def landmarks_of(image: Image) -> list[Points]:
            found = find_faces(prepare_frame(image), networks.detector, networks.landmarker)
            return [face.landmarks.points for face in found.faces if face.landmarks is not None]

        def vectors(places: Sequence[Path]) -> npt.NDArray[np.float64] | None:
            if not places:
                return None
            made, omitted = reference_vectors(places, embedder, landmarks_of=landmarks_of)
            left_out.extend(omitted)
            return made

        return cls(embedder, vectors(like), vectors(unlike), threshold, left_out)


@dataclass(frozen=True)
class Chosen:
    """What was decided about the faces of a folder.

    Attributes
    ----------
    decision : Decision
    trash : tuple of str
        Faces that went to the trash folder.
    left_out : LeftOut
        Faces that could not be compared, and stay; images of persons that were not used.
    trash_folder : Path
    """

    decision: Decision
    trash: tuple[str, ...]
    left_out: LeftOut
    trash_folder: Path

    def lines(self) -> list[str]:
        """The distances, the threshold and what was moved, for people."""
        moved = f"{len(self.trash)} faces of others went to {self.trash_folder}"
        return [*self.decision.lines(), moved] if self.trash else self.decision.lines()

    def as_dict(self) -> dict[str, Any]:
        """The same as JSON."""
        return {
            "threshold": self.decision.threshold,
            "proposed": self.decision.proposed,
            "kept": int(self.decision.kept.sum()),
            "trash": list(self.trash),
            "left_out": self.left_out.as_dict(),
        }


def choose_faces(folder: Path, wanted: Wanted, records: Sequence[FrameRecord]) -> Chosen | None:
    """Move the faces of other persons to the trash folder, whole tracks at once.

    Returns
    -------
    Chosen or None
        None if there are no faces.
    """
    measure = wanted.embedder.measure()
    with progress("comparing", False) as step:
        faces, left_out = measure_faces(
            folder, [measure], cache=MeasureCache.of_user(), progress=step
        )
    if not faces.names:
        return None
    tracks = {face.file: face.track for record in records for face in record.faces}
    decision = decide(
        faces.columns[measure.name],
        like=wanted.like,
        unlike=wanted.unlike,
        scale=wanted.embedder.scale,
        threshold=wanted.threshold,
        tracks=[tracks.get(name) for name in faces.names],
    )
    known = [not np.isnan(vector).any() for vector in faces.columns[measure.name]]
    trash = []
    for name, compared, kept in zip(faces.names, known, decision.kept.tolist(), strict=True):
        if not compared:
            left_out.add("faces that cannot be compared, and stay", name)
        elif not kept:
            trash.append(name)
    plan = Rearrangement(folder, "extract --like", [], trash)
    if trash:
        rearrange(plan)
    left_out.extend(wanted.left_out)
    return Chosen(decision, tuple(trash), left_out, plan.trash_folder)


def complete_moves(folder: Path) -> None:
    """Complete what an interrupted move of faces began in a folder, and say so."""
    if folder.is_dir():
        done = settle(folder)
        if done is not None:
            click.echo(
                f"{root_of(folder)}: {done} had been interrupted; it is complete now", err=True
            )
