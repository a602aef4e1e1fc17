"""Aligned faces on disk: JPEG files with metadata, paks, and the records beside them."""
