"""The batch streams that a model trains on, as one thing that the trainer draws from.

References
----------
data.md 3; design decision 8.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from dfl_tf.data import (
    ArrayCache,
    Batch,
    BatchStream,
    DiskCache,
    Faceset,
    SampleSpec,
    XSegSpec,
    XSegStream,
)
from dfl_tf.data.choose import derive_seed
from dfl_tf.data.heldout import draw
from dfl_tf.data.prefetch import Prefetch
from dfl_tf.errors import FacesetError, UsageError
from dfl_tf.face import FaceType
from dfl_tf.face.smaller import SmallerFaces
from dfl_tf.formats.models import run_record
from dfl_tf.formats.sessions.workspace import Workspace
from dfl_tf.options import RunOptions
from dfl_tf.train.quarantine import LeftOutFace, listed

if TYPE_CHECKING:
    from dfl_tf.models.base import FaceModel

_RETRIES = 1 << 20
"""Above the numbers by which the seeds of streams are derived."""


class Stream(Protocol):
    """What a batch source needs of a `data.BatchStream`."""

    @property
    def position(self) -> int:
        """Samples drawn and consumed."""

    @property
    def wait_seconds(self) -> float:
        """Seconds that the consumer waited."""

    def __next__(self) -> Batch: ...

    def close(self) -> None:
        """Stop the workers."""


@dataclass(frozen=True)
class Drawn:
    """Batches of one step.

    Attributes
    ----------
    batches : tuple of Batch with arrays (n, h, w, c)
    inputs : tuple of Batch
        The same as a step takes them: where they were read ahead, with tensors on its device.
    run_state : dict
        Where the streams stand after them; see `BatchSource.run_state`.
    """

    batches: tuple[Batch, ...]
    inputs: tuple[Batch, ...]
    run_state: dict[str, object]


Prepare = Callable[[tuple[Batch, ...]], tuple[Batch, ...]]
"""Copies batches to a device."""


class BatchSource:
    """Named streams, drawn together.

    Parameters
    ----------
    streams : mapping of str to stream
        In the order of `FaceModel.train_step`'s arguments: ``src``, ``dst``; or ``faces``.
    seed : int
        What the streams were seeded from; stored with the model, so that a resumed run goes on in
        the very same sequence.
    shown : mapping of str to stream
        Further streams that only previews show (XSeg: faces of src and dst).
    cache : ArrayCache, optional
        That the streams share.
    """

    def __init__(
        self,
        streams: Mapping[str, Stream],
        seed: int,
        preview_streams: Mapping[str, Stream] | None = None,
        cache: ArrayCache | None = None,
    ) -> None:
        self.seed = seed
        self.cache = ArrayCache(0) if cache is None else cache
        self._streams = dict(streams)
        self._preview_streams = dict(preview_streams or {})
        self._ahead: Prefetch[Drawn] | None = None
        self._state = self._positions()

    def read_ahead(self, prepare: Prepare, count: int = 2) -> None:
        """Draw and prepare `count` batches ahead, in a thread; to be called before the first."""
        self._ahead = Prefetch(lambda _: self._draw(prepare), workers=1, ahead=count)

    def _draw(self, prepare: Prepare | None = None) -> Drawn:
        batches = tuple(next(stream) for stream in self._streams.values())
        inputs = batches if prepare is None else prepare(batches)
        return Drawn(batches, inputs, self._positions())

    def draw(self) -> Drawn:
        """The next batch of every stream, and where the streams stand after it."""
        drawn = self._draw() if self._ahead is None else self._ahead.take()
        self._state = drawn.run_state
        return drawn

    def __next__(self) -> tuple[Batch, ...]:
        """The next batch of every stream."""
        return self.draw().batches

    def preview_batches(self) -> tuple[Batch, ...]:
        """The next batches of what only previews show."""
        return tuple(next(stream) for stream in self._preview_streams.values())

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the streams, in the order of their batches."""
        return tuple(self._streams)

    @property
    def wait_seconds(self) -> float:
        """Seconds that drawing had to wait for samples, all in all."""
        if self._ahead is not None:
            return self._ahead.wait_seconds
        return sum(stream.wait_seconds for stream in self._streams.values())

    def run_state(self) -> dict[str, object]:
        """What `ModelState.run` keeps: the seed and how many samples were consumed."""
        return self._state

    def _positions(self) -> dict[str, object]:
        positions = {name: int(stream.position) for name, stream in self._streams.items()}
        return {"seed": self.seed, "positions": positions}

    def close(self) -> None:
        """Stop the workers."""
        if self._ahead is not None:
            self._ahead.close()
        for stream in (*self._streams.values(), *self._preview_streams.values()):
            stream.close()
        self.cache.clear()


