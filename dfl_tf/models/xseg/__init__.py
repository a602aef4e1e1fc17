"""XSeg, the model that masks faces."""
