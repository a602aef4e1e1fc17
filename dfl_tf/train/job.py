"""A training as one job: what `dfl-tf train` and `dfl_tf.train` share."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext

from dfl_tf.devices.cluster import cluster_of
from dfl_tf.devices.memory import out_of_memory
from dfl_tf.formats import ModelLock
from dfl_tf.jobs.events import Message, Sink, captured_logging
from dfl_tf.train.memory_cures import out_of_memory_error
from dfl_tf.train.sinks.console import ConsoleLog
from dfl_tf.train.situation import advice_of
from dfl_tf.train.start import Prepared, make_log, start
from dfl_tf.train.timing import Timing
from dfl_tf.train.trainer import TrainResult
from dfl_tf.train.validation import MakeMeasure


def finished_before(prepared: Prepared) -> TrainResult | None:
    """The result of a training whose recipe was finished before, which touches nothing."""
    recipe = prepared.recipe
    if recipe is None or not recipe.standing.state.finished or prepared.state is None:
        return None
    reason = f"recipe {recipe.recipe.name} is finished; add a phase to continue"
    ConsoleLog(1).emit(Message(reason))
    return TrainResult(0, reason, prepared.state.iteration, Timing().summary())


def run_training(
    prepared: Prepared,
    sinks: Sequence[Sink] = (),
    make_measure: MakeMeasure | None = None,
) -> TrainResult:
    """Train what was prepared, under the model's lock, until it is finished or stopped.

    Parameters
    ----------
    prepared : Prepared
    sinks : sequence of Sink
        Get the events of the run beside the sinks that its options ask for.
    make_measure : callable, optional
        Makes what `validate_every` measures with.

    Raises
    ------
    TrainingDiverged
        The losses became NaN, infinite or collapsed; the last good save was kept.
    DflTfError
        The faces, the model or its options cannot be used.
    """
    place = prepared.place
    finished = finished_before(prepared)
    if finished is not None:
        return finished
    facesets = prepared.open_faces()
    cluster = cluster_of(prepared.run)
    chief = cluster is None or cluster.chief  # the others write nothing
    lock = ModelLock(place.folder, place.name, place.model_class) if chief else nullcontext()
    with lock:
        log = make_log(prepared)
        for sink in sinks:
            log.add(sink)
        try:
            with captured_logging(log):
                if chief:
                    for remark in advice_of(prepared, facesets):
                        log.say(f"advice: {remark}")
                return start(prepared, facesets, log, make_measure).run()
        except Exception as error:
            if out_of_memory(error):  # while the model was built
                raise out_of_memory_error(prepared.resolved.options, None) from error
            raise
        finally:
            log.close()
