"""`dfl-tf model …` as a user meets it: text, JSON, exit codes."""

from __future__ import annotations

import base64
import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

from dfl_tf.cli.model import command
from dfl_tf.cli.model_lines import loss_lines
from dfl_tf.errors import DflTfError, UsageError
from dfl_tf.formats import read_model, write_model
from tests.formats.samples import make_state


def run(*arguments: object, code: int = 0) -> Result:
    result = CliRunner().invoke(command, [str(argument) for argument in arguments])
    assert result.exit_code == code, (result.output, result.exception)
    return result


def run_json(*arguments: object, code: int = 0) -> Any:
    return json.loads(run(*arguments, "--json", code=code).stdout)


def run_error(kind: type[DflTfError], *arguments: object) -> str:
    result = CliRunner().invoke(command, [str(argument) for argument in arguments])
    assert isinstance(result.exception, kind), (result.output, result.exception)
    return str(result.exception)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_model(tmp_path / "model", "my model", make_state(), summary="text")
    return tmp_path / "model"


def test_show_says_what_the_model_is(folder: Path) -> None:
    shown = run("show", folder, "--name", "my model", "--class", "SAEHD").stdout
    for text in ("SAEHD, legacy format", "iteration  7", "fork_key", "encoder", "src_dst_opt"):
        assert text in shown
    assert "loss 0: 0.5000 to 0.0714 over 7 entries" in shown
    assert "█" in shown


def test_show_says_how_good_the_model_was(folder: Path, tmp_path: Path) -> None:
    assert "quality" not in run("show", folder).stdout
    rows = [
        {"iteration": i, "value": v, "metrics": {"ssim": v}, "key": "k", "best": v == 0.9}
        for i, v in ((5, 0.9), (7, 0.8))
    ]
    state = make_state()
    measured = {"validation": rows, "holdout": {"share": 0.05, "since": 0}}
    write_model(folder, "my model", replace(state, run={**state.run, **measured}))
    plot = tmp_path / "plot.png"
    shown = run("show", folder, "--plot", plot).stdout
    for text in (
        "held out of training: 0.05 of the faces, since iteration 0",
        "quality at iteration 7: ssim 0.8000",
        "best at iteration 5: ssim 0.9000",
    ):
        assert text in shown
    assert plot.stat().st_size > 1000
    assert run_json("show", folder)["run"]["validation"] == rows


def test_show_as_json_compares_options_with_tensors(folder: Path) -> None:
    facts = run_json("show", folder)
    assert (facts["name"], facts["class"], facts["iteration"]) == ("my model", "SAEHD", 7)
    assert facts["parts"]["encoder"]["parameters"] == 304
    assert facts["inferred"]["e_dims"] == {"tensors": 4, "options": None, "agree": False}
    assert len(facts["files"]) == 6
    assert facts["loss"]["entries"] == 7
    assert "DISAGREES with the options: e_dims" in run("show", folder).stdout


def test_untrusted_values_do_not_reach_the_terminal_raw(tmp_path: Path) -> None:
    options = {"evil\x1b[2J": "\x1b]0;title\x07", "long": "B" * 100_000, "two": "a\nb"}
    write_model(tmp_path, "x", replace(make_state(), options=options))
    shown = run("show", tmp_path).stdout
    assert "\x1b" not in shown
    assert r"\x1b]0;title\x07" in shown
    assert r"a\nb" in shown
    assert "(100000 characters)" in shown
    assert max(map(len, shown.splitlines())) < 500


def test_json_is_strict_where_a_loss_is_no_number(tmp_path: Path) -> None:
    state = make_state()
    write_model(tmp_path, "x", replace(state, loss_history=[[math.nan, math.inf]]))
    text = run("show", tmp_path, "--json").stdout
    assert json.loads(text, parse_constant=pytest.fail)["loss"]["last"] == [None, None]


def test_show_draws_a_plot(folder: Path, tmp_path: Path) -> None:
    run("show", folder, "--plot", tmp_path / "loss.png")
    assert cv2.imread(str(tmp_path / "loss.png")).shape == (480, 960, 3)


