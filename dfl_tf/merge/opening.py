"""The networks of a merge: which model is meant, what is loaded beside it, and when."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, cast

from dfl_tf.errors import UsageError, WorkspaceError
from dfl_tf.face import FaceType
from dfl_tf.formats import find_models
from dfl_tf.formats.models.choose_model import choose_model
from dfl_tf.formats.models.restore import files_of
from dfl_tf.merge.enhancer import Enhancer, load_enhancer
from dfl_tf.merge.networks import MergeNetworks
from dfl_tf.merge.plan import MergeTask
from dfl_tf.merge.predictor import networks_of, weights_checksum
from dfl_tf.merge.provenance import Provenance
from dfl_tf.options import KINDS, MergeOptions, XSegOptions

if TYPE_CHECKING:
    from dfl_tf.models.base import FaceModel
    from dfl_tf.models.swap import SwapModel
    from dfl_tf.models.xseg.model import XSeg

LoadModel = Callable[[Path, str, str], "FaceModel"]
"""Folder, name and class to a model without optimizers."""


@dataclass(frozen=True)
class MergeModel:
    """A model ready for merging, and what is said about it."""

    name: str
    model_class: str
    iteration: int
    face_type: FaceType
    networks: MergeNetworks
    checksum: str

    def provenance(self) -> Provenance:
        """The note that its merged images carry."""
        return Provenance(self.name, self.model_class, self.iteration)


class MergeModels:
    """The models of one folder that merging asks, each loaded when it is first needed.

    Parameters
    ----------
    folder : Path
        Of model files.
    load : callable
    name, model_class : str or None
        Which model; without them the one that was saved last.
    snapshot : str
        Take a snapshot or a backup of the model instead: its name, number or folder.
    enhancer : Path or None
        ONNX network for super resolution.

    Attributes
    ----------
    name, model_class : str
        Of the model that is meant.

    Raises
    ------
    UsageError, ModelFileError
        No such model.
    """

    def __init__(
        self,
        folder: Path,
        load: LoadModel,
        *,
        name: str | None = None,
        model_class: str | None = None,
        snapshot: str = "",
        enhancer: Path | None = None,
    ):
        self.folder, self._load, self._enhancer_file = folder, load, enhancer
        swapping = [known for known, kind in KINDS.items() if kind.swaps_faces]
        found = choose_model(folder, name, model_class, classes=swapping, what="face model")
        self.name, self.model_class = found.name, found.model_class
        self._files = files_of(folder, found.name, found.model_class, snapshot)

    @cached_property
    def model(self) -> SwapModel:
        """The model that swaps faces."""
        # KINDS says which classes do
        return cast("SwapModel", self._load(*self._files, self.model_class))

    @property
    def face_type(self) -> FaceType:
        """What the model was trained on."""
        return FaceType.from_name(self.model.options.face_type)

    @cached_property
    def xseg(self) -> XSeg:
        """The XSeg model of the folder."""
        return cast("XSeg", self._load(self.folder, XSegOptions.NAME, XSegOptions.NAME))

    @cached_property
    def enhancer(self) -> Enhancer:
        """The network for super resolution.

        Raises
        ------
        UsageError, ModelFileError
            None is given, or it cannot be used.
        """
        if self._enhancer_file is None:
            raise UsageError(
                "super resolution needs an enhancer network, and none comes with this program: "
                "give --enhancer FILE.onnx, or leave --super-resolution out"
            )
        return load_enhancer(self._enhancer_file)

    def loaded(self, *, xseg: bool) -> bool:
        """Whether the model, and XSeg if it is wanted, need no loading any more."""
        return "model" in vars(self) and not (xseg and "xseg" not in vars(self))

    def require_xseg(self, mask_modes: Collection[str]) -> None:
        """Check that there is an XSeg model; nothing is loaded.

        Parameters
        ----------
        mask_modes : collection of str
            Those that need it.

        Raises
        ------
        WorkspaceError
            There is none.
        """
        if not find_models(self.folder, XSegOptions.NAME):
            raise WorkspaceError(
                f"{self.folder}: holds no XSeg model (XSeg_256.npy), which the mask mode "
                f"{', '.join(sorted(mask_modes))} needs; train or copy one there, "
                "or choose another --mask-mode"
            )

    def networks(self, *, morph: float, xseg: bool, enhance: bool) -> MergeNetworks:
        """Return what merging asks, and load what of it is not loaded yet.

        Parameters
        ----------
        morph : float
            Share of src, for models that take one.
        xseg, enhance : bool
            Whether a mask of XSeg, and super resolution, is wanted.
        """
        enhancer = self.enhancer if enhance else None
        model = self.model
        masker = self.xseg if xseg else None
        return networks_of(model, morph=morph, xseg=masker, enhancer=enhancer)


def open_networks(
    models: MergeModels, tasks: Sequence[MergeTask], *, further: Collection[MergeOptions] = ()
) -> MergeModel:
    """Load the model, and XSeg and the enhancer if any frame needs them.

    Parameters
    ----------
    models : MergeModels
    tasks : sequence of MergeTask
    further : collection of MergeOptions
        Settings that are wanted beside those of the tasks.

    Raises
    ------
    UsageError, ModelFileError, WorkspaceError
        A network that a frame needs is missing.
    """
    wanted = {task.settings for task in tasks} | set(further)
    of_xseg = {settings.mask_mode for settings in wanted if "XSeg" in settings.mask_mode}
    if of_xseg:
        models.require_xseg(of_xseg)
    enhance = any(settings.super_resolution_power for settings in wanted)
    if enhance:
        _ = models.enhancer
    morphs = {settings.morph for settings in wanted}
    if len(morphs) > 1:
        raise UsageError("morph is one value for all frames")
    model = models.model
    networks = models.networks(morph=morphs.pop(), xseg=bool(of_xseg), enhance=enhance)
    checksum = weights_checksum(model)
    if of_xseg:
        checksum += weights_checksum(models.xseg)
    return MergeModel(
        models.name,
        models.model_class,
        model.iteration,
        models.face_type,
        networks,
        checksum,
    )
