"""Every row of the legacy command table, and that the new spelling exists."""

from __future__ import annotations

import importlib
from pathlib import Path

import click
import pytest

from dfl_tf.cli import main as main_module
from dfl_tf.cli.legacy_argv import Translation, translate
from dfl_tf.cli.legacy_table import UTIL, VERBS
from dfl_tf.cli.main import COMMANDS
from dfl_tf.errors import UsageError

TRAIN = (
    "train --training-data-src-dir s --training-data-dst-dir d --pretraining-data-dir p "
    "--model-dir m --model SAEHD"
)
ROWS = {
    TRAIN: "train --src s --dst d --pretrain-dir p --model-dir m --model SAEHD",
    "train --training-data-src-dir=s --training-data-dst-dir=d --model-dir=m --model=AMP": (
        "train --src s --dst d --model-dir m --model AMP"
    ),
    "train --model Quick96 --no-preview --force-model-name n --cpu-only --silent-start": (
        "train --model Quick96 --no-preview --name n --cpu"
    ),
    "train --model XSeg --force-gpu-idxs 0,1": "train --model XSeg --devices 0,1",
    "train --training-data-src-dir s --ae-dims 64": "train --src s --ae-dims 64",
    "train --training-data-src-dir a --pretrained-model-dir q": (
        "train --src a --pretrained-model-dir q"
    ),
    "train --saving-time 5 --tensorboard-logdir t --config-training-file c --reduce-clutter": (
        "train --save-every 5 --tensorboard t --config c"
    ),
    f"{TRAIN} --execute-program -3600 save() --start-tensorboard --flask-preview "
    "--auto-gen-config": "train --src s --dst d --pretrain-dir p --model-dir m --model SAEHD",
    "merge --input-dir f --model SAEHD --resume": "merge --frames-dir f --model SAEHD --resume",
    "merge w --cpu-only --reduce-clutter": "merge w --cpu",
    "merge --input-dir f --output-dir o --output-mask-dir k --aligned-dir a --model-dir m "
    "--model SAEHD --force-model-name n --cpu-only": (
        "merge --frames-dir f --output-dir o --output-mask-dir k --aligned-dir a --model-dir m "
        "--model SAEHD --name n --cpu --overwrite"
    ),
    "merge --input-dir f --force-gpu-idxs 1": "merge --frames-dir f --devices 1 --overwrite",
    "exportdfm --model-dir m --model SAEHD": "export dfm m --class SAEHD",
    "util --input-dir i --pack-faceset": "faceset pack i",
    "util --unpack-faceset --input-dir i": "faceset unpack i",
    "util --input-dir i --save-faceset-metadata": "faceset save-metadata i",
    "util --input-dir i --restore-faceset-metadata": "faceset restore-metadata i",
    "extract --input-dir i --output-dir o --detector s3fd": (
        "extract i o --detector auto --resume-or-trash"
    ),
    "extract --input-dir i --output-dir o --face-type half_face --max-faces-from-image 2 "
    "--image-size 512 --jpeg-quality 95 --output-debug --manual-fix --manual-window-size 0 "
    "--cpu-only": (
        "extract i o --face-type h --max-faces 2 --image-size 512 --jpeg-quality 95 --debug-images "
        "--cpu --resume-or-trash"
    ),
    "extract --input-dir i --output-dir o --face-type head --no-output-debug": (
        "extract i o --face-type head --no-debug-images --resume-or-trash"
    ),
    "extract --input-dir i --output-dir o --force-gpu-idxs 0": "extract i o --resume-or-trash",
    "extract --detector manual --input-dir i --output-dir o --manual-output-debug-fix": (
        "extract i o --redo-missing-debug"
    ),
    "extract --extract-from-video --input-video v --output-dir o --fps 0 --chunk-size 50": (
        "extract v o --resume-or-trash"
    ),
    "sort --input-dir i": "faceset sort i --by=hist",
    "sort --input-dir i --by final-by-blur": "faceset sort i --by final-by-blur",
    "util --input-dir i --archive-type pak --pack-faceset": "faceset pack i",
    "facesettool resize --input-dir i": "faceset resize i",
    "facesettool enhance --input-dir i --cpu-only": "faceset enhance i",
    "facesettool enhance --input-dir i --force-gpu-idxs 0": "faceset enhance i",
    "util --input-dir i --add-landmarks-debug-images": "faceset landmarks-images i",
    "util --input-dir i --recover-original-aligned-filename": "faceset recover-names i",
    "util --input-dir i --export-faceset-mask": "faceset export-masks i",
    "xseg apply --input-dir i --model-dir m": "xseg apply i --model-dir m",
    "xseg remove --input-dir i": "xseg remove i --yes",
    "xseg remove_labels --input-dir i": "xseg remove-labels i",
    "xseg fetch --input-dir i": "xseg fetch i",
    "videoed extract-video --input-file v.* --output-dir o --output-ext png --fps 0": (
        "video extract v.* o --format png --fps '' --overwrite"
    ),
    "videoed denoise-image-sequence --input-dir i --factor 3": "video denoise i --factor 3",
    "videoed cut-video --input-file v --from-time 1 --to-time 2 --audio-track-id 0 --bitrate 25": (
        "video cut v --from-time 1 --to-time 2 --audio-track-id 0 --bitrate 25"
    ),
    "videoed video-from-sequence --input-dir i --output-file o.mp4 --reference-file r.* --ext png "
    "--fps 25 --bitrate 16 --include-audio --lossless": (
        "video merge i --output o.mp4 --reference r.* --fps 25 --bitrate 16 --audio --lossless"
    ),
    "videoed video-from-sequence --input-dir i --output-file o.mp4": (
        "video merge i --output o.mp4 --no-audio"
    ),
}
HELP = {
    "util -h": "faceset --help",
    "exportdfm --help": "export dfm --help",
    "videoed extract-video -h": "video extract --help",
    "xseg remove_labels -h": "xseg remove-labels --help",
}
REFUSED = {
    "extract --input-dir i --output-dir o --detector manual": "it needs a window",
    "extract --input-dir i": '"extract" needs --output-dir',
    "sort --by hist": '"sort" needs --input-dir',
    "sort --input-dir i --what": "has no --what",
    "ampconverter --model-dir m": "ampconverter is not implemented",
    "latent --model-dir m": "latent is an internal command",
    "util --input-dir i --archive-type zip --pack-faceset": "--archive-type zip is not implemented",
    "xseg editor --input-dir i": "xseg editor needs a window",
    f"{TRAIN} --gen-snapshot": "--gen-snapshot is not implemented",
    f"{TRAIN} --src-pak-name a": "give the folder with --src",
    f"{TRAIN} --dst-pak-name a": "give the folder with --dst",
    "merge --input-dir i --pak-name a": "give the folder with --aligned-dir",
    f"{TRAIN} --debug": "train --debug is not implemented",
    "dev_test": "dev_test is an internal command",
    "util --input-dir i": "util needs one of",
    "util --pack-faceset": '"util" needs --input-dir',
    "util --input-dir i --pack-faceset --what": '"util" has no --what',
    "exportdfm --model-dir m": '"exportdfm" needs --model',
    "videoed": "videoed needs a command",
    "videoed cut": '"videoed cut" is not a command',
    "videoed cut-video --input-file": "needs a value",
    "videoed cut-video --input-file v --what": "has no --what",
}
NEW = [
    "",
    "train workspace --ae-dims 64",
    "train --src s --dst d --model-dir m --model SAEHD",
    "merge workspace --model AMP",
    "xseg apply folder --model-dir m",
    "extract workspace --side src --face-type wf",
    "extract frames faces --detector s3fd --image-size 512",
    "xseg remove folder --yes",
    "export dfm m --name n --class SAEHD",
    "video extract v o",
    "--help",
    "--version",
]


