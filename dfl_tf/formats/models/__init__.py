"""Models on disk, in the legacy and in the native format: one transaction a save."""
