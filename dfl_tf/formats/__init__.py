"""Files on disk to plain Python and NumPy, and back: models, faces, facesets, sessions.

No TensorFlow here, and nothing that runs what a file says.
"""
