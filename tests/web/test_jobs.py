"""Jobs over HTTP: forms out of the commands, command lines, start, stop, resume, and refusals."""

from __future__ import annotations

import itertools
import json
import os
import shlex
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

import click
import pytest

from dfl_tf.cli.command_forms import describe
from dfl_tf.cli.main import command
from dfl_tf.jobs.detached import DetachedJob
from dfl_tf.options import ExtractOptions, specs
from dfl_tf.web import job_answers, jobs
from dfl_tf.web.job_kinds import KINDS

from .support.placing import extracted_workspace
from .support.served import Served, serving

WORK = Path(__file__).parent / "support" / "work.py"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    made = tmp_path_factory.mktemp("jobs") / "a project"
    for side in ("src", "dst"):
        (made / f"data_{side}" / "aligned").mkdir(parents=True)
    (made / "model").mkdir()
    (made / "model" / "new_SAEHD_data.dat").touch()
    return made


@pytest.fixture(scope="module")
def served(root):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jobs, "program", lambda: [sys.executable, str(WORK)])
        with serving(root) as server:
            yield server


@pytest.fixture
def work(root):
    """What the program that stands for dfl-tf does; its words are kept in a file."""

    def tell(**how):
        (root / "work.json").write_text(json.dumps({"steps": 3, "seconds": 0, "code": 0, **how}))
        return root / "work.words"

    for path in (*(root / "jobs").glob("*"), *root.glob("work.words")):
        path.unlink()
    return tell


def the_job(served, kind):
    (found,) = [each for each in served.ask("/api/jobs/list").json["jobs"] if each["kind"] == kind]
    return found


def wait(served, kind, condition):
    while not condition(found := the_job(served, kind)):
        time.sleep(0.02)
    return found


def ended(job):
    return job["state"] != "running"


def start(served, kind, values=None, **subject):
    return served.post("/api/jobs/start", {"kind": kind, "values": values or {}, **subject})


def model_of(served):
    ((key, model),) = served.ask("/api/jobs/kinds").json["models"].items()
    assert model == {"title": "new", "class": "SAEHD"}
    return key


def test_forms_are_those_of_the_commands(served: Served):
    told = served.ask("/api/jobs/kinds").json
    assert [each["name"] for each in told["kinds"]] == [kind.name for kind in KINDS]
    fields = served.ask("/api/jobs/form/extract").json["fields"]
    by_key = {each["key"]: each for each in fields}
    for key, spec in specs(ExtractOptions).items():
        assert by_key[key]["help"] == spec.help
        assert tuple(by_key[key]["choices"]) == spec.choices
    assert by_key["image_size"]["minimum"] == 64
    assert by_key["every"] | {"help": ""} == {
        "key": "every", "flag": "--every", "negative": "", "kind": "int", "help": "",
        "details": "", "group": "", "unit": "", "default": 1, "minimum": None, "maximum": None,
        "choices": [], "multiple": False, "label": "every",
    }  # fmt: skip
    amp = {each["key"] for each in served.ask("/api/jobs/form/train?class=AMP").json["fields"]}
    assert {"inter_dims", "batch_size", "save_every_iters", "recipe"} <= amp
    assert "archi" not in amp
    assert served.ask("/api/jobs/form/train?class=Nothing").status == 400
    assert served.ask("/api/jobs/form/doctor").status == 404


def test_no_form_takes_a_path_or_a_command(served: Served):
    told = served.ask("/api/jobs/kinds").json["kinds"]
    assert {name for kind in told for name in kind["classes"]} == {
        "SAEHD",
        "AMP",
        "Quick96",
        "XSeg",
    }
    for kind, offered in zip(KINDS, told, strict=True):
        entries = {each["key"]: each for each in describe(kind.command)}
        for name in offered["classes"] or [""]:
            for each in served.ask(f"/api/jobs/form/{kind.name}?class={name}").json["fields"]:
                assert entries[each["key"]]["kind"] != "path"
                assert each["key"] not in (
                    "after_save", "preview_dir", "log_json", "tensorboard", "init_from", "data",
                    "cluster", "reinit", "control_config", "control_set",
                )  # fmt: skip


def test_every_flag_is_one_of_the_command():
    for kind in KINDS:
        keys = {each["key"] for each in describe(kind.command)}
        assert set(kind.own) | set(kind.texts) | set(kind.resumed or ()) <= keys, kind.name


