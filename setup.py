"""Build the C++ op library (optional) and map the two packages; everything else is pyproject.toml.

The library is built against the TensorFlow that is already installed
(``pip install --no-build-isolation``); TensorFlow is no build requirement (decision 24).
``DFL_TF_NATIVE=require`` makes a failing build an error, ``off`` skips it. The C++ sources travel
in the wheel: the library is built at its first use (or by ``dfl-tf doctor --build-ops``).

A wheel without the library is for every machine (``py3-none-any``), one with it for any Python of
its platform (the library is no Python module).
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from glob import glob
from types import ModuleType

from setuptools import Extension, find_packages, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

MODE = os.environ.get("DFL_TF_NATIVE", "auto")


def native_module() -> ModuleType:
    """Import ops/dfl_tf_ops/native.py by its path: it knows flags and hashes, and needs nothing."""
    spec = importlib.util.spec_from_file_location("_dfl_native", "ops/dfl_tf_ops/native.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


class BuildOpLibrary(build_ext):
    """Compile with the flags of the installed TensorFlow; no Python ABI tag in the file name."""

    def get_ext_filename(self, fullname: str) -> str:
        """Name the file after the module alone."""
        return os.path.join(*fullname.split(".")) + ".so"

    def get_export_symbols(self, ext: Extension) -> list[str]:
        """Export no module entry point: this is not a Python module."""
        return []

    def build_extension(self, ext: Extension) -> None:
        """Build with TensorFlow's flags and ours, if TensorFlow is here."""
        try:
            import tensorflow as tf
        except ImportError:
            if MODE == "require":
                raise
            self.warn("TensorFlow is not installed here: the C++ ops are not built")
            return
        flags = native_module().compile_flags(tf.__version__)
        ext.extra_compile_args += tf.sysconfig.get_compile_flags() + flags
        ext.extra_link_args += tf.sysconfig.get_link_flags()
        super().build_extension(ext)


class TaggedWheel(bdist_wheel):
    """A wheel whose name says what is in it."""

    def run(self) -> None:
        """Build first, then see whether the library is there."""
        self.run_command("build")
        build = self.get_finalized_command("build")
        self.root_is_pure = not glob(f"{build.build_lib}/dfl_tf_ops/*.so")
        super().run()

    def get_tag(self) -> tuple[str, str, str]:
        """Any Python; any platform, or that of the library."""
        if self.root_is_pure:
            return "py3", "none", "any"
        return "py3", "none", super().get_tag()[2]


class BuildWithSources(build_py):
    """Put the C++ sources into the package that the wheel carries."""

    def run(self) -> None:
        """Copy ops/cc beside the Python files (an editable install finds it where it is)."""
        super().run()
        if getattr(self, "editable_mode", False):
            return
        target = os.path.join(self.build_lib, "dfl_tf_ops", "cc")
        os.makedirs(target, exist_ok=True)
        for path in glob("ops/cc/*"):
            shutil.copy(path, target)


setup(
    packages=find_packages(include=["dfl_tf", "dfl_tf.*"]) + find_packages("ops"),
    package_dir={"dfl_tf_ops": "ops/dfl_tf_ops"},
    package_data={
        "dfl_tf": ["py.typed", "demo_data/**/*", "options/recipes/*.yaml", "web/static/**/*"],
        "dfl_tf_ops": ["py.typed"],
    },
    ext_modules=[
        Extension(
            "dfl_tf_ops._native",
            ["ops/cc/library.cc"],
            depends=sorted(glob("ops/cc/*")),
            language="c++",
            optional=MODE != "require",
        )
    ]
    if MODE != "off"
    else [],
    cmdclass={
        "build_ext": BuildOpLibrary,
        "build_py": BuildWithSources,
        "bdist_wheel": TaggedWheel,
    },
)
