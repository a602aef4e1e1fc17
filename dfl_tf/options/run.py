"""Options of a run: how a training goes, never stored with the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .metrics import METRICS
from .schema import Options, option, words

FIXED_FOR_A_RUN = frozenset(
    words(
        "after_save model_format no_save accept_changes use_previous backup_now log_every log_json "
        "tensorboard recipe init_from max_image_pixels devices cluster worker_index worker_timeout "
        "cpu threads require_gpu tf32 deterministic"
    )
)
"""Options of the run that hold from its start to its end."""


@dataclass(frozen=True, kw_only=True)
class RunOptions(Options):
    """How one run saves, shows, computes and stops."""

    NAME: ClassVar[str] = "run"

    save_every: float = option(
        25.0,
        "Save every N minutes.",
        details="The whole set of model files is written as one transaction. More often costs "
        "disk traffic.",
        group="saving",
        minimum=0.0,
        unit="minutes",
        ask="never",
    )
    save_every_iters: int = option(
        0,
        "Save every N iterations as well; 0 = by time only.",
        details="For trials and tests; by time is enough otherwise.",
        group="saving",
        minimum=0,
        unit="iterations",
        ask="never",
    )
    backup_now: bool = option(
        False,
        "Make a backup before the training begins.",
        details="One more numbered folder in <model>_autobackups.",
        group="saving",
        ask="never",
    )
    backup_every: float = option(
        0.0,
        "Back up every N hours in this run; 0 = as autobackup_hour says.",
        details="Overrides autobackup_hour without changing the model.",
        group="saving",
        minimum=0.0,
        unit="hours",
        ask="never",
    )
    snapshot_every: int = option(
        0,
        "Keep a snapshot every N iterations; 0 = for roll-backs only.",
        details="Made of the first save that is N iterations younger than the one before, in "
        "<model>_snapshots. With on_collapse rollback one is kept every 1,000 iterations anyway: "
        "roll-backs go to them.",
        group="saving",
        minimum=0,
        unit="iterations",
        ask="never",
    )
    snapshots_keep: int = option(
        2,
        "How many of the snapshots of snapshot_every are kept, the last ones.",
        details="Snapshots that you made by dfl-tf model snapshot, and those of phases, do not "
        "count and stay.",
        group="saving",
        minimum=1,
        ask="never",
    )
    keep_best: str = option(
        "none",
        "Keep a snapshot of the model that was best by this metric.",
        details="Looked at whenever the quality is measured (validate_every). dfl-tf model restore "
        "--from best brings it back. Best starts over with each phase of a recipe, and when other "
        "faces are trained on or held out.",
        group="saving",
        choices=("none", *METRICS),
        ask="never",
    )
    snapshots_max_gb: float = option(
        100.0,
        "Disk space that the snapshots of the model may take; 0 = no limit.",
        details="Beyond it the oldest of those that training makes by itself are removed, but for "
        "the newest one and the one that a roll-back goes to. Where that is not enough no snapshot "
        "is made, and the log says so.",
        group="saving",
        minimum=0.0,
        unit="GB",
        ask="never",
    )
    after_save: str = option(
        "",
        "Command to run after each save, once it is whole: COMMAND ARG ...",
        details="No shell is used. DFL_TF_MODEL_DIR, DFL_TF_NAME and DFL_TF_ITERATION are in its "
        "environment. One runs at a time, beside the training; a failure is logged and does "
        "not stop the training. The end of a run waits for it, at most a minute.",
        group="saving",
        ask="never",
        placeholder="COMMAND",
    )
    no_save: bool = option(
        False,
        "Write nothing to the model folder (for trials).",
        details="The training is lost at the end.",
        group="saving",
        ask="never",
    )
    model_format: str = option(
        "auto",
        "Format of the model files: auto, legacy or native.",
        details="auto keeps the format that was found and starts new models in the legacy format,"
        " which DeepFaceLab opens. native is safetensors with a manifest.",
        group="saving",
        choices=("auto", "legacy", "native"),
        ask="never",
    )
    reinit: tuple[str, ...] = option(
        (),
        "Parts of the model to start over, such as inter_B,GAN.",
        details="The only way in which weights that were trained are replaced; the parts are "
        "named as the model's files are.",
        group="saving",
        ask="never",
        placeholder="PART,…",
    )
    accept_changes: bool = option(
        False,
        "Use replaced model files as they are.",
        details="Asked for where a file is not the one that the last save wrote, though data.dat "
        "is: a decoder from another model, an optimizer restored by hand.",
        group="saving",
        ask="never",
    )
    use_previous: bool = option(
        False,
        "Return to the save before the last one.",
        details="The files that are there are moved aside at the first save, never deleted.",
        group="saving",
        ask="never",
    )
    preview_every: int = option(
        0,
        "Write a preview every N iterations; 0 = at each save.",
        details="A preview costs one prediction of a few faces.",
        group="previews",
        minimum=0,
        unit="iterations",
        ask="never",
    )
    preview_dir: str = option(
        "",
        "Folder for previews; empty = <model>_preview beside the model's files.",
        details="The images that DeepFaceLab shows in its window.",
        group="previews",
        ask="never",
        placeholder="DIR",
    )
    no_preview: bool = option(
        False,
        "Make no previews at all.",
        details="Saves the little time and memory that they cost.",
        group="previews",
        ask="never",
    )
    legacy_previews: bool = option(
        False,
        "Show previews as DeepFaceLab does: no captions, no enlarged faces, no further images.",
        details="Otherwise each face is named, faces below 128 pixels are enlarged, and further "
        "images show the warped faces that the networks got, and the masks.",
        group="previews",
        ask="never",
    )
    new_preview_sample: bool = option(
        False,
        "Draw new faces for the preview history.",
        details="They are stored with the model, so that all images of a history show the same "
        "faces.",
        group="previews",
        ask="never",
    )
    log_every: int = option(
        0,
        "Print the loss every N iterations; 0 = 1 on a terminal, else 50.",
        details="Reading the loss waits for the device, so a large number is slightly faster on a"
        " GPU.",
        group="logging",
        minimum=0,
        unit="iterations",
        ask="never",
    )
    log_json: str = option(
        "",
        "Append one JSON line per event to this file as well.",
        details="For plots and other programs: iterations with time and losses, saves, previews, "
        "messages. A run keeps <model>_log.jsonl in the model folder besides, with every 50th "
        "iteration; it is continued in new files, of which eight are kept (64 MiB in all).",
        group="logging",
        ask="never",
        placeholder="FILE",
    )
    tensorboard: str = option(
        "",
        "Folder for TensorBoard events; empty = none.",
        details="Needs the package tensorboard.",
        group="logging",
        ask="never",
        placeholder="DIR",
    )
    advice: bool = option(
        True,
        "Remark on settings that experience calls wrong for the state of the model.",
        details="At the start, when options change, and in --plan; each with its reason and what "
        "to do. A remark changes nothing. docs/when-to-switch.md lists them all.",
        group="logging",
        ask="never",
    )
    init_from: str = option(
        "",
        "Start a new model from the weights of another one, or of some of its parts.",
        details="FOLDER takes the model of a folder that was saved last, FOLDER/NAME another one; "
        "old and native format, any class. :PART,… takes these networks only (new:encoder,inter), "
        "and refuses if one does not fit; else all whose tensors fit are taken, and the others "
        "are named. Optimizers start empty (lr_warmup). The other model is only read. A model that "
        "is there already goes on with its own weights.",
        group="phases",
        ask="never",
        placeholder="FOLDER[/NAME][:PART,…]",
    )
    recipe: str = option(
        "",
        "Train in phases, by a recipe: a file, or the name of one that is built in.",
        details="A recipe is a YAML list of phases; each sets options and says when it ends. The "
        "position in the recipe is stored with the model. dfl-tf recipe list shows what is built "
        "in, docs/recipes.md explains them.",
        group="phases",
        ask="never",
        placeholder="FILE|NAME",
    )
    data: str = option(
        "",
        "Take the faces of another workspace.",
        details="A phase of a recipe uses it to pretrain on a set of many people: with pretrain on "
        "it is the folder of that set.",
        group="phases",
        ask="never",
        placeholder="FOLDER",
    )
    stop_after: float = option(
        0.0,
        "Save and stop after N seconds; 0 = never.",
        details="The program exits with code 0.",
        group="stopping",
        minimum=0.0,
        unit="seconds",
        ask="never",
    )
    save_deadline: float = option(
        0.0,
        "Leave N seconds after a signal at the latest; 0 = when the save is done.",
        details="SIGTERM, SIGINT and SIGHUP finish the iteration and save. Where that takes "
        "longer, the process leaves all the same, with the code of the signal: the save in work is "
        "dropped as a whole, and the model is that of the save before. Give it somewhat less than "
        "the time after which your job runner kills.",
        group="stopping",
        minimum=0.0,
        unit="seconds",
        ask="never",
    )
    guard_collapse: bool = option(
        True,
        "Stop when the losses become NaN or explode.",
        details="The last good save is kept and the program leaves with exit code 3.",
        group="stopping",
        ask="never",
    )
    on_collapse: str = option(
        "auto",
        "What to do when a model collapses: stop, or roll back to the last good save.",
        details="auto stops a plain run and rolls one with a recipe back. rollback loads the last "
        "good save in the same process, clips gradients (then halves powers, halves the learning "
        "rate, switches learning-rate dropout on, one at each collapse), draws other samples and "
        "continues; docs/recipes.md.",
        group="stopping",
        choices=("auto", "stop", "rollback"),
        ask="never",
    )
    quarantine: bool = option(
        False,
        "Leave faces out of training whose loss stands out against their own history.",
        details="They are named in the log in any case. Those that are left out are stored with "
        "the model and stay so in later runs; --no-quarantine takes them back. At most 5 % of a "
        "side are left out. Where on_collapse is rollback, a face that alone made a loss NaN or "
        "infinite is left out without it.",
        group="faces",
        lasting=True,
        ask="never",
    )
    allow_smaller_faces: bool = option(
        False,
        "Train even if all faces of a side show less than the model does.",
        details="For example half faces for a whole-face model: what they do not show is filled by "
        "repeating their border, and is learned.",
        group="faces",
        ask="never",
    )
    max_image_pixels: int = option(
        0,
        "Refuse images that declare more pixels; 0 = 67,108,864 (8192x8192).",
        details="Read from the header, before anything is decoded. The environment variable "
        "DFL_TF_MAX_IMAGE_PIXELS sets it for all commands.",
        group="faces",
        minimum=0,
        unit="pixels",
        ask="never",
    )
    seed: int | None = option(
        None,
        "Make the run reproducible on the same machine and thread count.",
        details="Random numbers depend on the sample index, so a resumed run matches an "
        "uninterrupted one.",
        group="numbers",
        minimum=0,
        ask="never",
    )
    precision: str = option(
        "float32",
        "Numeric precision of the networks.",
        details="bfloat16 is faster on CPUs and GPUs that have it (docs/precision.md); weights, "
        "slots and losses stay float32. float16 is for GPUs without bfloat16, float64 for "
        "exact comparisons. Models are stored as float32.",
        group="numbers",
        choices=("float32", "bfloat16", "float16", "float64"),
        ask="never",
    )
    accumulate: int = option(
        1,
        "Batches whose gradients make one step.",
        details="4 with a batch of 2 learns like a batch of 8, in the memory of 2 and the time of"
        " 4.",
        group="numbers",
        minimum=1,
        ask="never",
    )
    recompute: bool = option(
        False,
        "Keep fewer activations and compute them again in the backward pass.",
        details="For models or batches that do not fit into memory otherwise: the same numbers in"
        " less memory and more time; --plan and dfl-tf bench train say how much.",
        group="numbers",
        ask="never",
    )
    total_variation_axes: str = option(
        "hw",
        "Axes of the total variation in the GAN loss of SAEHD.",
        details="hw is height and width; ch is what DeepFaceLab computed on GPUs (channel and "
        "height).",
        group="numbers",
        choices=("hw", "ch"),
        ask="never",
    )
    devices: str = option(
        "",
        "GPUs to use, such as 0,1; empty or best = the one with the most free memory.",
        group="devices",
        ask="never",
        placeholder="0,1,…",
        details="With several devices, each processes its share of every batch. cpu:0,cpu:1 tries "
        "that out without GPUs.",
        flags=("--force-gpu-idxs",),
    )
    cluster: str = option(
        "",
        "Workers that train one model together, the chief first.",
        details="Start the same command on every host, each with its --worker-index. The "
        "environment variable TF_CONFIG says the same in another way.",
        group="devices",
        ask="never",
        placeholder="HOST:PORT,…",
    )
    worker_index: int | None = option(
        None,
        "Which of the workers of --cluster this process is; 0 = the chief.",
        details="The chief loads, saves, logs and makes previews.",
        group="devices",
        minimum=0,
        ask="never",
    )
    worker_timeout: float = option(
        600.0,
        "Give up after N seconds if a worker of --cluster, or the chief, does not arrive.",
        details="After 10 seconds each process says who is missing. Exit code 1.",
        group="devices",
        minimum=1.0,
        unit="seconds",
        ask="never",
    )
    cpu: bool = option(
        False,
        "Compute on the CPU only.",
        details="Weights learned on a CPU and on a GPU are interchangeable.",
        group="devices",
        ask="never",
        flags=("--cpu-only",),
    )
    require_gpu: bool = option(
        False,
        "Do not train without a GPU.",
        details="The error says what TensorFlow lacks. Without it a run on a machine with a driver "
        "but no usable GPU says so in one line and computes on the CPU.",
        group="devices",
        ask="never",
    )
    tf32: bool = option(
        True,
        "Multiply float32 as TF32 on GPUs that have it.",
        details="In convolutions and dense layers only, as in DeepFaceLab's builds for newer "
        "cards; losses, blurs, norms and the update are full float32. --no-tf32 is full float32 "
        "everywhere, and slower.",
        group="devices",
        ask="never",
    )
    deterministic: bool = option(
        False,
        "Give the same bits each time on the same GPU; slower.",
        details="With --seed. It switches TF32 off. On a CPU runs with the same number of threads "
        "are equal without it.",
        group="devices",
        ask="never",
    )
    xla: str = option(
        "off",
        "Compile the step with XLA: auto, on or off.",
        details="auto times a few forward and backward passes with and without it, keeps the faster"
        " and says which. Where the step cannot be compiled, it runs without XLA. On a CPU it"
        " seldom pays.",
        group="devices",
        choices=("auto", "on", "off"),
        ask="never",
    )
    threads: int = option(
        0,
        "Threads of TensorFlow; 0 = all cores.",
        details="Use fewer to leave cores for data loading.",
        group="devices",
        minimum=0,
        ask="never",
    )
    workers: int = option(
        0,
        "Threads that prepare faces; 0 = chosen by core count.",
        details="Raise it when the log shows time spent waiting for faces.",
        group="devices",
        minimum=0,
        ask="never",
    )
    prefetch: int = option(
        3,
        "Batches prepared ahead.",
        details="Each costs the memory of one batch.",
        group="devices",
        minimum=1,
        maximum=64,
        ask="never",
    )
    cache_mb: int | None = option(
        None,
        "Memory for decoded faces; 0 keeps none, empty takes a share of what is free.",
        details="A cached face need not be read and decoded again. By default both sides share a "
        "quarter of the memory that is free when the training starts; the cache stops growing when "
        "less than an eighth is left beside what the steps need. --plan says how many faces fit.",
        group="devices",
        minimum=0,
        unit="MiB",
        ask="never",
    )
    cache_disk_gb: float = option(
        0.0,
        "Disk space for decoded faces that memory does not hold; 0 uses none.",
        details="A face whose arrays are read from the disk takes a fraction of the time of one "
        "that is decoded, cropped and masked again, in later runs too. One file a faceset, in "
        "`faces` of the cache folder, can be removed at any time; files of facesets that are "
        "not in use give way. --plan says how much the faces need.",
        group="devices",
        minimum=0.0,
        unit="GiB",
        ask="never",
    )

    @property
    def rolls_back(self) -> bool:
        """Whether a model that collapses goes on from its last good save."""
        by_recipe = self.on_collapse == "auto" and bool(self.recipe)
        return by_recipe or self.on_collapse == "rollback"
