"""Files on disk to plain Python and NumPy, and back: models, faces, facesets, sessions.

No TensorFlow here, and nothing that runs what a file says.
"""

from dfl_tf.formats.faces.dfljpg import read_metadata, write_metadata
from dfl_tf.formats.faces.face_metadata import FaceMetadata
from dfl_tf.formats.faces.faceset_pak import PakFaceset, read_pak, write_pak
from dfl_tf.formats.models.files import FoundModel, ModelLock, find_models, model_files
from dfl_tf.formats.models.read_write import read_model, write_model
from dfl_tf.formats.models.state import ModelState

__all__ = [
    "FaceMetadata",
    "FoundModel",
    "ModelLock",
    "ModelState",
    "PakFaceset",
    "find_models",
    "model_files",
    "read_metadata",
    "read_model",
    "read_pak",
    "write_metadata",
    "write_model",
    "write_pak",
]
