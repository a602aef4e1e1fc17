"""Predicted faces put back into frames: one face, one frame, a whole folder.

`compose` merges a face, `frame` all faces of a frame, `run` a folder of frames.
"""
