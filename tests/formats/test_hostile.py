"""Hand-made evil files: each is refused with one of our errors, at once, and nothing of it runs.

`hostile/make_hostile.py` makes the files and says what each tries.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dfl_tf.errors import DflTfError, FacesetError, LegacyFormatError, ModelFileError
from dfl_tf.errors import UnsafePickleError as Unsafe
from dfl_tf.formats import read_metadata, read_pak
from dfl_tf.formats.models import safetensors_file
from dfl_tf.formats.models.legacy import read_data, read_part
from dfl_tf.formats.models.manifest import read_manifest
from dfl_tf.formats.scan import scan, scan_file

FILES = Path(__file__).resolve().parent / "hostile" / "files"

# what the reader says; files that are not here only have to be refused as damaged
SAYS: dict[str, tuple[type[DflTfError], str]] = {
    "calls_system.npy": (Unsafe, "os.system"),
    "calls_eval_stack_global.npy": (Unsafe, "builtins.eval"),
    "calls_getattr.npy": (Unsafe, "builtins.getattr"),
    "inst_opcode.npy": (Unsafe, "os.system"),
    "obj_opcode.npy": (Unsafe, "os.system"),
    "nested_global.npy": (Unsafe, "numpy.memmap.__init__"),
    "numpy_load.npy": (Unsafe, "numpy.load"),
    "numpy_other_core.npy": (Unsafe, "numpy.core.multiarray.fromfile"),
    "persistent_id.npy": (LegacyFormatError, "opcode 0x50"),
    "extension_registry.npy": (LegacyFormatError, "opcode 0x82"),
    "set_opcode.npy": (LegacyFormatError, "opcode 0x8f"),
    "object_dtype.npy": (Unsafe, "dtype 'O8'"),
    "object_array_of_list.npy": (Unsafe, "holds objects"),
    "record_dtype.npy": (Unsafe, "dtype 'V8'"),
    "structured_dtype_state.npy": (Unsafe, "structured dtype"),
    "zero_size_text.npy": (Unsafe, "dtype 'S0'"),
    "shape_bomb.npy": (LegacyFormatError, "needs 36893488113059364872 bytes, 8 are there"),
    "bytes_bomb.npy": (LegacyFormatError, "declares 9223372036854775807 bytes"),
    "frame_bomb.npy": (LegacyFormatError, "frame of 9223372036854775807 bytes"),
    "unicode_bomb.npy": (LegacyFormatError, "declares 4294967295 bytes"),
    "memo_bomb.npy": (LegacyFormatError, "memo index 2147483647"),
    "container_bomb.npy": (LegacyFormatError, "more containers"),
    "deep_lists.npy": (LegacyFormatError, "nested deeper"),
    "deep_tuple_key.npy": (LegacyFormatError, "dictionary key is a tuple"),
    "cycle.npy": (LegacyFormatError, "nested deeper"),
    "billion_laughs.npy": (LegacyFormatError, "stands for more values|nested deeper"),
    "unfinished_array.npy": (LegacyFormatError, "unfinished array"),
    "list_instead_of_dict.npy": (LegacyFormatError, "holds a list"),
    "text_instead_of_array.npy": (LegacyFormatError, "not arrays of numbers"),
    "negative_iter_data.dat": (LegacyFormatError, "iter="),
    "history_of_text_data.dat": (LegacyFormatError, "loss_history"),
    "options_list_data.dat": (LegacyFormatError, "options is not a dictionary"),
    "runs_code.jpg": (Unsafe, "os.mkdir"),
    "second_app15_runs_code.jpg": (Unsafe, "os.mkdir"),
    "segment_past_end.jpg": (FacesetError, "declares 65535 bytes"),
    "segment_length_zero.jpg": (FacesetError, "declares 0 bytes"),
    "landmarks_missing.jpg": (FacesetError, "landmarks"),
    "landmarks_of_nan.jpg": (FacesetError, "not finite"),
    "mask_bomb.jpg": (FacesetError, "mask"),
    "runs_code.pak": (Unsafe, "os.mkdir"),
    "wrong_version.pak": (FacesetError, "version 2"),
    "config_size_bomb.pak": (FacesetError, "9223372036854775808 bytes"),
    "offset_bomb.pak": (FacesetError, "images end at 9223372036854775808"),
    "path_escape.pak": (FacesetError, "not a plain file name"),
    "absolute_path.pak": (FacesetError, "not a plain file name"),
    "header_bomb.safetensors": (ModelFileError, "header of 9223372036854775808 bytes"),
    "future_manifest.json": (ModelFileError, "version 99"),
}


def _read_face(path: Path) -> None:
    metadata = read_metadata(path)
    if metadata is not None:
        metadata.mask()


READERS: dict[str, Callable[[Path], object]] = {
    ".npy": read_part,
    ".dat": read_data,
    ".jpg": _read_face,
    ".pak": read_pak,
    ".safetensors": safetensors_file.load,
    ".json": read_manifest,
}


@pytest.fixture(autouse=True)
def _guarded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    """No file may take long, need much memory or run anything (which would make a folder)."""
    monkeypatch.chdir(tmp_path)
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    yield
    assert time.process_time() - start < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", sorted(path.name for path in FILES.iterdir()))
def test_evil_file_is_refused_by_its_reader(name: str) -> None:
    kind, text = SAYS.get(name, (DflTfError, None))
    with pytest.raises(kind, match=text) as caught:
        READERS[Path(name).suffix](FILES / name)
    assert "Traceback" not in str(caught.value)
    assert len(str(caught.value)) < 600


def test_every_stated_file_exists() -> None:
    assert set(SAYS) <= {path.name for path in FILES.iterdir()}


@pytest.mark.parametrize("name", sorted(n for n, (kind, _) in SAYS.items() if kind is Unsafe))
def test_scan_refuses_what_would_run_code(name: str) -> None:
    result = scan_file(FILES / name)
    assert not result.accepted or "dtype" in SAYS[name][1] or "objects" in SAYS[name][1]


def test_scan_of_the_whole_folder_ends_and_names_the_worst() -> None:
    refused = {name for result in scan(FILES) for name in result.refused}
    assert {"os.system", "os.mkdir", "builtins.eval", "builtins.getattr"} <= refused