@dataclass(frozen=True)
class Facesets:
    """The faces that a training draws from.

    While pretraining both sides are the same faceset.

    Attributes
    ----------
    src, dst : Faceset
        Without the faces that are held out.
    pretrain : bool
    data : str
        The other workspace whose faces they are, or empty.
    holdout : float
        The share that was to be held out.
    held_out : mapping of str to Faceset
        By side; empty if no faces are held out.
    draws : mapping of str to str
        What was held out of each of `sides`, for people.
    left_out : mapping of str to tuple of str
        Which faces of each of `sides` are not trained on, since their losses stood out.
    """

    src: Faceset
    dst: Faceset
    pretrain: bool = False
    data: str = ""
    holdout: float = 0.0
    held_out: Mapping[str, Faceset] = field(default_factory=dict)
    draws: Mapping[str, str] = field(default_factory=dict)
    left_out: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def open(
        cls, workspace: Workspace, *, pretrain: bool, data: str = "", holdout: float = 0.0
    ) -> Facesets:
        """Open the folders (or paks) of the workspace, or the pretraining folder for both sides.

        With `data` they are those of another workspace; see `Workspace.with_faces_of`. A share
        `holdout` of each side is kept apart (`data.heldout`).

        Raises
        ------
        FacesetError
            If a folder is missing or holds no usable face.
        UsageError
            If there is no pretraining folder, or a side has too few frames to hold one out.
        """
        workspace = workspace.with_faces_of(data, pretrain=pretrain)
        if not pretrain:
            sides = cls(Faceset.open(workspace.src), Faceset.open(workspace.dst), data=data)
            return sides._without(holdout)
        if workspace.pretrain is None:
            raise UsageError(
                "pretrain is on, but there are no pretraining faces: name their folder with "
                "--pretrain-dir, or switch it off with --no-pretrain"
            )
        faceset = Faceset.open(workspace.pretrain)
        return cls(faceset, faceset, pretrain=True, data=data)._without(holdout)

    def _without(self, share: float) -> Facesets:
        """Keep a share of the faces of each side apart."""
        if not share:
            return self
        kept, held, draws = {}, {}, {}
        for name, faceset in self.sides().items():
            try:
                drawn = draw(faceset.origins(), share)
            except ValueError as error:
                raise UsageError(
                    f"holdout {share:g}: {faceset.path} ({name}): {error}. Add faces of other "
                    "frames, or set holdout to 0."
                ) from None
            kept[name] = faceset.subset(np.flatnonzero(~drawn.chosen))
            held[name] = faceset.subset(np.flatnonzero(drawn.chosen))
            draws[name] = drawn.text()
        first, last = next(iter(kept)), list(kept)[-1]
        return replace(
            self,
            src=kept[first],
            dst=kept[last],
            holdout=share,
            held_out={"src": held[first], "dst": held[last]},
            draws=draws,
        )

    def without(self, left_out: Sequence[LeftOutFace]) -> Facesets:
        """Return the same without faces that are left out since their losses stood out."""
        kept, gone = self.sides(), dict(self.left_out)
        for side, faceset in self.sides().items():
            names = {each.face for each in left_out if (each.side, each.data) == (side, self.data)}
            places = range(len(faceset)) if names else ()
            out = {place for place in places if faceset.identity(place) in names}
            if 0 < len(out) < len(faceset):
                kept[side] = faceset.subset(place for place in places if place not in out)
                found = [faceset.identity(place) for place in sorted(out)]
                gone[side] = (*gone.get(side, ()), *found)
        sides = list(kept.values())
        return replace(self, src=sides[0], dst=sides[-1], left_out=gone)

    def of(self, name: str) -> Faceset:
        """Return the faceset of a batch by its name (`FaceModel.sample_specs`)."""
        return self.dst if name == "dst" else self.src

    def sides(self) -> dict[str, Faceset]:
        """The facesets by the name of their side; one for both while pretraining."""
        return {"src and dst": self.src} if self.pretrain else {"src": self.src, "dst": self.dst}

    def lines(self) -> list[str]:
        """What is there, for people."""
        lines = []
        for name, faceset in self.sides().items():
            skipped = f", {len(faceset.skipped)} files skipped" if faceset.skipped else ""
            lines.append(f"{name}: {len(faceset)} faces{skipped} in {faceset.path}")
            if name in self.draws:
                lines.append(f"{name}: held out of training: {self.draws[name]}")
            if name in self.left_out:
                lines.append(
                    f"{name}: left out, since their losses stood out: "
                    f"{listed(self.left_out[name])} (--no-quarantine takes them back)"
                )
        return lines

    def check_face_types(self, wanted: FaceType, *, allow_smaller: bool) -> list[str]:
        """Compare the faces of each side with the face type of the model.

        Returns
        -------
        list of str
            A line a side with faces of a smaller type.

        Raises
        ------
        FacesetError
            All faces of a side have a smaller type, and that is not allowed.
        """
        lines, errors = [], []
        for name, faceset in self.sides().items():
            found = SmallerFaces.count(faceset.face_types(), wanted)
            if found.number:
                lines.append(f"{name}: {found.text()}")
            if found.all_of_them and not allow_smaller:
                errors.append(f"{faceset.path} ({name}): {found.text()}")
        if errors:
            raise FacesetError(
                "; ".join(errors) + ". Extract the faces with the face type of the model, train a "
                "model of their face type, or continue with --allow-smaller-faces."
            )
        return lines


