"""Write docs/faces.schema.json, the JSON Schema of ``--faces`` and ``--write-faces``.

python tools/write_faces_schema.py
"""

from __future__ import annotations

from pathlib import Path

from dfl_tf.extract.faces_schema import schema_text

TARGET = Path(__file__).resolve().parents[1] / "docs/faces.schema.json"


def main() -> None:
    TARGET.write_text(schema_text(), encoding="utf-8")


if __name__ == "__main__":
    main()
