"""The one way through the faces of a folder: which are faces, and what is said of the rest."""

from __future__ import annotations

from pathlib import Path

from dfl_tf.disk.left_out import LeftOut
from dfl_tf.errors import UNUSABLE
from dfl_tf.formats.faces.face_folder import NO_METADATA, list_faces, read_face, read_faces
from tests.formats.samples import make_face, make_jpeg

ROOT = Path(__file__).parents[2]


def test_faces_come_in_folder_order_and_the_rest_is_counted(tmp_path: Path) -> None:
    for name, data in (
        ("a.jpg", make_face(0)),
        ("b.jpg", make_jpeg()),
        ("c.jpg", make_face(1)[:60]),
        ("d.jpg", make_face(2)),
    ):
        (tmp_path / name).write_bytes(data)
    steps: list[tuple[int, int]] = []
    left_out = LeftOut()
    files = {f"eve/{path.name}": path for path in list_faces(tmp_path).files}
    found = read_faces(files, left_out, lambda *step: steps.append(step))
    assert next(found)[0] == "eve/a.jpg"
    assert steps == []  # the caller is not done with it
    assert [name for name, _ in found] == ["eve/d.jpg"]
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert [(each.kind, each.name) for each in left_out] == [
        (NO_METADATA, "eve/b.jpg"),
        (UNUSABLE, "eve/c.jpg"),
    ]


def test_a_face_is_read_from_bytes_too(tmp_path: Path) -> None:
    left_out = LeftOut()
    face = read_face(make_face(0), "0.jpg", left_out)
    assert face is not None
    assert not left_out.skipped
    assert read_face(tmp_path / "gone.jpg", "gone.jpg", left_out) is None
    assert [name for name, _ in left_out.skipped] == ["gone.jpg"]


def test_nobody_else_decides_what_is_no_face() -> None:
    """Loops of their own read metadata only where faces are already known to be faces."""
    users = {
        path.relative_to(ROOT / "dfl_tf").as_posix()
        for path in (ROOT / "dfl_tf").rglob("*.py")
        if "NO_METADATA" in path.read_text(encoding="utf-8")
    }
    assert users == {"formats/faces/face_folder.py", "data/faceset.py"}