@pytest.mark.parametrize(("old", "new"), (ROWS | HELP).items())
def test_old_lines_are_translated(old: str, new: str) -> None:
    words = ["" if word == "''" else word for word in new.split()]
    if "--training-data-src-dir" in old:
        words.append("--ask-new")
    translated = translate(old.split())
    assert translated.argv == words
    first = f"note: the old spelling was understood as: dfl-tf {words[0]} "
    assert translated.notes[0].startswith(first)


@pytest.mark.parametrize(("old", "message"), REFUSED.items())
def test_what_is_not_there_is_refused_by_name(old: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        translate(old.split())
    assert message in str(caught.value)


@pytest.mark.parametrize("line", NEW)
def test_new_lines_are_left_alone(line: str) -> None:
    assert translate(line.split(), count_gpus=lambda: 0) == Translation(line.split())


def test_programs_of_a_line_are_named_and_not_run() -> None:
    line = translate([*TRAIN.split(), "--execute-program", "-3600", "model.save()"])
    assert len(line.notes) == 2
    assert "warning: --execute-program -3600 'model.save()' is ignored" in line.notes[1]
    assert "--save-every MINUTES" in line.notes[1]
    assert '--after-save "COMMAND ARG ..."' in line.notes[1]


@pytest.mark.parametrize("line", [TRAIN, "merge --input-dir i"])
@pytest.mark.parametrize("flag", ["--force-gpu-idxs 0,1", "--force-gpu-idxs=0,1"])
def test_gpus_of_an_old_line_where_there_are_none(line: str, flag: str) -> None:
    found = translate([*line.split(), *flag.split()], count_gpus=lambda: 0)
    assert "--cpu" in found.argv
    assert "--devices" not in found.argv
    assert any("0,1: no GPU was found; the CPU is used" in note for note in found.notes)
    assert "--cpu" not in translate([*line.split(), *flag.split()], count_gpus=lambda: 2).argv


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("merge --input-dir i", "output of this line is replaced; --resume continues it"),
        ("videoed extract-video --input-file v --output-dir o", "output of this line is replaced"),
        ("util --input-dir i --pack-faceset", "the originals stay"),
        ("xseg fetch --input-dir i", "the originals stay"),
        ("extract --input-dir i --output-dir o", "faces of another one go to the trash folder"),
        ("sort --input-dir i --by hue", "is added to the trash folder"),
    ],
)
def test_what_becomes_of_earlier_files_is_said(line: str, says: str) -> None:
    assert says in translate(line.split()).notes[-1]