LINES = [
    ("extract", {"side": "src"}, {"wanted": "1:20", "every": 2, "smooth": False, "cpu": True},
     "extract ROOT --side src --frames=1:20 --every=2 --cpu --no-smooth"),
    ("extract", {"side": "dst"}, {"rotations": "0,90", "face_type": "f"},
     "extract ROOT --side dst --face-type=f --rotations=0,90"),
    ("sort", {"side": "dst"}, {"method": "blur"}, "faceset sort DST --by=blur"),
    ("group", {"side": "src"}, {"keep": [1, 3], "strictness": 0.25},
     "faceset group SRC --strictness=0.25 --keep=1 --keep=3"),
    ("report", {}, {"no_identity": True}, "faceset report SRC DST --no-identity"),
    ("video-extract", {"side": "src"}, {"kind": "jpg", "rate": "25"},
     "video extract ROOT/data_src.* --format=jpg --fps=25"),
    ("video-merge", {}, {"audio": False}, "video merge ROOT --no-audio"),
    ("xseg-train", {"model": "new"}, {"batch_size": 3}, "train ROOT --class XSeg --batch-size=3"),
    ("xseg-apply", {"side": "src"}, {}, "xseg apply SRC --model-dir MODEL"),
    ("xseg-apply", {"side": "dst"}, {"generic": True, "cpu": True},
     "xseg apply DST --generic --cpu"),
    ("xseg-fetch", {"side": "src"}, {}, "xseg fetch SRC"),
    ("xseg-remove", {"side": "src"}, {}, "xseg remove SRC --yes"),
    ("train", {"model": "new", "name": "old one", "class": "AMP"}, {"batch_size": 2},
     "train ROOT --class AMP --name 'old one' --batch-size=2"),
    ("train", {"model": None}, {"seed": 3, "recipe": "saehd-balanced"}, None),
    ("merge", {"model": None}, {"erode_mask_modifier": -5, "frames": ":9", "resume": True},
     "merge ROOT --class SAEHD --name new --frames=:9 --resume --erode-mask-modifier=-5"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "subject", "values", "line"), LINES)
def test_the_command_line_is_one_that_the_command_understands(
    served, root, kind, subject, values, line
):
    if subject.get("model", "") is None:
        subject = {"model": model_of(served)}
    if "recipe" in values:
        fields = served.ask("/api/jobs/form/train?class=SAEHD").json["fields"]
        recipe = next(each for each in fields if each["key"] == "recipe")["choices"][0]
        values = {**values, "recipe": recipe}
        line = f"train ROOT --class SAEHD --name new --recipe={recipe} --seed=3"
    asked = {"kind": kind, "values": values, **subject}
    answer = served.post("/api/jobs/line", asked)
    assert answer.status == 200, answer.json
    said = answer.json["line"]
    places = {
        str(root / "data_src" / "aligned"): "SRC", str(root / "data_dst" / "aligned"): "DST",
        str(root / "model"): "MODEL", str(root): "ROOT",
    }  # fmt: skip
    words = shlex.split(said)
    short = []
    for word in words:
        for place, name in places.items():
            word = word.replace(place, name)
        short.append(word)
    assert sorted(short) == sorted(shlex.split(f"dfl-tf {line}"))
    context, found = click.Context(command), command
    rest = words[1:]
    while isinstance(found, click.Group):
        found, rest = found.get_command(context, rest[0]), rest[1:]
    with found.make_context("dfl-tf", rest):
        pass  # it parses


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ({"kind": "extract", "side": "src", "values": {"faces": "/etc/passwd"}}, "faces is not"),
        ({"kind": "extract", "side": "src", "values": {"faces_file": "/etc/x"}}, "not an option"),
        ({"kind": "extract", "side": "src", "values": {"wanted": "1; ls"}}, "wanted=1; ls: give"),
        ({"kind": "extract", "side": "src", "values": {"wanted": "--x"}}, "give text"),
        ({"kind": "extract", "side": "src", "values": {"image_size": 9}}, "give 64 … 2048"),
        ({"kind": "extract", "side": "src", "values": {"image_size": "9"}}, "a whole number"),
        ({"kind": "extract", "side": "src", "values": {"smooth": 1}}, "true or false"),
        ({"kind": "extract", "side": "up", "values": {}}, "side"),
        ({"kind": "extract", "values": {}}, "src or dst"),
        ({"kind": "sort", "side": "src", "values": {"method": "sh -c"}}, "one of"),
        ({"kind": "sort", "side": "src", "values": {"copy_to": "/tmp/x"}}, "not an option"),
        ({"kind": "group", "side": "src", "values": {"keep": 1}}, "a list"),
        ({"kind": "doctor", "values": {}}, "kind"),
        ({"kind": "train", "model": "new", "name": "../x", "class": "SAEHD", "values": {}}, "name"),
        ({"kind": "train", "model": "new", "name": "x", "class": "XSeg", "values": {}}, "class"),
        ({"kind": "train", "model": "nothing", "values": {}}, "no such item"),
        ({"kind": "train", "model": "new", "name": "x", "class": "SAEHD",
          "values": {"after_save": "rm"}}, "after_save is not"),
        ({"kind": "train", "model": "new", "name": "x", "class": "SAEHD",
          "values": {"recipe": "/etc/x.yaml"}}, "recipe=/etc/x.yaml: give one of"),
        ({"kind": "extract", "side": "src", "values": {}, "words": ["sh"]}, "words is not known"),
    ],
)  # fmt: skip
def test_what_is_not_on_the_list_is_refused(served, work, root, asked, text):
    work()
    answer = served.post("/api/jobs/start", asked)
    assert answer.status in (400, 404, 409)
    assert text in answer.json["error"]
    assert not (root / "work.words").exists()
    assert not list((root / "jobs").glob("*"))


