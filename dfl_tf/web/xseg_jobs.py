"""What the XSeg view starts: training, applying, fetching, removing, as commands of dfl-tf."""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Mapping, Sequence

from dfl_tf.disk.durable import make_folder
from dfl_tf.disk.text import printable
from dfl_tf.disk.tree_schema import Boolean, Integer, Optional, Record, Text
from dfl_tf.errors import UsageError
from dfl_tf.formats.models.files import find_models
from dfl_tf.formats.sessions.workspace import Workspace
from dfl_tf.jobs.detached import DetachedJob
from dfl_tf.options import XSegOptions, specs
from dfl_tf.options.training import ALL_FACE_TYPES
from dfl_tf.web.job_answers import job_answer, job_in_models, program
from dfl_tf.web.xseg import SIDES

JOBS = ("train", *SIDES)
"""One may run of each: two commands must not change the faces of one side at the same time."""
ACTIONS = ("train", "apply", "fetch", "remove")

_ITERATION = re.compile(r"\[#(\d+)\]")
_SIZE = specs(XSegOptions)["batch_size"]
OPTIONS = Record(
    {"action": Text(ACTIONS)},
    {
        "face_type": Optional(Text((*ALL_FACE_TYPES, "same"))),
        "batch_size": Optional(Integer(int(_SIZE.minimum or 1), int(_SIZE.maximum or 1))),
        "target_iter": Optional(Integer(0, 10**9)),
        "generic": Boolean(),
        "cpu": Boolean(),
    },
)
"""What a request to start may say."""


class XSegJobs:
    """The jobs of a workspace.

    Parameters
    ----------
    workspace : Workspace
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def trained(self) -> bool:
        """Whether there is an XSeg model in the model folder."""
        name = XSegOptions.NAME
        return any(model.model_class == name for model in find_models(self._workspace.model))

    def words(self, job: str, given: Mapping[str, object]) -> list[str]:
        """The command line of a job, without the name of the program.

        Parameters
        ----------
        job : str
            One of `JOBS`.
        given : mapping
            Fits `OPTIONS`.

        Raises
        ------
        UsageError
            The action is not one of that job.
        """
        action = str(given["action"])
        if (job == "train") != (action == "train"):
            raise UsageError(f"{action} is not done by the job {job}.")
        if job == "train":
            return self._train_words(given)
        place = self._workspace.src if job == "src" else self._workspace.dst
        words = ["xseg", action, str(place)]
        if action == "apply":
            generic = bool(given.get("generic"))
            words += ["--generic"] if generic else ["--model-dir", str(self._workspace.model)]
            if given.get("face_type"):
                words += ["--face-type", str(given["face_type"])]
            words += ["--cpu"] if given.get("cpu") else []
        return [*words, "--yes"] if action == "remove" else words

    def _train_words(self, given: Mapping[str, object]) -> list[str]:
        place = self._workspace
        words = ["train", str(place.root), "--class", XSegOptions.NAME]
        if place.model != place.root / "model":
            words += ["--model-dir", str(place.model)]
        for key in ("face_type", "batch_size", "target_iter"):
            if given.get(key) not in (None, "same"):
                words += ["--" + key.replace("_", "-"), str(given[key])]
        return [*words, "--cpu"] if given.get("cpu") else words

    def start(self, job: str, given: Mapping[str, object]) -> None:
        """Start it, in a process that outlives the server.

        Raises
        ------
        UsageError
            It runs already.
        """
        words = self.words(job, given)
        make_folder(self._workspace.model)
        self._job(job).start([*program(), *words], self._workspace.root.absolute())

    def stop(self, job: str) -> None:
        """Ask it to end; a training saves first."""
        self._job(job).stop()

    def states(self) -> dict[str, object]:
        """How all of them are."""
        found: dict[str, object] = {}
        for name in JOBS:
            job = self._job(name)
            record = job.state().record
            words = () if record is None else record.command[len(program()) :]
            line = printable(shlex.join(["dfl-tf", *words])) if words else ""
            answer = {**job_answer(job), "line": line}
            found[name] = (
                answer | _iterations(str(answer["log"]), words) if name == "train" else answer
            )
        return found

    def _job(self, name: str) -> DetachedJob:
        return job_in_models(self._workspace, f"XSeg_{name}_job")


def _iterations(log: str, words: Sequence[str]) -> dict[str, int]:
    """How far a training is, by the last line of its log; nothing where it has no end."""
    done = _ITERATION.findall(log)
    target = dict(itertools.pairwise(words)).get("--target-iter", "0")
    return {"done": int(done[-1]), "total": int(target)} if done and int(target) else {}
