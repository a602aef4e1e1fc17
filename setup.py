"""Build the C++ op library (optional) and map the two packages; everything else is pyproject.toml.

The library is built against the TensorFlow that is already installed
(``pip install --no-build-isolation``); TensorFlow is no build requirement (decision 24).
``DFL_TF_NATIVE=require`` makes a failing build an error, ``off`` skips it.
"""

from __future__ import annotations

import os
from glob import glob

from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext

MODE = os.environ.get("DFL_TF_NATIVE", "auto")


class BuildOpLibrary(build_ext):
    """Compile with the flags of the installed TensorFlow; name the file without the Python ABI tag."""

    def get_ext_filename(self, fullname: str) -> str:
        return os.path.join(*fullname.split(".")) + ".so"

    def get_export_symbols(self, ext: Extension) -> list[str]:
        return []

    def build_extension(self, ext: Extension) -> None:
        try:
            import tensorflow as tf
        except ImportError:
            if MODE == "require":
                raise
            self.warn("TensorFlow is not installed here: the C++ ops are not built")
            return
        ext.extra_compile_args += [
            *tf.sysconfig.get_compile_flags(),
            "-O3",
            "-fno-math-errno",
            "-fno-trapping-math",
            "-Wno-deprecated-declarations",
            f'-DDFL_TF_BUILT_FOR="{tf.__version__}"',
        ]
        ext.extra_link_args += tf.sysconfig.get_link_flags()
        super().build_extension(ext)


setup(
    packages=find_packages(include=["dfl_tf", "dfl_tf.*"]) + find_packages("ops"),
    package_dir={"dfl_tf_ops": "ops/dfl_tf_ops"},
    package_data={"dfl_tf": ["py.typed"], "dfl_tf_ops": ["py.typed"]},
    ext_modules=[
        Extension(
            "dfl_tf_ops._native",
            sorted(glob("ops/cc/*.cc")),
            language="c++",
            optional=MODE != "require",
        )
    ]
    if MODE != "off" and glob("ops/cc/*.cc")
    else [],
    cmdclass={"build_ext": BuildOpLibrary},
)
