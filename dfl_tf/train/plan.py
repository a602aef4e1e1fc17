"""What a training would do, told before anything happens: ``dfl-tf train --plan``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from dfl_tf.data import CacheNeed, XSegSpec, cache_bytes, segmented_samples
from dfl_tf.devices.cluster import described
from dfl_tf.devices.configure import device_lines
from dfl_tf.formats.models.files import detect_format, part_file
from dfl_tf.formats.models.snapshots import list_snapshots
from dfl_tf.options import effective
from dfl_tf.train.batch_source import Facesets
from dfl_tf.train.checkpoint import CheckpointLocation
from dfl_tf.train.memory_cures import cures
from dfl_tf.train.memory_use import memory
from dfl_tf.train.rollback import in_force
from dfl_tf.train.segment import face_type_lines, parts_of
from dfl_tf.train.sinks.json_lines import last_seconds, log_beside
from dfl_tf.train.situation import advice_of
from dfl_tf.train.snapshots import planned
from dfl_tf.train.start import Prepared, build_model

if TYPE_CHECKING:
    from dfl_tf.data import FaceSample, SampleSpec
    from dfl_tf.models.base import FaceModel


@dataclass(frozen=True)
class Plan:
    """The facts of a run to come.

    Attributes
    ----------
    model : str
        Full name.
    iteration, target_iter : int
    options : dict
        As they will be stored.
    overridden : dict
        Key → (effective value, reason) for every option that trains with another value.
    notes, resets : list of str
        Adjusted options; what is initialized or emptied instead of loaded.
    faces : list of str
    left_out : dict
        Side → kind → names and reasons of what in its folder is not used.
    parameters : dict
        Network → number of weights.
    memory_mib : dict
        See `memory_use.memory`; ``activations`` is what back-propagation keeps for one batch,
        counted in the traced step: an estimate.
    files : list of str
        What the run writes, beginning with the files of a save.
    data : list of str
        What stands out in the faces of src and dst, the most important first.
    phases : list of str
        Of the recipe, the present one marked.
    advice : list of str
        Remarks on the settings (`dfl_tf.options.advice`).
    cures : list of str
        What needs less memory and how much that saves, in the order in which to try it.
    """

    model: str
    folder: str
    new: bool
    iteration: int
    target_iter: int
    seed: int
    options: dict[str, object]
    overridden: dict[str, tuple[object, str]]
    notes: list[str]
    resets: list[str]
    faces: list[str]
    parameters: dict[str, int]
    memory_mib: dict[str, float]
    files: list[str]
    left_out: dict[str, dict[str, list[dict[str, str]]]] = field(default_factory=dict)
    data: list[str] = field(default_factory=list)
    phases: list[str] = field(default_factory=list)
    advice: list[str] = field(default_factory=list)
    cures: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, object]:
        """The same for machines."""
        return asdict(self)

    def text(self) -> str:
        """The plan for people."""
        begin = "new model" if self.new else f"continues at iteration {self.iteration}"
        until = f"until iteration {self.target_iter}" if self.target_iter else "until stopped"
        lines = [f"{self.model} in {self.folder}: {begin}, {until}; seed {self.seed}"]
        lines += ["", "faces", *(f"  {line}" for line in self.faces)]
        if self.data:
            lines += ["", "about these faces", *(f"  {line}" for line in self.data)]
        if self.phases:
            lines += ["", "phases", *(f"  {line}" for line in self.phases)]
        lines += ["", "options"]
        width = max(len(key) for key in self.options)
        for key, value in self.options.items():
            line = f"  {key:<{width}}  {value}"
            if key in self.overridden:
                used, reason = self.overridden[key]
                line += f"  ({reason})" if used == value else f"  -> {used} ({reason})"
            lines.append(line)
        lines += ["", "parameters"]
        lines += [f"  {part:<{width}}  {count:>12,}" for part, count in self.parameters.items()]
        lines.append(f"  {'all':<{width}}  {sum(self.parameters.values()):>12,}")
        lines += ["", "memory (MiB)"]
        width = max(width, *map(len, self.memory_mib))
        lines += [f"  {what:<{width}}  {size:>12,.1f}" for what, size in self.memory_mib.items()]
        if self.cures:
            lines += ["", "if memory runs out", *(f"  {cure}" for cure in self.cures)]
        if self.advice:
            lines += ["", "advice", *(f"  {remark}" for remark in self.advice)]
        if self.notes:
            lines += ["", "notes", *(f"  {note}" for note in self.notes)]
        lines += ["", "reset", *(f"  {text}" for text in self.resets or ["nothing"])]
        lines += ["", "files that are written", *(f"  {name}" for name in self.files)]
        return "\n".join(lines)


def make_plan(prepared: Prepared) -> Plan:
    """Build the model in memory and look at it. Nothing is written and nothing is trained."""
    options = prepared.resolved.options
    facesets = prepared.open_faces()
    faces = [*facesets.lines(), *face_type_lines(prepared.settings, facesets)]
    model, resets = build_model(prepared)
    need, budget = cache_need(model, facesets), cache_bytes(prepared.run.cache_mb)
    by_default, disk = prepared.run.cache_mb is None, int(prepared.run.cache_disk_gb * 2**30)
    faces.append(need.text(budget, by_default=by_default, disk=disk))
    used = effective(options)
    resumed = prepared.state is not None
    return Plan(
        model=prepared.place.storage,
        folder=str(prepared.place.folder),
        new=not resumed,
        iteration=model.iteration,
        target_iter=options.target_iter,
        seed=model.seed,
        options=prepared.settings.legacy(),
        overridden={
            **_remedies(prepared),
            **{key: (getattr(used.options, key), reason) for key, reason in used.reasons.items()},
        },
        notes=[
            *prepared.notes,
            *described(prepared.run, options.batch_size),
            *device_lines(prepared.run),
            *filter(None, [snapshots_made(prepared)]),
        ],
        resets=resets,
        faces=faces,
        left_out={name: side.left_out.as_dict() for name, side in facesets.sides().items()},
        parameters=model.parameter_counts(),
        memory_mib=memory(model, min(budget, need.size)),
        files=saved_files(prepared, model),
        phases=_phases(prepared),
        advice=advice_of(prepared, facesets),
        cures=[cure.text(model) for cure in cures(options, on_gpu=not model.placement.on_cpu)],
    )


def snapshots_made(prepared: Prepared) -> str:
    """Which snapshots are made and are there, in words; empty if there is none."""
    place = prepared.place
    return planned(
        prepared.run,
        phases=prepared.recipe is not None,
        measured=bool(prepared.settings.validate_every),
        found=list_snapshots(place.folder, place.name, place.model_class),
    )


def _phases(prepared: Prepared) -> list[str]:
    """The phases of the recipe, with the time left by the last iterations of the model."""
    if prepared.recipe is None:
        return []
    log = log_beside(prepared.place.folder, prepared.place.storage)
    iteration = 0 if prepared.state is None else prepared.state.iteration
    each = None if prepared.state is None else last_seconds(log)
    return prepared.recipe.lines(iteration, each)


def _remedies(prepared: Prepared) -> dict[str, tuple[object, str]]:
    """Options that a roll-back has changed, with the reason; they are stored as they are now."""
    options = prepared.resolved.options
    found = in_force({} if prepared.state is None else prepared.state.run)
    return {
        key: (getattr(options, key), f"{reason}; --set {key}=… lifts that")
        for key, (_, reason) in found.items()
        if hasattr(options, key)
    }


def saved_files(prepared: Prepared, model: FaceModel) -> list[str]:
    """What the run writes: the files of a save, in the model's format, then previews and logs."""
    place, storage, run = prepared.place, prepared.place.storage, prepared.run
    if run.no_save:
        files = []
    else:
        files = _set_of_files(place, parts_of(model))
        if place.first:
            files.append(f"{place.model_class}_default_options.dat")
    if not run.no_preview:
        files.append(f"{run.preview_dir or storage + '_preview'}/")
    if prepared.resolved.options.write_preview_history:
        files.append(f"{storage}_history/")
    if run.backup_now or run.backup_every or prepared.resolved.options.autobackup_hour:
        files.append(f"{storage}_autobackups/")
    if snapshots_made(prepared):
        files.append(f"{storage}_snapshots/")
    if not run.no_save:
        files.append(log_beside(place.folder, storage).name)
    return [*files, *(path for path in (run.log_json, run.tensorboard) if path)]


