"""MediaPipe's face models as TensorFlow Lite graphs: detection without weights of the user."""
