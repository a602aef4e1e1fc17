"""Every row of the legacy command table, and that the new spelling exists."""

from __future__ import annotations

import importlib

import click
import pytest

from dfl_tf.cli.legacy_argv import UTIL, UTIL_REFUSED, VERBS, Translation, translate
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
    "xseg apply --input-dir i --model-dir m": "xseg apply i --model-dir m",
    "xseg remove --input-dir i": "xseg remove i --yes",
    "xseg remove_labels --input-dir i": "xseg remove-labels i",
    "xseg fetch --input-dir i": "xseg fetch i",
    "videoed extract-video --input-file v.* --output-dir o --output-ext png --fps 0": (
        "video extract v.* o --format png --fps '' --overwrite"
    ),
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
    "extract --input-dir i --output-dir o --manual-fix": "it needs a window",
    "sort --input-dir i --by hist": "sort is not there",
    "facesettool resize --input-dir i": "facesettool resize is not there",
    "facesettool enhance --input-dir i": "facesettool enhance is not there",
    "xseg editor --input-dir i": "xseg editor is not there",
    "videoed denoise-image-sequence --input-dir i": "denoise-image-sequence is not there",
    "util --input-dir i --add-landmarks-debug-images": "--add-landmarks-debug-images is not there",
    "util --input-dir i --recover-original-aligned-filename": "--recover-original-aligned-filename",
    "util --input-dir i --export-faceset-mask": "--export-faceset-mask is not there",
    f"{TRAIN} --gen-snapshot": "--gen-snapshot is not there",
    f"{TRAIN} --src-pak-name a": "give the folder with --src",
    f"{TRAIN} --dst-pak-name a": "give the folder with --dst",
    "merge --input-dir i --pak-name a": "give the folder with --aligned-dir",
    f"{TRAIN} --debug": "train --debug is not there",
    "dev_test": "dev_test is an internal command",
    "util --input-dir i": "util needs one of",
    "util --pack-faceset": '"util" needs --input-dir',
    "util --input-dir i --pack-faceset --save-faceset-metadata": (
        "dfl-tf faceset save-metadata i; dfl-tf faceset pack i"
    ),
    "util --input-dir i --pack-faceset --what": '"util" has no --what',
    "exportdfm --model-dir m": '"exportdfm" needs --model',
    "videoed": "videoed needs a command",
    "videoed cut": '"videoed cut" is no command',
    "videoed cut-video --input-file": "needs a value",
    "videoed cut-video --input-file v --what": "has no --what",
}
NEW = [
    "",
    "train workspace --ae-dims 64",
    "train --src s --dst d --model-dir m --model SAEHD",
    "merge workspace --model AMP",
    "xseg apply folder --model-dir m",
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
    assert "warning: --execute-program -3600 'model.save()' is left out" in line.notes[1]
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
        ("merge --input-dir i", "an earlier output of this line is replaced; --resume goes on"),
        ("videoed extract-video --input-file v --output-dir o", "output of this line is replaced"),
        ("util --input-dir i --pack-faceset", "the originals stay"),
        ("xseg fetch --input-dir i", "the originals stay"),
    ],
)
def test_what_becomes_of_earlier_files_is_said(line: str, says: str) -> None:
    assert says in translate(line.split()).notes[-1]


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
    for flag in (*UTIL, *UTIL_REFUSED):
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
            assert word in known, (line, word)
