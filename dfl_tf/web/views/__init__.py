"""The views of the page, in the order in which they are offered; see `dfl_tf.web`."""

from __future__ import annotations

from dfl_tf.web.context import View
from dfl_tf.web.views import compare, extraction, faces, jobs, tuner, watch, xseg

VIEWS: tuple[View, ...] = (
    watch.VIEW,
    compare.VIEW,
    extraction.VIEW,
    faces.VIEW,
    xseg.VIEW,
    tuner.VIEW,
    jobs.VIEW,
)