@pytest.mark.usefixtures("drawn_loss_plots")
def test_a_plot_has_what_the_log_beside_the_model_tells(folder: Path, tmp_path: Path) -> None:
    row = {"event": "iteration", "time": 1.0, "iteration": 3, "scalars": {"term/gan": 0.5}}
    (folder / "my model_SAEHD_log.jsonl").write_text(json.dumps(row) + "\n")
    run("show", folder, "--plot", tmp_path / "loss.png")
    assert cv2.imread(str(tmp_path / "loss.png")).shape == (660, 960, 3)


def test_a_card_is_one_page_without_scripts(folder: Path, tmp_path: Path) -> None:
    rows = [{"iteration": 5, "value": 0.9, "metrics": {"ssim": 0.9}, "key": "k", "best": True}]
    state = make_state()
    options = {**state.options, "evil": "<script>alert(1)</script>", "long": "B" * 10_000}
    run_state = {**state.run, "validation": rows}
    write_model(folder, "my model", replace(state, options=options, run=run_state))
    previews = folder / "my model_SAEHD_preview"
    history = folder / "my model_SAEHD_history" / "SAEHD"
    for place, names in ((previews, ("SAEHD", "SAEHD masks")), (history, range(0, 300, 10))):
        place.mkdir(parents=True)
        for name in names:
            file = place / (f"{name:07d}.jpg" if isinstance(name, int) else f"{name}.jpg")
            cv2.imwrite(str(file), np.full((30, 2000, 3), 90, np.uint8))
    run("snapshot", folder, "first", "--note", "<b>before the GAN</b>")
    (previews / "broken.jpg").write_bytes(b"no image")
    said = run("card", folder, "-o", tmp_path / "card.html")
    assert f"page: {tmp_path / 'card.html'}" in said.stdout
    assert "not on the page: broken.jpg" in said.stderr
    page = (tmp_path / "card.html").read_text()
    assert "default-src 'none'; img-src data:" in page
    assert "<script" not in page
    for text in (
        "<h1>my model (SAEHD), iteration 7</h1>", "&lt;script&gt;alert(1)&lt;/script&gt;",
        "&lt;b&gt;before the GAN&lt;/b&gt;", "<td>0.9000</td><td>best so far</td>",
        "(10000 characters)", "<h3>now, at iteration 7</h3>", "snapshot first, iteration 7",
        "<p>iteration 0</p>", "<p>iteration 290</p>",
    ):  # fmt: skip
        assert text in page, text
    # the plot, two previews, the same in the snapshot, eight of the history
    images = re.findall(r'src="data:image/(png|jpeg);base64,([^"]+)"', page)
    assert [kind for kind, _ in images] == ["png"] + ["jpeg"] * 12
    sizes = [cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), 1).shape[1]
             for _, data in images]  # fmt: skip
    assert sizes == [960] + [1000] * 12


def test_a_card_lies_beside_the_model(folder: Path) -> None:
    run("card", folder)
    page = (folder / "my model_SAEHD_card.html").read_text()
    assert "<h2>Losses</h2>" in page
    assert "There are none." in page


def test_list_shows_all_models_newest_first(folder: Path) -> None:
    write_model(folder, "b", make_state(model_class="AMP"), format="native")
    listed = run_json("list", folder)
    assert {(m["name"], m["model_class"], m["format"]) for m in listed} == {
        ("my model", "SAEHD", "legacy"),
        ("b", "AMP", "native"),
    }
    assert "my model" in run("list", folder).stdout


def test_model_that_is_not_there_is_an_error(folder: Path) -> None:
    assert "my model (SAEHD)" in run_error(
        DflTfError, "show", folder, "--name", "x", "--class", "SAEHD"
    )
    assert "there is no XSeg model" in run_error(DflTfError, "show", folder, "--class", "XSeg")
    write_model(folder, "my model", make_state(model_class="AMP"))
    assert "Give the class" in run_error(UsageError, "show", folder, "--name", "my model")


def test_diff_exits_1_and_says_what_differs(folder: Path, tmp_path: Path) -> None:
    write_model(tmp_path / "same", "my model", make_state(), format="native")
    assert "equal in every" in run("diff", folder, tmp_path / "same").stdout
    write_model(tmp_path / "other", "my model", make_state(8))
    shown = run("diff", folder, tmp_path / "other", code=1).stdout
    assert "iteration  7 / 8" in shown
    assert "encoder: 1 tensors differ" in shown
    assert run_json("diff", folder, tmp_path / "other", code=1)["same"] is False


