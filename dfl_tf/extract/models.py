"""The open models of extraction; they are kept and fetched by `dfl_tf.formats.open_models`."""

from dfl_tf.formats.open_models import (
    FAR,
    IDENTITY,
    MESH,
    NEAR,
    OLDER_MESH,
    SETS,
    ModelFile,
    find_model,
    get_models,
    models_folder,
    read_model_file,
)

__all__ = [
    "FAR",
    "IDENTITY",
    "MESH",
    "NEAR",
    "OLDER_MESH",
    "SETS",
    "ModelFile",
    "find_model",
    "get_models",
    "models_folder",
    "read_model_file",
]
