"""dfl_tf: the DeepFaceLab 2.0 trainer, made new (TensorFlow/Keras, headless, proved by numbers).

Importing this package imports no TensorFlow.
"""

from __future__ import annotations

__version__ = "0.1.0.dev0"