def _set_of_files(place: CheckpointLocation, stems: Sequence[str]) -> list[str]:
    """The files of one save; the set before them is kept beside, in a hidden folder."""
    storage, form = place.storage, place.format
    if form == "same":
        form = detect_format(place.folder, place.name, place.model_class) or "legacy"
    if form == "native":
        inside = [f"{stem}.safetensors" for stem in stems]
        last = ["loss_history.rows", "manifest.json"]
        names = [f"{storage}.dfl/{name}" for name in [*inside, *last]]
        return [*names, f"{storage}_summary.txt"]
    parts = [part_file(place.name, place.model_class, stem) for stem in stems]
    return [
        *parts,
        f"{storage}_data.dat",
        f"{storage}_summary.txt",
        f"{storage}.manifest.json",
        f".{storage}.previous/",
    ]


def cache_need(model: FaceModel, facesets: Facesets) -> CacheNeed:
    """What the faces of a model take in the cache of its streams."""
    drawn: dict[str, tuple[Sequence[FaceSample], SampleSpec | XSegSpec]] = {}
    for name, spec in model.sample_specs().items():
        if isinstance(spec, XSegSpec):
            drawn[name] = segmented_samples((facesets.src, facesets.dst)), spec
        else:
            drawn[name] = facesets.of(name), spec
    # The other color transfers ask for a few figures of a face only.
    images = any(getattr(spec, "ct_mode", "none") in ("idt", "sot") for _, spec in drawn.values())
    return CacheNeed.of(drawn, facesets.dst if images and not facesets.pretrain else None)
