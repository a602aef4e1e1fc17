"""Predicted faces put back into frames: one face, one frame, a whole folder.

`compose` merges a face, `frame` all faces of a frame, `run` a folder of frames.
"""

from dfl_tf._callable import make_callable

make_callable(__name__)
