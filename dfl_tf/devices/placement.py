"""Where a model computes and where its weights live."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import tensorflow as tf

from dfl_tf.devices.cpu import cpu_bfloat16, cpu_works_ahead

if TYPE_CHECKING:
    from dfl_tf.options import RunOptions

HOST = "/CPU:0"


@dataclass(frozen=True)
class Placement:
    """Devices of one model.

    Attributes
    ----------
    compute : str
        Where networks and losses run, e.g. "/GPU:0".
    variables : str
        Where weights and optimizer slots live; the host if `models_opt_on_gpu` is off.
    flat : bool
        Whether updates are done on flat buffers by TensorFlow's own operations, which XLA can
        compile, too: where the C++ operations do not run.
    """

    compute: str = HOST
    variables: str = HOST
    flat: bool = False

    @property
    def offloaded(self) -> bool:
        """Whether weights and slots live elsewhere than where the networks run."""
        return self.compute != self.variables

    @property
    def on_cpu(self) -> bool:
        """Whether the networks run on a CPU."""
        return "CPU" in self.compute

    @property
    def on_gpu(self) -> bool:
        """Whether the networks run on a GPU; where a strategy puts them, whether there is one."""
        return "GPU" in self.compute or (
            not self.compute and bool(tf.config.list_logical_devices("GPU"))
        )

    @property
    def works_ahead(self) -> bool:
        """Whether a step is begun by a call and done later: on one GPU, which works on its own."""
        return "GPU" in self.compute or cpu_works_ahead()

    def emulates(self, precision: str) -> bool:
        """Whether the networks run on a CPU that does not multiply such numbers itself."""
        low = precision == "float16" or (precision == "bfloat16" and not cpu_bfloat16())
        return low and self.on_cpu

    @classmethod
    def choose(cls, run: RunOptions, *, models_opt_on_gpu: bool) -> Placement:
        """Take the first accelerator that TensorFlow shows, else the host (options.md 2).

        `configure_devices` shows the chosen ones only, counted from 0.
        """
        if run.cpu or not tf.config.list_logical_devices("GPU"):
            return cls()
        compute = "/GPU:0"
        return cls(compute, compute if models_opt_on_gpu else HOST, flat=models_opt_on_gpu)
