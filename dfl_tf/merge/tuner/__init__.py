"""Merging one frame at a time, for a page in which its settings are tuned.

`stage` composes a frame from what the networks have answered before (`remembered`); `serving` does
that in a process of its own, which speaks `messages`; `renderer` starts that process and asks it.
`timeline` is which setting holds for which frames, `tuning_file` keeps it.
"""
