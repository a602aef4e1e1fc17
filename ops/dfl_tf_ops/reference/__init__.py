"""Plain NumPy, OpenCV and SciPy twins of the fast operations: slow, obvious, written from the spec."""
