"""Untrusted pickles, read without Python's unpickler; and pickles that old programs read."""
