"""Work on whole facesets: masks by XSeg."""
