"""Videos into frames and back, with PyAV (extra `dfl-tf[video]`).

`info` describes a video, `extract` writes its frames, `encode` makes a video of frames with the
rate, time stamps and sound of another, `cut` takes a part out.
"""
