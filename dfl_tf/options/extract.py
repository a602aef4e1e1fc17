"""Options of face extraction, most of them under the names of DeepFaceLab's flags."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import ClassVar

from .schema import Change, Machine, Options, Value, Values, option, words
from .training import ALL_FACE_TYPES

FACE_TYPES = (*ALL_FACE_TYPES, "mark_only")
DETECTORS = ("auto", "s3fd", "mesh")
LANDMARKERS = ("auto", "fan", "mesh")
ROTATIONS = ("0", "90", "270", "180")

_LARGE = ("head", "mark_only")


@dataclass(frozen=True, kw_only=True)
class ExtractOptions(Options):
    """How faces are found in frames and stored."""

    NAME: ClassVar[str] = "extract"
    QUESTIONS: ClassVar[tuple[str, ...]] = words(
        "face_type max_faces image_size jpeg_quality detector debug_images"
    )

    face_type: str = option(
        "wf",
        "How much of the head an image shows.",
        details="h half face, mf mid-half face, f full face, wf whole face, head, or mark_only: "
        "the whole frame with the landmarks in it. Take the face type of the model that you train, "
        "or a larger one.",
        label="Face type",
        group="faces",
        choices=FACE_TYPES,
        lowercase=True,
    )
    max_faces: int = option(
        0,
        "Keep only the N largest faces of a frame; 0 = all.",
        details="For frames in which bystanders are farther away than the person.",
        label="Max number of faces from image",
        group="faces",
        minimum=0,
        flags=("--max-faces-from-image",),
    )
    min_size: int = option(
        0,
        "Leave out faces whose box is smaller than N pixels of the frame; 0 = none.",
        details="The shorter side of the detector's box counts.",
        group="faces",
        minimum=0,
        unit="pixels",
    )
    image_size: int = option(
        512,
        "Side of a stored image.",
        details="Larger than the face in the frame adds no detail. Default 768 for head and "
        "mark_only, which has no use for it.",
        label="Image size",
        group="files",
        minimum=64,
        maximum=2048,
        unit="pixels",
    )
    jpeg_quality: int = option(
        90,
        "Quality of a stored image.",
        details="The higher the quality the larger the file.",
        label="Jpeg quality",
        group="files",
        minimum=1,
        maximum=100,
    )
    debug_images: bool = option(
        False,
        "Draw boxes, landmarks and aligned squares into copies of the frames.",
        details="They go to a folder beside the faces, named after it with _debug.",
        label="Write debug images",
        group="files",
        flags=("--output-debug",),
    )
    detector: str = option(
        "auto",
        "What finds faces.",
        details="s3fd is the network of DeepFaceLab and needs the weights of your own installation "
        "(--dfl-home); mesh needs the open models (--get-models). auto takes s3fd where an "
        "installation is named, else mesh.",
        label="Choose detector",
        group="networks",
        choices=DETECTORS,
        lowercase=True,
    )
    landmarker: str = option(
        "auto",
        "What finds the 68 landmarks of a face.",
        details="fan is the network of DeepFaceLab, of three dimensions for head and mark_only. "
        "auto takes the one that belongs to the detector.",
        group="networks",
        choices=LANDMARKERS,
        lowercase=True,
    )
    rotations: tuple[str, ...] = option(
        ROTATIONS,
        "By how many degrees a frame is turned until faces are found, in this order.",
        details="Give 0 alone for videos in which nobody lies or hangs upside down: frames without "
        "a face take less time, and there are fewer false detections.",
        group="search",
        form="some of 0, 90, 180, 270, separated by commas",
        placeholder="0,90,270,180",
    )
    tiles: int = option(
        0,
        "Look for faces in NxN parts of every frame; 0 = in the whole frame first.",
        details="For crowds of small faces in large frames. Only for detector mesh, which looks "
        "at 2x2, 4x4 and 8x8 parts of its own accord where a frame shows no face.",
        group="search",
        minimum=0,
        maximum=16,
    )
    smooth: bool = option(
        False,
        "Steady the landmarks along each track.",
        details="Landmarks are averaged over slightly moved crops and filtered over neighboring "
        "frames, never across a cut, a gap or a change of track. All frames are looked at before "
        "the first face is stored.",
        group="search",
    )

    @classmethod
    def derived(cls, key: str, values: Values, proposed: Values, machine: Machine) -> Value:
        """Larger images for face types that show more."""
        return 768 if key == "image_size" and values.get("face_type") in _LARGE else None

    @classmethod
    def reconcile(cls, values: Values, *, new: bool, given: Collection[str] = ()) -> list[Change]:
        """Rotations are quarters of a turn; tiles need the detector that knows them."""
        changes = []
        rotations = values.get("rotations", ROTATIONS)
        assert isinstance(rotations, tuple)
        if not rotations or any(turn not in ROTATIONS for turn in rotations):
            reason = "must be some of 0, 90, 180, 270, separated by commas"
            changes.append(Change("rotations", rotations, reason, error=True))
        if values.get("tiles") and values.get("detector") == "s3fd":
            reason = "works with detector mesh only"
            changes.append(Change("tiles", values["tiles"], reason, error=True))
        return changes
