"""From frames to aligned faces: detectors, landmarkers, alignment, files."""
