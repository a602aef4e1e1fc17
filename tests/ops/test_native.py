from __future__ import annotations

import os
import stat
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import tensorflow as tf
from dfl_tf_ops import native


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An empty package folder and cache instead of the real ones; the sources stay."""
    sources = native.source_directory()
    monkeypatch.setattr(native, "_PACKAGE", tmp_path / "package")
    monkeypatch.setattr(native, "source_directory", lambda: sources)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("DFL_TF_NATIVE", "found")
    (tmp_path / "package").mkdir()
    native.forget()
    yield tmp_path / "package"
    native.forget()


def library_file(path: Path, version: str, sources: str) -> None:
    """Write a file that carries the marks, but is not a library."""
    path.parent.mkdir(parents=True, exist_ok=True)
    marks = f"DFL_TF_BUILT_FOR={version};DFL_TF_BUILT_FROM={sources};"
    path.write_bytes(b"\x7fELF" + b"\0" * 100 + marks.encode() + b"\0" * 100)


def test_another_tensorflow_version_falls_back_with_one_warning(package):
    library_file(package / "_native.so", "1.15.0", native.source_hash())
    with pytest.warns(RuntimeWarning, match="built for TensorFlow 1.15.0, this is 2") as caught:
        assert [native.library() for _ in range(3)] == [None] * 3
    assert len(caught) == 1
    assert native.backend().name == "fallback"
    assert "1.15.0" in str(native.backend())


def test_a_library_of_other_sources_is_not_loaded(package):
    library_file(package / "_native.so", tf.__version__, "0123456789abcdef")
    with pytest.warns(RuntimeWarning, match="built from other sources"):
        assert native.library() is None


def test_a_damaged_library_falls_back(package, monkeypatch):
    monkeypatch.setattr(native, "_opened", None)
    library_file(package / "_native.so", tf.__version__, native.source_hash())
    with pytest.warns(RuntimeWarning, match="cannot be loaded"):
        assert native.library() is None


def test_no_library_names_the_way_to_build_one(package):
    with pytest.warns(RuntimeWarning, match="has not been built.*doctor --build-ops"):
        assert native.library() is None


def test_off_is_silent(package, monkeypatch):
    monkeypatch.setenv("DFL_TF_NATIVE", "off")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert native.library() is None
    assert native.backend().reason == "DFL_TF_NATIVE=off"


def test_require_makes_its_lack_an_error(package, monkeypatch):
    monkeypatch.setenv("DFL_TF_NATIVE", "require")
    with pytest.raises(native.NativeUnavailableError, match="has not been built"):
        native.backend()


def test_unknown_mode_is_an_error(package, monkeypatch):
    monkeypatch.setenv("DFL_TF_NATIVE", "maybe")
    with pytest.raises(native.NativeUnavailableError, match="none of auto, found, off, require"):
        native.backend()


def fake_compiler(path: Path, body: str) -> str:
    path.write_text(f'#!/bin/sh\nif [ "$1" = --version ]; then echo fake 1.0; exit; fi\n{body}\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


@pytest.mark.native
def test_a_build_lands_in_the_cache_and_is_found_there(package, tmp_path, monkeypatch):
    built = Path(native.__file__).with_name("_native.so")
    copy = 'while [ "$1" != -o ]; do shift; done; cp "$BUILT" "$2"'
    monkeypatch.setenv("CXX", fake_compiler(tmp_path / "cxx", copy))
    monkeypatch.setenv("BUILT", str(built))
    target = native.build_into_cache()
    assert target.parent.name.startswith(f"tensorflow-{tf.__version__}-{native.source_hash()}-")
    assert os.listdir(target.parent) == ["_native.so"]
    assert native.backend().name == "native"
    assert native.backend().reason == str(target)


def test_a_failing_build_quotes_the_compiler(package, tmp_path, monkeypatch):
    body = "echo 'global_norm.cc:3: error: no such thing' >&2; exit 1"
    monkeypatch.setenv("CXX", fake_compiler(tmp_path / "cxx", body))
    with pytest.raises(native.NativeUnavailableError, match=r"global_norm\.cc:3: error: no such"):
        native.build_into_cache()
    assert not list((tmp_path / "cache").rglob("*.so"))


def test_no_compiler_is_said(package, monkeypatch):
    monkeypatch.setattr(native.shutil, "which", lambda name: None)
    with pytest.raises(native.NativeUnavailableError, match="Install g\\+\\+"):
        native.build_into_cache()


def test_setup_can_read_the_flags_before_anything_is_installed(tmp_path):
    """setup.py loads native.py by its path: neither the package nor a dependency is there yet."""
    script = (
        "import importlib.util, sys\n"
        "spec = importlib.util.spec_from_file_location('_dfl_native', sys.argv[1])\n"
        "module = importlib.util.module_from_spec(spec)\n"
        "sys.modules[spec.name] = module\n"
        "spec.loader.exec_module(module)\n"
        "print(*module.compile_flags('2.21.0'))\n"
    )
    # -I and -S: no PYTHONPATH, no installed packages.
    command = [sys.executable, "-I", "-S", "-c", script, native.__file__]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert native.source_hash() in result.stdout


def test_library_that_this_user_may_not_read_falls_back_with_its_path(package, monkeypatch):
    library_file(package / "_native.so", tf.__version__, native.source_hash())

    def forbidden(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", forbidden)
    monkeypatch.setattr(native, "source_hash", lambda: "0" * 16)
    with pytest.warns(
        RuntimeWarning, match="_native.so.*Permission denied|Permission denied.*_native.so"
    ):
        assert native.library() is None
    assert "Permission denied" in native.backend().reason


def built_at_first_use(package, tmp_path, monkeypatch, body):
    monkeypatch.setenv("DFL_TF_NATIVE", "auto")
    monkeypatch.setenv("CXX", fake_compiler(tmp_path / "cxx", body))
    opened = []
    monkeypatch.setattr(native, "_open", opened.append)
    return opened


def test_it_is_built_at_its_first_use_and_only_once(package, tmp_path, monkeypatch, caplog):
    """The compiler is a script that counts its calls and puts a file with the right marks there."""
    caplog.set_level("INFO", "dfl_tf.ops")
    library_file(tmp_path / "built", tf.__version__, native.source_hash())
    count = f"echo call >> '{tmp_path / 'calls'}'"
    body = f'{count}; while [ "$1" != -o ]; do shift; done; cp \'{tmp_path / "built"}\' "$2"'
    opened = built_at_first_use(package, tmp_path, monkeypatch, body)
    assert [native.backend().name for _ in range(3)] == ["native"] * 3
    native.forget()
    assert native.backend().name == "native"  # found in the cache
    assert (tmp_path / "calls").read_text() == "call\n"
    assert opened[0].is_relative_to(tmp_path / "cache")
    assert "half a minute, once" in caplog.text


def test_what_cannot_be_built_at_first_use_is_said_once(package, tmp_path, monkeypatch):
    built_at_first_use(package, tmp_path, monkeypatch, "echo 'x.cc:1: error: broken' >&2; exit 1")
    with pytest.warns(RuntimeWarning, match=r"could not be built: .*error: broken") as caught:
        assert [native.library() for _ in range(3)] == [None] * 3
    assert len(caught) == 1
    monkeypatch.setattr(native, "find_compiler", lambda: None)
    native.forget()
    with pytest.warns(RuntimeWarning, match="there is no C\\+\\+ compiler"):
        assert native.library() is None


def test_nothing_is_built_by_an_import():
    code = (
        "import os; os.environ['CXX'] = '/nowhere'; import subprocess;"
        "subprocess.run = None; import dfl_tf, dfl_tf_ops, dfl_tf_ops.native"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
