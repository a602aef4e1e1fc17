"""A model class of another package: its description and its options, without TensorFlow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dfl_tf.export.forms import DFM_OUTPUTS, FACE, ExportForm
from dfl_tf.options import ModelKind, TrainingOptions
from dfl_tf.options.schema import option

NETWORKS = ("encoder", "decoder_src", "decoder_dst")


@dataclass(frozen=True, kw_only=True)
class ToyOptions(TrainingOptions):
    """Two small decoders on one encoder."""

    NAME: ClassVar[str] = "Toy"
    STORED: ClassVar[tuple[str, ...]] = ("resolution", "face_type", "toy_dims", "batch_size")
    QUESTIONS: ClassVar[tuple[str, ...]] = ("batch_size", "resolution", "face_type", "toy_dims")

    resolution: int = option(
        64, "Side of the square that the networks see, in pixels.", label="Resolution",
        group="architecture", minimum=64, maximum=256, multiple_of=16, ask="new",
    )  # fmt: skip
    face_type: str = option(
        "wf", "How much of the head a face holds.", label="Face type",
        group="architecture", choices=("f", "wf", "head"), ask="new",
    )  # fmt: skip
    toy_dims: int = option(
        8, "Channels of the encoder.", label="Toy dims",
        group="architecture", minimum=4, maximum=64, ask="new",
    )  # fmt: skip


def needed(options: ToyOptions) -> tuple[str, ...]:
    """Return the files that a training needs."""
    return (*NETWORKS, "src_dst_opt")


KIND = ModelKind(
    options=ToyOptions,
    model="toy.model:Toy",
    generator=NETWORKS,
    others=("src_dst_opt",),
    needed=needed,
    exports={
        "dfm": ExportForm(
            inputs=FACE,
            outputs=DFM_OUTPUTS,
            build="toy.export:graph",
            expected="dfl_tf.export.dfm:swapped",
            file="{name}_{model_class}_model.dfm",
        )
    },
)
