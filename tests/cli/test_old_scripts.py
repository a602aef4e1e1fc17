"""Every script of DeepFaceLab's releases (old-windows.md 1): its command line as it stands in it.

What the line becomes is parsed by the command that it names, with its folders in place, so a flag
that is renamed or a choice that goes is seen here.
"""

from __future__ import annotations

import importlib
from pathlib import Path

import click
import pytest

from dfl_tf.cli.legacy_argv import translate
from dfl_tf.cli.main import COMMANDS
from dfl_tf.errors import UsageError

SRC, DST, MODEL, INTERNAL = "w/data_src", "w/data_dst", "w/model", "internal"
SA, DA = f"{SRC}/aligned", f"{DST}/aligned"
SETS = f"--training-data-src-dir {SA} --training-data-dst-dir {DA} --model-dir {MODEL}"
PRETRAIN = f"--pretraining-data-dir {INTERNAL}/pretrain_faces"
ALL_DST = f"extract --input-dir {DST} --output-dir {DA} --max-faces-from-image 0 --output-debug"
MERGE = (
    f"merge --input-dir {DST} --output-dir {DST}/merged --output-mask-dir {DST}/merged_mask "
    f"--aligned-dir {DA} --model-dir {MODEL} --model"
)
VIDEO = f"videoed video-from-sequence --reference-file {DST}.* --input-dir"

SCRIPTS = {
    "2) frames of data_src": (
        f"videoed extract-video --input-file {SRC}.* --output-dir {SRC}", "video extract"),
    "3) cut video": ("videoed cut-video --input-file w/data_src.mp4", "video cut"),
    "3) frames of data_dst": (
        f"videoed extract-video --input-file {DST}.* --output-dir {DST} --fps 0", "video extract"),
    "3.optional) denoise": (
        f"videoed denoise-image-sequence --input-dir {DST}", "video denoise"),
    "3.optional) denoise, factor": (
        f"videoed denoise-image-sequence --input-dir {DST} --factor 3", "video denoise"),
    "4) data_src extract": (
        f"extract --input-dir {SRC} --output-dir {SA} --detector s3fd", "extract"),
    "4.2) data_src sort": (f"sort --input-dir {SA}", "faceset sort"),
    "4.2) metadata save": (
        f"util --input-dir {SA} --save-faceset-metadata", "faceset save-metadata"),
    "4.2) metadata restore": (
        f"util --input-dir {SA} --restore-faceset-metadata", "faceset restore-metadata"),
    "4.2) pack": (f"util --input-dir {SA} --pack-faceset", "faceset pack"),
    "4.2) unpack": (f"util --input-dir {SA} --unpack-faceset", "faceset unpack"),
    "4.2) enhance": (f"facesettool enhance --input-dir {SA}", "faceset enhance"),
    "4.2) resize": (f"facesettool resize --input-dir {SA}", "faceset resize"),
    "4.2) recover names": (
        f"util --input-dir {SA} --recover-original-aligned-filename", "faceset recover-names"),
    "4.2) landmarks": (
        f"util --input-dir {SA} --add-landmarks-debug-images", "faceset landmarks-images"),
    "5) data_dst extract": (f"{ALL_DST} --detector s3fd", "extract"),
    "5) data_dst extract + manual fix": (f"{ALL_DST} --detector s3fd --manual-fix", "extract"),
    "5) RE-EXTRACT DELETED": (
        f"{ALL_DST} --detector manual --manual-output-debug-fix", "extract"),
    "5.2) data_dst sort": (f"sort --input-dir {DA}", "faceset sort"),
    "5.2) pack": (f"util --input-dir {DA} --pack-faceset", "faceset pack"),
    "5.2) resize": (f"facesettool resize --input-dir {DA}", "faceset resize"),
    "5.XSeg) fetch": (f"xseg fetch --input-dir {DA}", "xseg fetch"),
    "5.XSeg) mask - remove": (f"xseg remove_labels --input-dir {DA}", "xseg remove-labels"),
    "5.XSeg) apply": (f"xseg apply --input-dir {DA} --model-dir {MODEL}", "xseg apply"),
    "5.XSeg Generic) apply": (
        f"xseg apply --input-dir {DA} --model-dir {INTERNAL}/model_generic_xseg", "xseg apply"),
    "5.XSeg) trained mask - remove": (f"xseg remove --input-dir {DA}", "xseg remove"),
    "5.XSeg) train": (f"train {SETS} --model XSeg", "train"),
    "5.XSeg) train (W)": (f"train {SETS} {PRETRAIN} --model XSeg", "train"),
    "6) train SAEHD": (f"train {SETS} {PRETRAIN} --model SAEHD", "train"),
    "6) train AMP": (f"train {SETS} {PRETRAIN} --model AMP", "train"),
    "6) train Quick96": (
        f"train {SETS} {PRETRAIN} --pretrained-model-dir {INTERNAL}/pretrain_Quick96 "
        "--model Quick96", "train"),
    "6) train SAEHD_no_preview": (f"train {SETS} {PRETRAIN} --model SAEHD --no-preview", "train"),
    "6) train AMP SRC-SRC": (
        f"train --training-data-src-dir {SA} --training-data-dst-dir {SA} --model-dir {MODEL} "
        "--model AMP", "train"),
    "6) export SAEHD as dfm": (f"exportdfm --model-dir {MODEL} --model SAEHD", "export dfm"),
    "6) export AMP as dfm": (f"exportdfm --model-dir {MODEL} --model AMP", "export dfm"),
    "7) merge SAEHD": (f"{MERGE} SAEHD", "merge"),
    "7) merge AMP": (f"{MERGE} AMP", "merge"),
    "7) merge Quick96": (f"{MERGE} Quick96", "merge"),
    "8) to mp4": (
        f"{VIDEO} {DST}/merged --output-file w/result.mp4 --include-audio", "video merge"),
    "8) mask": (
        f"{VIDEO} {DST}/merged_mask --output-file w/result_mask.mp4 --lossless", "video merge"),
    "8) mov lossless": (
        f"{VIDEO} {DST}/merged --output-file w/result.mov --include-audio --lossless",
        "video merge"),
}  # fmt: skip
"""Script: its line, and the command here that carries it out."""

