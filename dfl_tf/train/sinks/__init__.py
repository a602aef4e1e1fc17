"""Where the events of a training go: the console, JSON lines, TensorBoard."""
