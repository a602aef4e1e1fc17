"""Landmarkers, one file each; the protocol is `dfl_tf.extract.found.Landmarker`."""
