"""Where things lie in a workspace.

References: workspace.md 1, 3.1.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

from dfl_tf.errors import DflTfError, UsageError, WorkspaceError
from dfl_tf.face import FaceType
from dfl_tf.formats.faces.mask_record import mask_warnings
from dfl_tf.formats.models.files import FoundModel, ModelLock, find_models, model_files
from dfl_tf.formats.models.nearby import is_workspace, model_folder, workspace_near
from dfl_tf.formats.models.read_write import read_model
from dfl_tf.options import KINDS, default, specs

__all__ = ["FoundModel", "ModelLock", "Workspace", "find_models", "model_files"]


@dataclass(frozen=True)
class Workspace:
    """The folders of one job.

    Attributes
    ----------
    root : Path
    src, dst : Path
        Aligned faces of the two people (folder with images or `faceset.pak`).
    model : Path
    pretrain : Path or None
        Folder of faces for pretraining, if one is given or lies in the release.
    """

    root: Path
    src: Path
    dst: Path
    model: Path
    pretrain: Path | None = None

    @classmethod
    def open(
        cls,
        root: Path | str,
        *,
        src: Path | str | None = None,
        dst: Path | str | None = None,
        model: Path | str | None = None,
        pretrain: Path | str | None = None,
        need: Collection[str] = ("src", "dst", "pretrain"),
    ) -> Workspace:
        """Name the folders of the workspace at `root`; what is given replaces the usual place.

        `need` says which of the folders of faces must be there. A folder whose `workspace/` holds
        the data (a whole release) is taken for it, and the model folder in a workspace for the
        workspace; as `model` the workspace may be given. Relative paths that are given are relative
        to the current folder, `~` is the user's home.

        Raises
        ------
        WorkspaceError
            `root` is missing while a folder depends on it, or a given folder is missing; all
            that is missing is named. (The model folder may be new.)
        """
        base, models = _path(root), _path(model) if model else None
        if not is_workspace(base):
            if is_workspace(base / "workspace"):
                base = base / "workspace"
            elif is_workspace(base.parent) and find_models(base):
                base, models = base.parent, models or base
        found = cls(
            root=base,
            src=_path(src) if src else base / "data_src" / "aligned",
            dst=_path(dst) if dst else base / "data_dst" / "aligned",
            model=model_folder(models) if models else base / "model",
            pretrain=_path(pretrain) if pretrain else _release_faces(base),
        )
        found.check(need, given_model=model is not None)
        return found

    def check(self, need: Collection[str], *, given_model: bool = True) -> None:
        """Complain of what is missing of the folders that are needed; see `open`.

        Raises
        ------
        WorkspaceError
        """
        missing = [
            f"{path} ({what})"
            for key, what, path in (
                ("src", "aligned src faces", self.src),
                ("dst", "aligned dst faces", self.dst),
                ("pretrain", "faces for pretraining", self.pretrain),
            )
            if key in need and path is not None and not path.is_dir()
        ]
        if missing:
            raise WorkspaceError(
                f"missing: {', '.join(missing)}. A workspace is a folder with data_src/aligned, "
                "data_dst/aligned and model; extract and align the faces first, or name the "
                f"folders one by one.{self._hint()}"
            )
        if self.model.exists() and not self.model.is_dir():
            raise WorkspaceError(f"{self.model}: is a file where the model folder should be.")
        if not given_model and not self.root.is_dir():
            raise WorkspaceError(f"{self.root}: there is no such folder.{self._hint()}")

    def _hint(self) -> str:
        near = None if is_workspace(self.root) else workspace_near(self.root)
        return f" Did you mean {near}?" if near else ""

    def with_faces_of(self, folder: str, *, pretrain: bool = False) -> Workspace:
        """Take the faces of another workspace; empty = keep its own.

        Parameters
        ----------
        folder : str
            Another workspace; a relative path starts at this one. To pretrain it may also be a
            folder of faces.
        pretrain : bool
            Whether the faces are for pretraining: one set for both sides.
        """
        if not folder:
            return self
        other = self.root / user_path(folder)
        if not pretrain:
            src, dst = (other / f"data_{side}" / "aligned" for side in ("src", "dst"))
            return replace(self, src=src, dst=dst)
        inside = (other / "pretrain_faces", other / "data_src" / "aligned", other / "aligned")
        return replace(self, pretrain=next((each for each in inside if each.is_dir()), other))

    @property
    def dst_frames(self) -> Path:
        """The frames into which faces are merged."""
        return self.dst.parent

    @property
    def merged(self) -> Path:
        """Where merged frames go."""
        return self.dst.parent / "merged"

    def models(self, model_class: str | None = None) -> list[FoundModel]:
        """The models in the model folder, the newest first."""
        return find_models(self.model, model_class)


def face_type_beside(place: Path) -> tuple[str, FaceType | None]:
    """The face type that the model of a workspace is trained on.

    Parameters
    ----------
    place : Path
        The aligned faces of a workspace: ``data_src/aligned`` or a pak in it.

    Returns
    -------
    (str, FaceType or None)
        Name and face type of the face-swap model that was saved last; None if there is none.
    """
    folder = (place if place.is_dir() else place.parent).absolute()
    for model in find_models(folder.parent.parent / "model"):
        kind = KINDS[model.model_class]
        if not kind.swaps_faces:
            continue
        full_name = f"{model.name}_{model.model_class}"
        if "face_type" not in specs(kind.options):  # the class has one
            return full_name, FaceType.from_name(vars(default(kind.options))["face_type"])
        with contextlib.suppress(DflTfError, OSError, ValueError):
            state = read_model(
                folder.parent.parent / "model", model.name, model.model_class, only=()
            )
            return full_name, FaceType.from_name(str(state.options.get("face_type")))
    return "", None


def sides_beside(place: Path) -> tuple[Path, Path] | None:
    """The faces of src and dst of the workspace that a folder of faces is in.

    Parameters
    ----------
    place : Path
        The aligned faces of one side: ``data_src/aligned``, ``data_dst/aligned`` or a pak in it.

    Returns
    -------
    (Path, Path) or None
        None where the folder has another name.
    """
    folder = (place if place.is_dir() else place.parent).absolute()
    if folder.parent.name not in ("data_src", "data_dst"):
        return None
    root = folder.parent.parent
    return root / "data_src" / folder.name, root / "data_dst" / folder.name


def user_path(value: Path | str) -> Path:
    """A path as the user gives it, `~` and `~name` replaced by the home folder.

    Raises
    ------
    UsageError
        There is no such home folder.
    """
    try:
        return Path(value).expanduser()
    except RuntimeError:
        raise UsageError(
            f"{value}: the home folder that ~ stands for is not known. Set HOME, or write the "
            "path in full."
        ) from None


def _path(value: Path | str) -> Path:
    try:
        return user_path(value).absolute()
    except FileNotFoundError:
        raise UsageError(
            f"{value}: the current folder was deleted, and the path is relative to it. Change to "
            "another folder, or write the path in full."
        ) from None


def _release_faces(base: Path) -> Path | None:
    faces = base.parent / "_internal" / "pretrain_faces"
    return faces if (faces / "faceset.pak").is_file() else None


def warnings_beside(faces: Path) -> list[str]:
    """`mask_warnings` of both sides of the workspace that some faces belong to."""
    sides = sides_beside(faces)
    return [] if sides is None else mask_warnings(*sides)
