"""Pickles of strangers, read without Python's unpickler; and pickles that old programs read."""