WINDOWS = {
    "4) data_src extract MANUAL": (
        f"extract --input-dir {SRC} --output-dir {SA} --detector manual", "--faces FILE.json"),
    "5) data_dst extract MANUAL": (f"{ALL_DST} --detector manual", "--faces FILE.json"),
    "5.XSeg) mask - edit": (f"xseg editor --input-dir {DA}", "Draw the polygons with"),
}  # fmt: skip
"""Scripts that cannot be carried out: their line, and what is named to use instead."""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("old")
    for name in (SA, DA, MODEL, f"{DST}/merged", f"{DST}/merged_mask", f"{INTERNAL}/model"):
        (root / name).mkdir(parents=True)
    return root


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_runs_as_it_stands(
    script: str, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workspace)
    line, expected = SCRIPTS[script]
    words = translate(line.split()).argv
    command = importlib.import_module(f"dfl_tf.cli.{COMMANDS[words[0]][0]}").command
    path, rest = [words[0]], words[1:]
    while isinstance(command, click.Group):
        path.append(rest[0])
        found = command.get_command(click.Context(command), rest.pop(0))
        assert found is not None, path
        command = found
    assert " ".join(path) == expected
    command.make_context(path[-1], rest)  # parses; raises what the user would be told


@pytest.mark.parametrize("script", WINDOWS)
def test_what_needs_a_window_names_what_to_use_instead(script: str) -> None:
    line, instead = WINDOWS[script]
    with pytest.raises(UsageError) as caught:
        translate(line.split())
    assert instead in str(caught.value)