def test_several_actions_of_util_run_in_their_old_order() -> None:
    made = translate(["util", "--input-dir", "i", "--pack-faceset", "--save-faceset-metadata"])
    assert made.argv == ["faceset", "save-metadata", "i"]
    assert made.more == (["faceset", "pack", "i"],)
    assert made.notes[-1] == "note: and then: dfl-tf faceset pack i"


def test_a_line_of_several_actions_stops_where_one_fails(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    both = ["util", "--input-dir", str(tmp_path), "--save-faceset-metadata", "--unpack-faceset"]
    ran: list[list[str]] = []
    codes = {"save-metadata": 0, "unpack": 0}

    def main(args: list[str], **_: object) -> int:
        ran.append(args)
        return codes[args[1]]

    monkeypatch.setattr(main_module.command, "main", main)
    assert main_module.run(both) == 0
    assert [args[1] for args in ran] == ["save-metadata", "unpack"]
    ran.clear()
    codes["save-metadata"] = 1
    assert main_module.run(both) == 1
    assert [args[1] for args in ran] == ["save-metadata"]


def test_what_needed_a_window_is_said() -> None:
    line = "extract --input-dir i --output-dir o --manual-fix --manual-window-size 9"
    notes = translate(line.split()).notes
    assert "warning: --manual-fix is ignored: it needs a window" in notes[1]
    assert "--faces FILE.json" in notes[1]
    assert "warning: --manual-window-size 9 is ignored" in notes[2]


def test_lines_of_the_new_spelling_never_replace_by_themselves() -> None:
    for line in ("merge w --cpu-only", "merge --frames-dir f --model-dir m --force-gpu-idxs 0"):
        assert "--overwrite" not in translate(line.split()).argv


def test_every_row_of_the_table_has_a_test() -> None:
    lines = [*ROWS, *REFUSED]
    for words, verb in VERBS.items():
        mine = [line for line in lines if line.split()[: len(words)] == list(words)]
        assert mine, words
        for flag in verb.flags:
            assert any(flag in line for line in mine), (words, flag)
    for flag in UTIL:
        assert any(flag in line for line in lines if line.startswith("util")), flag


@pytest.mark.parametrize("line", ROWS.values())
def test_translations_name_existing_commands_and_flags(line: str) -> None:
    words = line.split()
    command = importlib.import_module(f"dfl_tf.cli.{COMMANDS[words[0]][0]}").command
    rest = words[1:]
    context = click.Context(command)
    while isinstance(command, click.Group):
        found = command.get_command(context, rest.pop(0))
        assert found is not None, line
        command = found
    known = {name for item in command.params for name in (*item.opts, *item.secondary_opts)}
    for word in rest:
        if word.startswith("--"):
            assert word.partition("=")[0] in known, (line, word)


MVE = {
    "train": (
        "--saving-time --tensorboard-logdir --start-tensorboard --flask-preview --auto-gen-config "
        "--config-training-file --src-pak-name --dst-pak-name --gen-snapshot --reduce-clutter"
    ),
    "merge": "--pak-name --reduce-clutter",
    "extract": "--extract-from-video --input-video --fps --chunk-size",
    "ampconverter": "",
    "latent": "",
}
"""Flags and verbs that the fork adds (old-windows.md 4.1), but that of util."""


@pytest.mark.parametrize("verb", MVE)
def test_each_flag_of_mve_is_known_or_has_a_reason(verb: str) -> None:
    rule = VERBS[(verb,)]
    assert rule.refuse or MVE[verb]
    for name in MVE[verb].split():
        flag = rule.flags[name]
        silent = {"--reduce-clutter", "--extract-from-video", "--chunk-size"}  # nothing is lost
        spoken = flag.refuse or flag.ignored or flag.new or flag.position is not None
        assert spoken or name in silent, name


def test_a_folder_of_mve_options_means_the_file_in_it(tmp_path: Path) -> None:
    line = ["train", "--config-training-file", str(tmp_path), "--model", "SAEHD"]
    expected = ["train", "--config", str(tmp_path / "def_conf_file.yaml"), "--model", "SAEHD"]
    assert translate(line).argv == expected


def test_what_mve_served_is_named(tmp_path: Path) -> None:
    (_, *notes) = translate(["train", "w", "--flask-preview"]).notes
    assert any("dfl-tf web WORKSPACE" in note for note in notes)
    with pytest.raises(UsageError, match="dfl-tf evaluate"):
        translate(["train", "w", "--gen-snapshot"])
