"""`--like … --not-like …` of extract and of faceset filter: of all faces keep one person's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dfl_tf.cli.face_tracks import tracks_of
from dfl_tf.disk.left_out import LeftOut
from dfl_tf.errors import UsageError
from dfl_tf.jobs.progress import ProgressBar

if TYPE_CHECKING:
    from dfl_tf.extract.found import Points
    from dfl_tf.extract.networks import ExtractNetworks
    from dfl_tf.facesets.filter import WantedPerson
    from dfl_tf.facesets.likeness import Decision
    from dfl_tf.imaging.files import ByteImage

PATH = click.Path(path_type=Path)


def likeness_flags(command: Callable[..., object]) -> Callable[..., object]:
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
        click.option(
            "--embedder",
            type=PATH,
            help="An ONNX network that tells persons apart (faces of 112 px).",
        ),
    )
    for flag in reversed(flags):
        command = flag(command)
    return command


@dataclass(frozen=True)
class Named:
    """What the command line says of a person; see `likeness_flags`.

    Attributes
    ----------
    like, unlike : sequence of Path
        Images and folders of images.
    threshold : float or None
    onnx : Path or None
        The user's own network.
    models : Path or None
        Folder of the fetched models.
    """

    like: Sequence[Path]
    unlike: Sequence[Path]
    threshold: float | None = None
    onnx: Path | None = None
    models: Path | None = None

    def person(
        self, folder: Path, networks: ExtractNetworks | None = None
    ) -> tuple[WantedPerson | None, LeftOut]:
        """Look at the images.

        Parameters
        ----------
        folder : Path
            Of the faces that will be compared.
        networks : Networks, optional
            They find faces in images that are not aligned faces; by default they are loaded when
            the first such image comes.

        Returns
        -------
        (WantedPerson or None, LeftOut)
            None if no images are named; images that show no face, or several.

        Raises
        ------
        UsageError
            No face is in the images, persons cannot be told apart here, or there is a threshold
            and nothing to compare.
        """
        from dfl_tf.data.identity import make_embedder
        from dfl_tf.facesets.filter import WantedPerson
        from dfl_tf.facesets.likeness import reference_vectors

        left_out = LeftOut()
        if not self.like and not self.unlike:
            if self.threshold is not None:
                raise UsageError(
                    "--like-threshold is for --like and --not-like; name images with them."
                )
            return None, left_out
        embedder = make_embedder(self.onnx, self.models)
        finder = _FaceFinder(self.models, networks)
        vectors = []
        for places in (self.like, self.unlike):
            found, omitted = None, LeftOut()
            if places:
                found, omitted = reference_vectors(places, embedder, landmarks_of=finder)
            vectors.append(found)
            left_out.extend(omitted)
        like, unlike = vectors
        person = WantedPerson(embedder, like, unlike, self.threshold, partial(tracks_of, folder))
        return person, left_out


class _FaceFinder:
    """Finds faces in images; its networks are loaded for the first one."""

    def __init__(self, models_dir: Path | None, networks: ExtractNetworks | None) -> None:
        self._models_dir = models_dir
        self._networks = networks

    def __call__(self, image: ByteImage) -> list[Points]:
        from dfl_tf.extract.frame_faces import find_faces, prepare_frame
        from dfl_tf.extract.networks import NetworkFiles, load_networks
        from dfl_tf.options import ExtractOptions, default

        if self._networks is None:
            files = NetworkFiles(models_dir=self._models_dir)
            self._networks = load_networks(default(ExtractOptions), files)
        found = find_faces(prepare_frame(image), self._networks.detector, self._networks.landmarker)
        return [face.landmarks.points for face in found.faces if face.landmarks is not None]


@dataclass(frozen=True)
class ChosenFaces:
    """What was decided about the faces of a folder.

    Attributes
    ----------
    decision : Decision
    trash : tuple of str
        Faces that went to the trash folder.
    left_out : LeftOut
        Faces that could not be compared, and stay.
    trash_folder : Path
    """

    decision: Decision
    trash: tuple[str, ...]
    left_out: LeftOut
    trash_folder: Path

    def lines(self) -> list[str]:
        """The distances, the threshold and what was moved, for people."""
        lines: list[str] = self.decision.lines()
        moved = f"{len(self.trash)} faces of others went to {self.trash_folder}"
        return [*lines, moved] if self.trash else lines

    def as_dict(self) -> dict[str, object]:
        """The same as JSON."""
        return {
            "threshold": self.decision.threshold,
            "proposed": self.decision.proposed,
            "kept": int(self.decision.kept.sum()),
            "trash": list(self.trash),
            "left_out": self.left_out.as_dict(),
        }


def choose_faces(folder: Path, person: WantedPerson) -> ChosenFaces | None:
    """Move the faces of other persons to the trash folder, whole tracks at once.

    Returns
    -------
    ChosenFaces or None
        None if there are no faces.
    """
    from dfl_tf.facesets.filter import plan_filter
    from dfl_tf.facesets.measure_cache import MeasureCache
    from dfl_tf.facesets.measuring import face_files
    from dfl_tf.facesets.rearranging import rearrange

    if not face_files(folder)[0]:
        return None
    with ProgressBar("comparing", "faces") as step:
        plan = plan_filter(folder, person=person, cache=MeasureCache.of_user(), progress=step)
    steps = plan.rearrangement
    if steps.trash:
        rearrange(steps)
    assert plan.decision is not None  # a person was named
    return ChosenFaces(plan.decision, tuple(steps.trash), plan.left_out, steps.trash_folder)
