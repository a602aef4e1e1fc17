"""Plain NumPy and OpenCV twins of the fast operations: slow, obvious, written from the spec."""