def test_a_job_goes_on_stops_and_is_resumed(served, work, root):
    words = work(seconds=600)
    assert start(served, "extract", {"overwrite": True, "every": 2}, side="src").status == 200
    job = wait(served, "extract", lambda job: job["done"] == 2)
    assert (job["state"], job["total"], job["left"]) == ("running", 3, 1)
    assert "extract 2/3" in job["log"]
    assert job["line"].endswith("--side src --every=2 --overwrite")
    twice = start(served, "extract", side="src")
    assert (twice.status, "runs on the same files" in twice.json["error"]) == (409, True)
    other = start(served, "sort", {"method": "blur"}, side="src")
    assert (other.status, "Extract faces" in other.json["error"]) == (409, True)
    assert served.post(f"/api/jobs/forget/{job['id']}", {}).status == 409
    served.post(f"/api/jobs/stop/{job['id']}", {})
    job = wait(served, "extract", ended)
    assert (job["state"], job["resumable"]) == ("stopped", True)
    assert words.read_text().splitlines()[-1].endswith("--every=2 --overwrite")
    work()
    served.post(f"/api/jobs/resume/{job['id']}", {})
    job = wait(served, "extract", ended)
    assert (job["state"], job["resumable"]) == ("done", False)
    assert words.read_text().splitlines()[-1].endswith("--side src --every=2")
    assert served.post(f"/api/jobs/forget/{job['id']}", {}).json["jobs"] == []


def test_what_is_said_of_a_job_is_of_one_moment(served, work, monkeypatch):
    work()
    start(served, "extract", side="src")
    ran = wait(served, "extract", ended)
    now = DetachedJob.state
    looks = itertools.count()

    def ends_between_two_looks(job):
        return replace(now(job), state=["running", "stopped"][next(looks) % 2])

    monkeypatch.setattr(DetachedJob, "state", ends_between_two_looks)
    seen = [the_job(served, "extract") for _ in range(2)]
    next(looks)
    seen += [the_job(served, "extract") for _ in range(2)]
    assert {job["state"] for job in seen} == {"running", "stopped"}
    assert all(job["resumable"] == (job["state"] == "stopped") for job in seen)
    assert all(job["id"] == ran["id"] for job in seen)


def test_a_job_that_was_killed_has_died_and_is_resumed(served, work):
    work(seconds=600)
    start(served, "merge", {"overwrite": True}, model=model_of(served))
    job = wait(served, "merge", lambda job: job["done"] == 2)
    tuner = served.ask(f"/api/tuner/merge/{model_of(served)}").json  # the same job
    assert (tuner["state"], tuner["done"]) == ("running", 2)
    record = served.context.workspace.model / "new_SAEHD_merge_job.json"
    os.killpg(json.loads(record.read_text())["group"], signal.SIGKILL)
    job = wait(served, "merge", ended)
    assert (job["state"], job["resumable"]) == ("died", True)
    words = work()
    served.post(f"/api/jobs/resume/{job['id']}", {})
    assert wait(served, "merge", ended)["state"] == "done"
    assert words.read_text().splitlines()[-1].endswith("--name new --resume")
    served.post(f"/api/jobs/forget/{job['id']}", {})


