"""Comparing two states of a model, by results as `dfl-tf evaluate --json` prints them."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest

from dfl_tf.evaluate.evaluator import FaceScore, Scores
from dfl_tf.evaluate.results import Evaluation, document
from dfl_tf.web.comparisons import NOW, Comparisons

from .support.served import serving
from .support.trainings import make_workspace

PLACE = "/api/compare/models"


def result(model: str, ssim: float, l1: float, face: str = "1.jpg", version: int = 1) -> Evaluation:
    scores = Scores({"ssim": ssim, "src_l1": l1}, (FaceScore("src", face, "00", {}),), 0, 0)
    return Evaluation(model, "SAEHD", 10, {"resolution": 64}, scores, True, version)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make_workspace(tmp_path / "project")


def asked(served, key: str) -> dict:
    return served.ask(f"{PLACE}/{key}").json


def run_to_the_end(served, key: str, first: str, second: str) -> dict:
    """Start a comparison by the names of the states, and wait for it."""
    ids = {state["name"]: state["id"] for state in asked(served, key)["states"]}
    answer = served.post(f"{PLACE}/{key}/start", {"first": ids[first], "second": ids[second]})
    assert answer.json == {"started": True}
    while (found := asked(served, key))["running"]["state"] == "running":
        time.sleep(0.02)
    return found


def test_two_states_are_measured_by_a_child(project, monkeypatch):
    lines = []

    def stand_in(self, model, states, sheet):
        lines.append(real(self, model, states, sheet))
        made = document([result("new", 0.7, 0.1), result("new young", 0.8, 0.2)])
        code = f"import sys; print('measuring', file=sys.stderr); print({json.dumps(made)!r})"
        return [sys.executable, "-c", code]

    real = Comparisons._line
    monkeypatch.setattr(Comparisons, "_line", stand_in)
    with serving(project) as served:
        key = served.context.id_of("model", "new_SAEHD")
        names = [state["name"] for state in asked(served, key)["states"]]
        assert names == [NOW, "young"]
        found = run_to_the_end(served, key, "young", NOW)
        assert found["running"] == {
            "model": key, "title": "now and young", "state": "done", "lines": ["measuring"],
        }  # fmt: skip
        (kept,) = found["results"]
        assert kept["refused"] == []
        assert kept["rows"] == [
            {"name": "ssim", "first": 0.7, "second": 0.8, "better": "second"},
            {"name": "src_l1", "first": 0.1, "second": 0.2, "better": "first"},
        ]
        assert kept["sheet"] is False
        assert served.ask(f"{PLACE}/{key}/sheets/{kept['id']}").status == 404
        assert served.ask(f"{PLACE}/{key}/sheets/..%2f..%2fx").status == 404
    (line,) = lines
    assert line[1:5] == ["-m", "dfl_tf", "evaluate", "--json"]
    assert line[-3:] == ["--", str(project), "young"]


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (result("new young", 0.8, 0.2, face="2.jpg"), "measured on other faces"),
        (result("new young", 0.8, 0.2, version=2), "metrics are of version 1 and 2"),
    ],
)
def test_what_does_not_compare_is_refused_with_the_reason(project, other, reason):
    folder = project / "model" / "new_SAEHD_compare"
    folder.mkdir()
    (folder / "a.json").write_text(json.dumps(document([result("new", 0.7, 0.1), other])))
    (folder / "b.json").write_text("{}")
    (folder / "a.jpg").write_bytes(b"x")
    with serving(project) as served:
        (kept,) = asked(served, served.context.id_of("model", "new_SAEHD"))["results"]
    assert reason in " ".join(kept["refused"])
    assert (kept["rows"], kept["sheet"]) == ([], False)


def test_a_failure_is_shown_and_only_states_of_the_listing_are_taken(project, monkeypatch):
    code = "import sys; print('error: <b>no</b> faces', file=sys.stderr); sys.exit(1)"
    monkeypatch.setattr(Comparisons, "_line", lambda *a: [sys.executable, "-c", code])
    with serving(project) as served:
        key = served.context.id_of("model", "new_SAEHD")
        found = run_to_the_end(served, key, NOW, "young")
        assert (found["running"]["state"], found["results"]) == ("failed", [])
        assert found["running"]["lines"] == ["error: <b>no</b> faces"]
        same = found["states"][0]["id"]
        for first, second, status in ((same, same, 400), (same, "/etc", 404), ("young", NOW, 404)):
            body = {"first": first, "second": second}
            assert served.post(f"{PLACE}/{key}/start", body).status == status