def test_scan_exits_1_and_names_what_is_refused(folder: Path) -> None:
    shown = run("scan", folder).stdout
    assert "5 files looked at" in shown
    assert "1 files of other kinds were not looked at (1 .txt)" in shown
    assert run_json("scan", folder)["not_looked_at"] == [str(folder / "my model_SAEHD_summary.txt")]
    (folder / "evil_SAEHD_encoder.npy").write_bytes(b"cos\nsystem\n.")
    shown = run("scan", folder, code=1).stdout
    assert "REFUSED" in shown
    assert "os.system" in shown
    facts = run_json("scan", folder / "evil_SAEHD_encoder.npy", code=1)
    assert facts["files"][0]["refused"] == ["os.system"]


@pytest.mark.parametrize("to", ["native", "legacy"])
def test_convert_prints_and_stores_its_proof(to: str, tmp_path: Path) -> None:
    source, target = tmp_path / "a", tmp_path / "b"
    write_model(source, "x", make_state(), format="legacy" if to == "native" else "native")
    shown = run("convert", source, target, "--to", to, "--files-only").stdout
    assert "5 of 5 equal by SHA-256" in shown
    assert shown.rstrip().endswith("PASSED")
    assert json.loads((target / "x_SAEHD_conversion.json").read_text())["passed"]
    assert read_model(target, "x", "SAEHD").iteration == 7


def test_backup_rename_restore(folder: Path) -> None:
    assert run_json("backup", folder)["iteration"] == 7
    write_model(folder, "my model", make_state(9))
    assert "is now new" in run("rename", folder, "new", "--name", "my model").stdout
    assert read_model(folder, "new", "SAEHD").iteration == 9
    assert "back at iteration 7" in run("restore", folder, "--yes").stdout
    assert read_model(folder, "new", "SAEHD").iteration == 7
    assert "Backups there: 01" in run_error(DflTfError, "restore", folder, "--from", "07", "--yes")


def test_restore_of_a_model_that_is_gone(folder: Path) -> None:
    write_model(folder, "a_b", make_state(3, model_class="AMP"))
    for name in ("my model", "a_b"):
        run("backup", folder, "--name", name)
    for path in [p for p in folder.iterdir() if p.is_file()]:
        path.unlink()
    message = run_error(DflTfError, "restore", folder, "--yes")
    assert "a_b (AMP), my model (SAEHD). Name one" in message
    assert "back at iteration 3" in run("restore", folder, "--name", "a_b", "--yes").stdout
    run("restore", folder, "--class", "SAEHD", "--from", "1", "--yes")
    assert read_model(folder, "my model", "SAEHD").iteration == 7


def test_restore_asks_first(folder: Path) -> None:
    run("backup", folder)
    write_model(folder, "my model", make_state(9))
    result = CliRunner().invoke(command, ["restore", str(folder)], input="n\n")
    assert result.exit_code == 1
    assert read_model(folder, "my model", "SAEHD").iteration == 9


def test_backup_of_a_damaged_model_is_refused(folder: Path) -> None:
    write_model(folder, "my model", make_state(9))
    (folder / "my model_SAEHD_encoder.npy").write_bytes(b"damage")
    assert "Nothing was backed up" in run_error(DflTfError, "backup", folder)


def test_loss_lines_take_gaps_and_constants() -> None:
    history = [[math.nan, 1.0], [2.0, 1.0], [math.inf, 1.0], [1.0, 1.0]]
    lines = loss_lines(history, width=4, height=2)
    assert lines[0] == "loss 0: 2.0000 to 1.0000 over 4 entries"
    assert lines[1] == "   2.0000 │ █  "
    assert lines[2] == "   1.0000 │ █ ▁"
    assert loss_lines([]) == ["no loss history"]
    assert loss_lines([[1.0], []], height=1)[0] == "loss 0: 1.0000 to 1.0000 over 2 entries"
    assert len(loss_lines([[1.0] * 1000])) < 100
    long = np.random.default_rng(0).random((5000, 1)).tolist()
    assert max(map(len, loss_lines(long))) <= 75
