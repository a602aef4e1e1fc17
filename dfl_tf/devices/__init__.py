"""Where a model computes: devices, precision, memory, and the processes that train together."""