def test_a_plan_is_what_the_command_says(served, work):
    work(steps=0)
    asked = {"kind": "train", "values": {"seed": 3}, "model": model_of(served)}
    plan = served.post("/api/jobs/plan", asked).json["plan"]
    assert plan.endswith("--seed=3 --plan")
    work(steps=0, code=2)
    refused = served.post("/api/jobs/plan", asked)
    assert (refused.status, "--plan" in refused.json["error"]) == (409, True)
    none = served.post("/api/jobs/plan", {"kind": "extract", "values": {}, "side": "src"})
    assert "no plan" in none.json["error"]


def test_what_a_folder_from_elsewhere_says_is_not_run(served, work, root, tmp_path):
    words = work()
    (root / "jobs").mkdir(exist_ok=True)
    form = {"kind": "extract", "side": "src", "name": "", "model_class": "",
            "values": {"wanted": "$(touch x)"}}  # fmt: skip
    record = {"command": ["touch", str(tmp_path / "x")], "folder": "/", "began": 1.0, "group": 1,
              "code": 1, "ended": 2.0}  # fmt: skip
    (root / "jobs" / "extract-src.form").write_text(json.dumps(form))
    (root / "jobs" / "extract-src.json").write_text(json.dumps(record))
    job = the_job(served, "extract")
    assert (job["state"], job["line"]) == ("failed", "dfl-tf")
    refused = served.post(f"/api/jobs/resume/{job['id']}", {})
    assert (refused.status, "wanted=" in refused.json["error"]) == (400, True)
    assert not (tmp_path / "x").exists()
    assert not words.exists()
    form["values"] = {}
    for name in ("../extract-src.form", "sort-src.form"):  # under a name that is not its own
        (root / "jobs" / "extract-src.form").unlink(missing_ok=True)
        (root / "jobs" / name).write_text(json.dumps(form))
    assert served.ask("/api/jobs/list").json["jobs"] == []
    (root / "extract-src.form").unlink()
    (root / "jobs" / "sort-src.form").unlink()
    (root / "jobs" / "extract-src.json").unlink()
    outside = tmp_path / "outside"
    outside.write_text(json.dumps(form))
    (root / "jobs" / "extract-src.form").symlink_to(outside)
    assert served.ask("/api/jobs/list").json["jobs"] == []
    assert start(served, "extract", side="src").status == 409
    assert json.loads(outside.read_text()) == form


def test_read_only_starts_nothing(root, work, served):
    work()
    with serving(root, read_only=True) as closed:
        asked = {"kind": "extract", "values": {}, "side": "src"}
        for what in ("start", "plan", "line", "stop/x", "resume/x", "forget/x"):
            assert closed.post(f"/api/jobs/{what}", asked).status == 403
        assert closed.ask("/api/jobs/list").json == {"jobs": []}
    assert not (root / "jobs" / "extract-src.json").exists()


@pytest.mark.slow
def test_real_commands_do_what_their_forms_say(tmp_path):
    root = extracted_workspace(tmp_path / "project")
    aligned = root / "data_src" / "aligned"
    before = sorted(path.name for path in aligned.glob("*.jpg"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jobs, "program", job_answers.program)
        patch.setenv("PYTHONPATH", f"{Path(__file__).parents[2]}:{':'.join(sys.path)}")
        with serving(root) as served:
            asked = {"kind": "sort", "values": {"method": "brightness"}, "side": "src"}
            plan = served.post("/api/jobs/plan", asked)
            assert (plan.status, "8 faces are kept" in plan.json["plan"]) == (200, True), plan.json
            assert sorted(path.name for path in aligned.glob("*.jpg")) == before
            assert served.post("/api/jobs/start", asked).status == 200
            job = wait(served, "sort", ended)
            assert (job["state"], job["code"]) == ("done", 0), job["log"]
            names = [f"{i:05d}.jpg" for i in range(len(before))]
            assert sorted(path.name for path in aligned.glob("*.jpg")) == names
            training = {"kind": "train", "model": "new", "name": "new", "class": "SAEHD"}
            refused = served.post("/api/jobs/plan", {**training, "values": {"batch_size": 2}})
            assert (refused.status, "dst" in refused.json["error"]) == (409, True)
