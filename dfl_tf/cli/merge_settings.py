"""What a merge command line says about the settings of frames, and `--session --print-options`."""

from __future__ import annotations

import itertools
from pathlib import Path

from dfl_tf.formats.sessions.merge_session import read_merge_session
from dfl_tf.merge.settings import FrameSettings, read_frame_values
from dfl_tf.options import effective_dict
from dfl_tf.options.inputs import OptionInputs


def frame_settings(
    inputs: OptionInputs, session: Path | None, frame_config: Path | None
) -> FrameSettings:
    """Read the files of settings of a command line.

    Parameters
    ----------
    inputs : OptionInputs
    session : Path or None
        A ``<model>_merger_session.dat`` of DeepFaceLab.
    frame_config : Path or None

    Raises
    ------
    LegacyFormatError, OptionError
        If one of them cannot be used.
    """
    return FrameSettings(
        session=None if session is None else read_merge_session(session),
        config=inputs.files,
        frames={} if frame_config is None else read_frame_values(frame_config),
        frames_origin="" if frame_config is None else frame_config.name,
        given=inputs.given,
    )


def describe_session(settings: FrameSettings) -> dict[str, object]:
    """Return what a session holds, and what the command line makes of it, as plain values.

    Parameters
    ----------
    settings : FrameSettings
        With a session.

    Returns
    -------
    dict
        Counts, and under ``settings`` the effective options of each run of frames that share them,
        in the session's order.
    """
    session = settings.session
    assert session is not None
    names = [frame.filename for frame in session.frames]
    options = settings.resolve([Path(name) for name in names])
    runs = []
    for _, group in itertools.groupby(range(len(names)), key=lambda i: repr(options[i])):
        indices = list(group)
        runs.append(
            {
                "first": names[indices[0]],
                "last": names[indices[-1]],
                "frames": len(indices),
                "own_settings": sum(session.frames[i].config is not None for i in indices),
                "options": effective_dict(options[indices[0]]),
            }
        )
    return {
        "model_iteration": session.model_iteration,
        "frames": len(names),
        "finished": len(session.finished),
        "remaining": len(session.remaining),
        "faces": sum(len(frame.landmarks) for frame in session.frames),
        "settings": runs,
    }
