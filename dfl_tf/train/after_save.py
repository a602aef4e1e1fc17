"""`--after-save`: a command of the user's own after each whole save.

References
----------
design decision 43.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from dfl_tf_ops.library_messages import stderr_fd

from dfl_tf.errors import UsageError
from dfl_tf.train.deferred import Deferred

END_SECONDS = 60.0
"""How long the end of a run waits for the command."""


def command_of(text: str) -> list[str]:
    """Split ``COMMAND ARG ...`` as a shell would; nothing else of a shell is done.

    Parameters
    ----------
    text : str

    Raises
    ------
    UsageError
        If a quote is not closed, or there is no such program.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise UsageError(f"--after-save {text}: {error}. Check the quotes.") from None
    if not words or shutil.which(words[0]) is None:
        raise UsageError(
            f"--after-save {text}: there is no program {words[0] if words else '(empty)'!r}. Give "
            "a program that can be run, then its arguments; no shell is used."
        )
    return words


class AfterSave:
    """Runs one command at a time in the background; training and saves never wait for it.

    A save that ends while the command still runs is remembered, the latest only. What is to be said
    is kept until `tell`, for loggers belong to the training's thread.

    Parameters
    ----------
    command : list of str
        The program and its arguments.
    folder : Path
        Of the model; ``DFL_TF_MODEL_DIR``.
    name : str
        ``DFL_TF_NAME``.
    say : callable
        Gets a line for people, from `tell` and `finish` only.
    """

    def __init__(
        self, command: list[str], folder: Path, name: str, say: Callable[[str], None]
    ) -> None:
        self._command, self._say = command, say
        self._about = {"DFL_TF_MODEL_DIR": str(folder.absolute()), "DFL_TF_NAME": name}
        self._lock = threading.Lock()
        self._next: int | None = None
        self._thread: threading.Thread | None = None
        self._deferred = Deferred(say)

    def start(self, iteration: int) -> None:
        """Run the command for a save that is whole on disk, or remember it while one runs."""
        with self._lock:
            if self._next is not None:
                self._deferred.add(
                    f"--after-save is not run for iteration {self._next}: the previous "
                    "command is still running, and there is a newer save"
                )
            self._next = iteration
            if self._thread is None:
                # A daemon: a command that never ends does not keep the program.
                self._thread = threading.Thread(
                    target=self._work, name="dfl-tf after save", daemon=True
                )
                self._thread.start()

    def _work(self) -> None:
        while True:
            with self._lock:
                iteration, self._next = self._next, None
                if iteration is None:
                    self._thread = None
                    return
            message = self._run(iteration)
            if message:
                self._deferred.add(message)

    def _run(self, iteration: int) -> str:
        environ: Mapping[str, str] = {
            **os.environ,
            **self._about,
            "DFL_TF_ITERATION": str(iteration),
        }
        what = f"warning: --after-save {shlex.join(self._command)}, iteration {iteration}:"
        try:
            # A session of its own: Ctrl-C stops the training, which then waits for the command.
            code = subprocess.run(
                self._command,
                env=environ,
                stdin=subprocess.DEVNULL,
                stderr=stderr_fd(),  # what it says is its own
                start_new_session=True,
                check=False,
            ).returncode
        except (OSError, ValueError) as error:
            return f"{what} {error}. The save is intact; training continues."
        ended = f"ended with exit code {code}" if code >= 0 else f"was ended by signal {-code}"
        return f"{what} it {ended}. The save is intact; training continues." if code else ""

    def tell(self) -> None:
        """Say what there is to say about commands that have ended."""
        self._deferred.flush()

    def finish(self, seconds: float = END_SECONDS) -> None:
        """Wait until the command for the last save has ended, but not longer than `seconds`."""
        deadline = time.monotonic() + seconds
        thread = self._thread
        if thread is not None:
            thread.join(0.5)
            if thread.is_alive():
                self._say(f"waiting for --after-save, at most {seconds:.0f} s")
                thread.join(max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                with self._lock:
                    waiting, self._next = self._next, None
                left = "" if waiting is None else f" It was not run for iteration {waiting}."
                self._say(f"warning: --after-save still runs and is left running.{left}")
        self.tell()
