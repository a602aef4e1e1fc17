"""The report: its numbers, what it says first, and a page on which names are only text."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

import dfl_tf
from dfl_tf.data.identity import Embedder
from dfl_tf.facesets.measure_cache import MeasureCache
from dfl_tf.facesets.report.facts import SCALES, Facts, badness, collect
from dfl_tf.facesets.report.known import known_sentences
from dfl_tf.facesets.report.page import FrameStrip, page
from dfl_tf.facesets.report.poses import pose_counts, pose_gaps
from dfl_tf.facesets.report.sentences import sentences
from dfl_tf.formats import read_pak
from dfl_tf.formats.faces.mask_record import MaskRecord, write_mask_record

DEMO = Path(dfl_tf.__file__).parent / "demo_data"
HOSTILE = "<img src=x onerror=alert(1)>&\"' \u202e.jpg"


class Brightness(Embedder):
    name, key, length, scale = "brightness", "test brightness", 2, 0.1

    def vector(self, face):
        return np.array([face.image.mean() / 255, 0.0])


@pytest.fixture(scope="module")
def faces(tmp_path_factory) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp("report")
    for side in ("data_src", "data_dst"):
        folder = root / side / "aligned"
        folder.mkdir(parents=True)
        pak = read_pak(DEMO / side / "aligned" / "faceset.pak")
        for index in range(5):
            (folder / pak[index].filename).write_bytes(pak.jpeg(index))
    src = root / "data_src" / "aligned"
    (src / HOSTILE).write_bytes(read_pak(DEMO / "data_src/aligned/faceset.pak").jpeg(0))
    plain = cv2.imencode(".png", np.zeros((64, 64, 3), np.uint8))[1]
    (src / "plain.png").write_bytes(plain)
    return src, root / "data_dst" / "aligned"


@pytest.fixture(scope="module")
def cache() -> MeasureCache:
    return MeasureCache(None)


@pytest.fixture(scope="module")
def facts(faces, cache) -> Facts:
    return collect(*faces, cache=cache, embedder=Brightness(), identity="brightness")


def test_faces_are_counted_by_where_they_look():
    yaw = np.radians([-200, 5, 5, 44.9, np.nan])
    pitch = np.radians([0, 0, 1, -7, 0])
    counts = pose_counts(yaw, pitch)
    assert counts.sum() == 4
    assert counts[12, 0] == 1
    assert counts[12, 9] == 2
    assert counts[10, 13] == 1


def test_gaps_are_cells_of_dst_that_src_lacks_the_fullest_first():
    src, dst = np.zeros((24, 18), np.int64), np.zeros((24, 18), np.int64)
    dst[12, 9], dst[11, 11], dst[11, 10], dst[3, 3] = 5, 2, 1, 4
    src[12, 9] = 1
    gaps = pose_gaps(src, dst)
    assert [(gap.faces, gap.yaw, gap.pitch, gap.near) for gap in gaps] == [
        (4, (-60, -50), (-45, -40), False),
        (2, (20, 30), (-5, 0), False),
        (1, (10, 20), (-5, 0), True),
    ]


def test_all_numbers_are_json_without_nan(facts):
    tree = json.loads(json.dumps(facts.as_dict(), allow_nan=False))
    src = tree["sides"]["src"]
    assert (src["images"], src["faces"]) == (7, 6)
    assert src["with_mask"] == 6
    assert sum(map(sum, src["poses"])) == 6
    assert any(HOSTILE in twin.values() for twin in src["near_duplicates"])
    assert src["scales"]["sharpness"]["known"] == 6
    assert len(src["scales"]["sharpness"]["worst"]) == 6
    assert src["groups"]["count"] >= 1
    assert tree["sides"]["dst"]["left_out"] == {}


def test_the_worst_come_first(facts):
    side = facts.src
    for scale in SCALES:
        if scale.worst:
            bad = badness(scale.name, side.scales[scale.name])[side.worst(scale)]
            assert list(bad) == sorted(bad, reverse=True)
            assert not np.isnan(bad).any()


def test_the_page_needs_nothing_from_outside_and_names_are_text(facts):
    found: list[tuple[str, dict]] = []

    class Tags(HTMLParser):
        def handle_starttag(self, tag, attrs):
            found.append((tag, dict(attrs)))

    text = page(facts, frames=[FrameStrip("src", ["no face: <b>1</b>"], [])])
    Tags().feed(text)
    tags = {tag for tag, _ in found}
    assert not tags & {"script", "link", "iframe", "object", "b", "a", "form"}
    images = [attributes for tag, attributes in found if tag == "img"]
    assert len(images) > 20
    assert all(a.get("src", "data:").startswith("data:image/") or "src" not in a for a in images)
    assert not any(name.startswith("on") for _, attributes in found for name in attributes)
    assert "default-src 'none'" in text
    assert "\u202e" not in text
    assert "&lt;img src=x onerror=alert(1)&gt;" in text
    assert not re.search(r"https?://", text)


def test_the_page_shows_every_part(facts):
    text = page(facts)
    for part in (
        "In short", "Counts", "Where they look", "Light and color", "Persons in src",
        "Near duplicates in src", "The 30 least sharp", "The 30 smallest in their frames",
    ):  # fmt: skip
        assert part in text, part


def test_a_page_of_one_side_and_of_no_face(faces, cache, tmp_path):
    alone = collect(faces[1], cache=cache)
    assert "Persons in dst" not in page(alone)
    (tmp_path / "a.png").write_bytes((faces[0] / "plain.png").read_bytes())
    empty = collect(tmp_path, cache=cache)
    assert sentences(empty)[0] == "src has no usable face."
    assert "In short" in page(empty)


def test_what_matters_most_is_said_first(facts):
    src, dst = facts.src, facts.dst
    far = np.zeros_like(dst.poses)
    far[3, 3] = 10
    told = sentences(replace(facts, dst=replace(dst, poses=far), mask_warnings=["masks differ"]))
    assert told[0].startswith("100% of the dst faces (10) look where src has none")
    assert "55 degrees to the right of the image and 42 degrees down" in told[0]
    assert told[1] == "masks differ."
    small = replace(src, scales={**src.scales, "size": dst.scales["size"][:1] / 4})
    assert any("smaller in their frames" in line for line in sentences(replace(facts, src=small)))
    dark = {**src.scales, "brightness": dst.scales["brightness"][:1] - 60}
    told = sentences(replace(facts, src=replace(src, scales=dark)))
    assert any("src is darker than dst" in line for line in told)


def test_a_plan_knows_only_what_was_measured(faces, cache, facts, monkeypatch):
    src, dst = faces
    monkeypatch.setattr("dfl_tf.data.identity.DlibEmbedder.ready", lambda self: 1 / 0)
    assert known_sentences(src, dst, cache=MeasureCache(None)) == []
    assert any("usable metadata" in line for line in known_sentences(src, dst, cache=cache))
    write_mask_record(src, MaskRecord("one", 1, "a" * 64, complete=True))
    write_mask_record(dst, MaskRecord("two", 1, "b" * 64, complete=True))
    (line,) = known_sentences(src, dst, cache=MeasureCache(None))
    assert line.startswith("src was masked by one at iteration 1")
