"""Images that --like and --not-like name: faces of any kind, as vectors of who they show."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click


def vectors_of(places: Sequence[Path], embedder: Any, models_dir: Path | None = None) -> Any:
    """Vectors of the faces in some images and folders; None if none are named.

    Faces of a faceset are taken as they are; in all other images the extractor looks for one.
    """
    from dfl_tf.facesets.likeness import reference_vectors

    if not places:
        return None
    finder = _FaceFinder(models_dir)
    vectors, left_out = reference_vectors(places, embedder, landmarks_of=finder)
    for line in left_out.lines():
        click.echo(line, err=True)
    return vectors


class _FaceFinder:
    """Finds faces in images; its networks are loaded for the first one."""

    def __init__(self, models_dir: Path | None) -> None:
        self._models_dir = models_dir
        self._networks: Any = None

    def __call__(self, image: Any) -> list[Any]:
        from dfl_tf.extract.frame_faces import find_faces, prepare_frame
        from dfl_tf.extract.networks import NetworkFiles, load_networks
        from dfl_tf.options import ExtractOptions, default

        if self._networks is None:
            files = NetworkFiles(models_dir=self._models_dir)
            self._networks = load_networks(default(ExtractOptions), files)
        found = find_faces(prepare_frame(image), self._networks.detector, self._networks.landmarker)
        return [face.landmarks.points for face in found.faces if face.landmarks is not None]
