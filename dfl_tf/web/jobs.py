"""Jobs that are started from the page: commands that outlive page and server.

Each has a place in the folder ``jobs`` of the workspace: ``<kind>-<subject>.json`` and ``.log`` are
those of `dfl_tf.jobs.detached`, ``.form`` holds what the form said. Merges lie where the merge
tuner starts them, so both show the same ones; record and log of those of XSeg, of which one a side
runs at a time, lie in the model folder too.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from dfl_tf.disk.durable import make_folder, remove_quietly, write_file
from dfl_tf.disk.guarded import read_json
from dfl_tf.disk.listing import list_folder
from dfl_tf.disk.text import printable
from dfl_tf.disk.tree_schema import ANYTHING, Record, Table, Text
from dfl_tf.errors import DflTfError
from dfl_tf.formats.models.files import find_models
from dfl_tf.formats.sessions.workspace import Workspace
from dfl_tf.jobs.detached import DetachedJob
from dfl_tf.options import KINDS as MODEL_KINDS
from dfl_tf.train.status import model_status
from dfl_tf.web.answers import WebError
from dfl_tf.web.job_answers import job_answer, job_in_models, own_file, program
from dfl_tf.web.job_forms import JobForms
from dfl_tf.web.job_kinds import BY_NAME, JobKind, Subject, saved_settings_words, words_of

FOLDER = "jobs"
SAVED = "saved_settings"
"""The field of a merge that stands for the files of the merge tuner."""
_PLAN_SECONDS = 300.0
_PLAN_TEXT = 20_000
_FORM = Record(
    {
        "kind": Text(tuple(BY_NAME)),
        "side": Text(("", "src", "dst")),
        "name": Text(longest=200),
        "model_class": Text(longest=40),
        "values": Table(ANYTHING),
    }
)


@dataclass(frozen=True)
class PlacedJob:
    """A job that was started once.

    Attributes
    ----------
    kind : JobKind
    subject : Subject
    values : mapping or None
        What its form said; None where it was started elsewhere.
    """

    kind: JobKind
    subject: Subject
    values: Mapping[str, object] | None

    @property
    def slot(self) -> str:
        """Its name among the jobs of a workspace."""
        return slot_of(self.kind, self.subject)


def slot_of(kind: JobKind, subject: Subject) -> str:
    """The name of a job: one of a kind and subject runs at a time."""
    return f"{kind.name}-{subject.key}" if subject.key else kind.name


def shared_name(kind: JobKind, subject: Subject) -> str:
    """The name in the model folder of a merge, or of a job of XSeg; else empty."""
    if kind.name == "merge":
        return f"{subject.key}_merge_job"
    if kind.name == "xseg-train":
        return "XSeg_train_job"
    return f"XSeg_{subject.side}_job" if kind.name.startswith("xseg-") else ""


def _kind_of(command: Sequence[str], usual: JobKind) -> JobKind:
    """What a command line of XSeg does; `usual` where it does not say."""
    words = [*command[len(program()) :], "", ""]
    return BY_NAME.get(f"xseg-{words[1]}", usual) if words[0] == "xseg" else usual


class Jobs:
    """The jobs of a workspace.

    Parameters
    ----------
    place : Workspace
    """

    def __init__(self, place: Workspace) -> None:
        self.forms = JobForms()
        self._place = place
        self._starting = threading.Lock()
        self._planning = threading.BoundedSemaphore()

    def all(self) -> list[PlacedJob]:
        """Those that were started, and whose files are still there."""
        found = {}
        for job in self._with_forms():
            record = self.job(job.kind, job.subject).state().record
            words = self._words_or_none(job)
            if record is not None and (words is None or record.command[-len(words) :] == words):
                found[job.slot] = job
        places = {self.job(job.kind, job.subject).record for job in found.values()}
        for job in self._started_elsewhere():
            if self.job(job.kind, job.subject).record not in places:
                found[job.slot] = job
        return list(found.values())

    def job(self, kind: JobKind, subject: Subject) -> DetachedJob:
        """The job of a kind and subject, whether it was ever started or not.

        Raises
        ------
        WebError
            A file of it is a link that leads out of workspace and model folder.
        """
        shared = shared_name(kind, subject)
        if shared:
            return job_in_models(self._place, shared)
        job = DetachedJob(self._folder / slot_of(kind, subject))
        for path in (job.record, job.log):
            own_file(self._place, path)
        return job

    def facts(self, job: PlacedJob) -> dict[str, object]:
        """How a job is, and what can be done with it."""
        state = self.job(job.kind, job.subject).state()  # one look: it may end between two
        again = state.state not in ("running", "done")
        words = None if state.record is None else state.record.command[len(program()) :]
        line = "" if words is None else printable(shlex.join(["dfl-tf", *words]))
        return {
            **job_answer(state),
            "kind": job.kind.name,
            "title": job.kind.title,
            "subject": printable(job.subject.key),
            "values": job.values,
            "line": line,
            "resumable": again and job.values is not None and job.kind.resumed is not None,
            "training": self._training(job) if state.state == "running" else None,
        }

    def words(self, kind: JobKind, subject: Subject, values: Mapping[str, object]) -> list[str]:
        """The words of a command line.

        Raises
        ------
        WebError
            With all that is wrong with the values.
        """
        given = dict(values)
        words = words_of(kind, self._place, subject)
        if kind.name == "xseg-apply" and given.get("generic") is not True:
            words += ["--model-dir", str(self._place.model)]
        if kind.name == "merge" and given.pop(SAVED, False) is True:
            words += saved_settings_words(self._place.root)
        return [*words, *self.forms.words(kind, subject.model_class, given)]

    def line(self, kind: JobKind, subject: Subject, values: Mapping[str, object]) -> str:
        """The command line for a shell; errors as in `words`."""
        return printable(shlex.join(["dfl-tf", *self.words(kind, subject, values)]))

    def plan(self, kind: JobKind, subject: Subject, values: Mapping[str, object]) -> str:
        """What the command says that it would do.

        Raises
        ------
        WebError
            It says that it cannot, or another plan is being made.
        """
        words = [*program(), *self.words(kind, subject, values), *kind.plan]
        if not self._planning.acquire(blocking=False):
            raise WebError("another plan is being made; try again in a moment.", 409)
        try:
            said = subprocess.run(
                words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd=self._place.root,
                timeout=_PLAN_SECONDS,
                start_new_session=True,
            )
        except subprocess.TimeoutExpired:
            raise WebError(f"there was no plan within {_PLAN_SECONDS:g} seconds.", 504) from None
        finally:
            self._planning.release()
        text = printable(said.stdout.decode(errors="replace"), lines=True).strip()
        if said.returncode:
            raise WebError(text[-_PLAN_TEXT:] or f"it ended with {said.returncode}.", 409)
        return text if len(text) <= _PLAN_TEXT else f"{text[:_PLAN_TEXT]}\n…"

    def start(self, kind: JobKind, subject: Subject, values: Mapping[str, object]) -> None:
        """Start a job in a process that outlives the server.

        Raises
        ------
        WebError
            The values are wrong, or a job that runs writes the same.
        UsageError, WorkspaceError
            It runs already, or its files cannot be written.
        """
        words = self.words(kind, subject, values)
        with self._starting:
            self._check_free(kind, subject)
            make_folder(self._folder, follow=False)
            if shared_name(kind, subject):
                make_folder(self._place.model)
            tree = {"kind": kind.name, **asdict(subject), "values": dict(values)}
            write_file(self._form(kind, subject), json.dumps(tree).encode())
            self.job(kind, subject).start([*program(), *words], self._place.root.absolute())

    def resume(self, job: PlacedJob) -> None:
        """Start a job that has ended before its end, so that it goes on; errors as in `start`."""
        if job.values is None or job.kind.resumed is None:
            raise WebError("this job cannot be resumed here: start it again.", 409)
        values = {key: value for key, value in job.values.items() if key not in job.kind.resumed}
        values |= {key: True for key, is_set in job.kind.resumed.items() if is_set}
        self.start(job.kind, job.subject, values)

    def forget(self, job: PlacedJob) -> None:
        """Remove the files of a job that does not run."""
        found = self.job(job.kind, job.subject)
        if found.state().state == "running":
            raise WebError("this job runs: stop it first.", 409)
        for path in (self._form(job.kind, job.subject), found.record, found.log):
            remove_quietly(path)

    @property
    def _folder(self) -> Path:
        return self._place.root / FOLDER

    def _form(self, kind: JobKind, subject: Subject) -> Path:
        path = self._folder / slot_of(kind, subject)
        return own_file(self._place, path.with_name(f"{path.name}.form"))

    def _with_forms(self) -> list[PlacedJob]:
        if not self._folder.is_dir():
            return []
        found = []
        for path in list_folder(self._folder, {".form"}).files:
            try:
                tree = read_json(
                    own_file(self._place, path), kind="the form of a job", schema=_FORM
                )
                kind = BY_NAME[tree["kind"]]
                subject = Subject(tree["side"], tree["name"], tree["model_class"])
                if f"{slot_of(kind, subject)}.form" == path.name:
                    found.append(PlacedJob(kind, subject, tree["values"]))
            except DflTfError:  # of another program, or damaged: it is not shown
                continue
        return found

    def _words_or_none(self, job: PlacedJob) -> tuple[str, ...] | None:
        """The words of its form; None where the form cannot be used any more."""
        try:
            return tuple(self.words(job.kind, job.subject, job.values or {}))
        except DflTfError:
            return None

    def _started_elsewhere(self) -> Iterator[PlacedJob]:
        """Jobs that the merge tuner has started, or the XSeg view of an earlier version."""
        xseg = [Subject("", "XSeg", "XSeg"), Subject("src"), Subject("dst")]
        models = find_models(self._place.model)
        swaps = [model for model in models if MODEL_KINDS[model.model_class].swaps_faces]
        merges = [Subject("", model.name, model.model_class) for model in swaps]
        for subject in (*xseg, *merges):
            usual = BY_NAME["xseg-apply" if subject.side else "xseg-train"]
            usual = BY_NAME["merge"] if subject in merges else usual
            try:
                record = self.job(usual, subject).state().record
            except DflTfError:
                continue
            if record is not None:
                yield PlacedJob(_kind_of(record.command, usual), subject, None)

    def _check_free(self, kind: JobKind, subject: Subject) -> None:
        wanted = {(what, subject.key) for what in kind.changes}
        for other in self.all():
            same = wanted & {(what, other.subject.key) for what in other.kind.changes}
            if same and self.job(other.kind, other.subject).state().state == "running":
                raise WebError(
                    f'"{other.kind.title}" runs on the same files: wait for its end, or stop it.',
                    409,
                )

    def _training(self, job: PlacedJob) -> dict[str, object] | None:
        """How a training goes, which has no line of progress."""
        if job.kind.subject != "new model":
            return None
        wanted = job.subject.name, job.subject.model_class
        for model in find_models(self._place.model, job.subject.model_class):
            if (model.name, model.model_class) == wanted:
                status = model_status(self._place.model, model)
                return {"iteration": status.iteration, "left": status.seconds_left}
        return None