def open_batch_source(
    model: FaceModel,
    facesets: Facesets,
    run: RunOptions,
    stored: Mapping[str, object],
    offsets: Sequence[int] | None = None,
    *,
    iteration: int = 0,
) -> BatchSource:
    """Open the streams that a model wants.

    Parameters
    ----------
    model : FaceModel
        Its `seed` seeds the streams; its weights are not asked for.
    facesets : Facesets
    run : RunOptions
        Workers, prefetch, cache.
    stored : mapping
        `ModelState.run`: where an earlier run with the same seed stopped.
    offsets : sequence of int, optional
        Which samples of each batch this process makes; default all.
    iteration : int
        Finished iterations of the model. If the next step takes the batches of the one before
        again, they are made once more and handed to the model.
    """
    seed = int(model.seed)
    same = run_record.stored(stored, "seed") == seed
    positions = (run_record.stored(stored, "positions") or {}) if same else {}
    retry = run_record.stored(stored, "retry") or 0  # a roll-back draws other samples
    drawn_by = derive_seed(seed, _RETRIES + retry) if retry else seed
    again = bool(positions) and model.repeats_batch(iteration)
    back = model.samples_per_step if again else 0
    disk = None
    if run.cache_disk_gb:
        disk = DiskCache((facesets.src, facesets.dst), int(run.cache_disk_gb * 2**30))
    cache = ArrayCache.sized(run.cache_mb, disk)  # both sides share it, by need
    streams = {
        name: _open_stream(
            model,
            facesets,
            run,
            name,
            spec,
            seed=derive_seed(drawn_by, number),
            position=max(0, int(positions.get(name, 0)) - back),
            offsets=offsets,
            cache=cache,
        )
        for number, (name, spec) in enumerate(model.sample_specs().items())
    }
    size = int(model.options.batch_size)
    preview_streams = {
        name: BatchStream(
            facesets.of(name), spec, size, seed=seed, workers=1, prefetch=1, cache_mb=0
        )
        for name, spec in model.preview_specs().items()
    }
    batch_source = BatchSource(streams, seed, preview_streams, cache)
    if again:
        model.previous = next(batch_source)
    if model.works_ahead:
        batch_source.read_ahead(model.on_device)
    return batch_source


def _open_stream(
    model: FaceModel,
    facesets: Facesets,
    run: RunOptions,
    name: str,
    spec: SampleSpec | XSegSpec,
    *,
    seed: int,
    position: int,
    offsets: Sequence[int] | None,
    cache: ArrayCache,
) -> Stream:
    how: dict[str, Any] = {
        "seed": seed,
        "position": position,
        "offsets": offsets,
        "workers": run.workers,
        "prefetch": run.prefetch,
        "cache": cache,
    }
    size = model.samples_per_step
    if isinstance(spec, XSegSpec):
        both = (facesets.src, facesets.dst)
        return XSegStream(both, spec.resolution, spec.face_type, size, **how)
    transfer = name == "src" and not facesets.pretrain
    return BatchStream(
        facesets.of(name),
        spec,
        size,
        color_faceset=facesets.dst if transfer else None,
        uniform_yaw=bool(getattr(model.effective, "uniform_yaw", False)),
        **how,
    )
