"""The page of a report; names of files and metadata go through `as_text`."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dfl_tf.facesets.people import shown
from dfl_tf.facesets.report import figures
from dfl_tf.facesets.report.facts import SCALES, WORST, Facts, Scale, SideFacts
from dfl_tf.facesets.report.poses import pose_gaps
from dfl_tf.facesets.report.sentences import sentences
from dfl_tf.facesets.thumbnails import Thumbnails
from dfl_tf.imaging.html_page import PAGE_END, as_text, image_tag, page_head

_GROUPS = 20
_PAIRS = 30
_GAPS = 12
_TRACK_FACES = 10


@dataclass(frozen=True)
class FrameStrip:
    """What was noticed in the frames of a side's extraction.

    Attributes
    ----------
    side : str
    lines : sequence of str
    strips : sequence of (str, bytes)
        Caption and PNG or JPEG of frames with boxes and landmarks drawn.
    """

    side: str
    lines: Sequence[str]
    strips: Sequence[tuple[str, bytes]] = ()


def page(facts: Facts, *, frames: Sequence[FrameStrip] = ()) -> str:
    """Write the page.

    Parameters
    ----------
    facts : Facts
    frames : sequence of FrameStrip
        Of the extractions, where they are known.

    Returns
    -------
    str
        HTML.
    """
    looks = {name: Thumbnails(side.place) for name, side in facts.sides.items()}
    names = " and ".join(str(side.place) for side in facts.sides.values())
    parts = [
        page_head(f"Faces of {names}"),
        f"<h1>A look at the faces</h1><p class='quiet'>{as_text(names)}</p>",
        _first(sentences(facts)),
        _counts(facts),
        _poses(facts),
        _plots(facts),
        *(_frames(strip) for strip in frames),
        *(_tracks(name, side, looks[name]) for name, side in facts.sides.items()),
        *(_persons(name, side, looks[name], facts) for name, side in facts.sides.items()),
        *(_duplicates(name, side, looks[name]) for name, side in facts.sides.items()),
        *(_worst(scale, facts, looks) for scale in SCALES if scale.worst),
        PAGE_END,
    ]
    return "".join(parts)


def _first(lines: Sequence[str]) -> str:
    if not lines:
        return "<h2>In short</h2><p>Nothing stands out.</p>"
    items = "".join(f"<li>{as_text(line)}</li>" for line in lines)
    return f"<h2>In short</h2><ol class='most'>{items}</ol>"


def _counts(facts: Facts) -> str:
    sides = facts.sides
    rows: list[tuple[str, list[str]]] = [
        ("images", [str(len(side.names)) for side in sides.values()]),
        ("usable faces", [str(side.survey.faces) for side in sides.values()]),
        ("face types", [_counted(side.survey.face_types) for side in sides.values()]),
        ("sizes", [_counted(side.survey.sizes) for side in sides.values()]),
        ("with mask", [str(side.survey.with_mask) for side in sides.values()]),
        ("with polygons", [str(side.survey.with_polygons) for side in sides.values()]),
        ("masked by", [str(side.masked_by or "not known") for side in sides.values()]),
        ("near duplicates", [str(len(side.duplicates)) for side in sides.values()]),
        ("tracks", [_tracks_counted(side) for side in sides.values()]),
        ("persons told apart by", [facts.identity] * len(sides)),
        ("left out", ["\n".join(side.left_out.lines()) or "nothing" for side in sides.values()]),
    ]
    for scale in SCALES:
        medians = [
            f"{side.median(scale.name):.4g}" if scale.name in side.scales else "not known"
            for side in sides.values()
        ]
        unit = f" ({scale.unit})" if scale.unit else ""
        rows.append((f"{scale.title}, median{unit}", medians))
    head = "".join(f"<th>{as_text(name)}</th>" for name in sides)
    body = "".join(
        f"<tr><td>{as_text(title)}</td>{''.join(f'<td>{_lines(cell)}</td>' for cell in cells)}</tr>"
        for title, cells in rows
    )
    return f"<h2>Counts</h2><table><tr><th></th>{head}</tr>{body}</table>"


def _lines(cell: str) -> str:
    return "<br>".join(as_text(line) for line in cell.split("\n"))


def _counted(counter: object) -> str:
    items = dict(counter)  # type: ignore[call-overload]
    shown_items = sorted(items.items(), key=lambda item: -item[1])
    more = len(shown_items) - 8
    text = ", ".join(f"{name} ({count})" for name, count in shown_items[:8]) or "none"
    return text + (f" and {more} more" if more > 0 else "")


def _poses(facts: Facts) -> str:
    plot = image_tag(figures.pose_maps(facts), "yaw by pitch of both sides")
    text = ""
    if facts.dst is not None:
        gaps = pose_gaps(facts.src.poses, facts.dst.poses)
        if gaps:
            cells = "".join(
                f"<li>yaw {gap.yaw[0]:+.0f} to {gap.yaw[1]:+.0f}, pitch {gap.pitch[0]:+.0f} to "
                f"{gap.pitch[1]:+.0f}: {gap.faces} faces of dst"
                f"{', src has faces beside it' if gap.near else ''}</li>"
                for gap in gaps[:_GAPS]
            )
            more = f"<li>and {len(gaps) - _GAPS} more cells</li>" if len(gaps) > _GAPS else ""
            text = (
                "<p>Marked in red: dst looks there, src has nothing (crossed with a thick border: "
                "nor in a cell beside it). Cells, the fullest first:</p>"
                f"<ul>{cells}{more}</ul>"
            )
        else:
            text = "<p>src has faces wherever dst looks.</p>"
    return f"<h2>Where they look</h2><div class='plots'>{plot}</div>{text}"


def _plots(facts: Facts) -> str:
    wanted = ("sharpness", "size", "brightness", "motion_blur")
    plots = [
        image_tag(figures.histogram(facts, scale), f"histogram of {scale.title}", "half")
        for scale in SCALES
        if scale.name in wanted
    ]
    colors = image_tag(figures.color_map(facts), "colors of both sides")
    return (
        f"<h2>Light and color</h2><div class='plots'>{colors}</div>"
        f"<h2>Sharpness, size, brightness</h2><div class='plots'>{''.join(plots)}</div>"
    )


def _frames(strip: FrameStrip) -> str:
    lines = "".join(f"<li>{as_text(line)}</li>" for line in strip.lines)
    images = "".join(
        f"<h3>{as_text(caption)}</h3>{image_tag(data, caption, 'strip')}"
        for caption, data in strip.strips
    )
    listed = f"<ul>{lines}</ul>" if lines else "<p>Nothing to look at.</p>"
    return f"<h2>The frames of {as_text(strip.side)}</h2>{listed}{images}"


def _tracks_counted(side: SideFacts) -> str:
    if side.tracks is None:
        return "not known"
    lengths = side.tracks.lengths()
    middle = statistics.median(lengths)
    text = f"{len(lengths)}, of {min(lengths)} to {max(lengths)} faces (median {middle:g})"
    return f"{text}\n{side.tracks.without} images on none" if side.tracks.without else text


def _tracks(name: str, side: SideFacts, looks: Thumbnails) -> str:
    """The least sharp tracks, each in time order."""
    found = side.tracks
    if found is None or len(found.tracks) < 2:
        return ""
    rows = []
    for track, sharpness in ((found.tracks[i], found.sharpness[i]) for i in found.least_sharp()):
        step = -(-len(track.members) // _TRACK_FACES)
        faces = [(i, found.frames[i]) for i in track.members[::step]]
        many = "s" if len(track.members) > 1 else ""
        rows.append(
            f"<h3>Track {track.number}: {len(track.members)} face{many}, "
            f"{as_text(found.span(track))}, median sharpness {sharpness:.4g}</h3>"
            f"{_faces(side, looks, faces)}"
        )
    counted = as_text(_tracks_counted(side).replace("\n", "; "))
    return (
        f"<h2>The least sharp tracks of {as_text(name)}</h2><p>Of {counted}. "
        "<code>dfl-tf faceset filter --tracks 3,5-9 --invert</code> takes tracks out.</p>"
        f"{''.join(rows)}"
    )


def _persons(name: str, side: SideFacts, looks: Thumbnails, facts: Facts) -> str:
    title = f"<h2>Persons in {as_text(name)}</h2>"
    if side.grouping is None:
        return f"{title}<p>Not known: {as_text(facts.identity)}</p>"
    groups = side.grouping.groups
    rows = [f"<p>{as_text(line)}.</p>" for line in side.grouping.notes()]
    for group in groups[:_GROUPS]:
        faces = [(group.members[i], f"{group.distances[i]:.2f}") for i in shown(group)]
        rows.append(
            f"<h3>Group {group.number}: {len(group.members)} faces, "
            f"at most {group.spread:.2f} apart</h3>{_faces(side, looks, faces)}"
        )
    if len(groups) > _GROUPS:
        rows.append(f"<p>{len(groups) - _GROUPS} smaller groups are not shown.</p>")
    return title + ("".join(rows) or "<p>No face.</p>")


def _duplicates(name: str, side: SideFacts, looks: Thumbnails) -> str:
    if not side.duplicates:
        return ""
    faces = [
        (face, caption)
        for gone, stays in side.duplicates[:_PAIRS]
        for face, caption in ((stays, "stays"), (gone, "may go"))
    ]
    more = len(side.duplicates) - _PAIRS
    note = f"<p>{more} more pairs are in the JSON.</p>" if more > 0 else ""
    count = len(side.duplicates)
    return f"<h2>Near duplicates in {as_text(name)}: {count}</h2>{_faces(side, looks, faces)}{note}"


def _worst(scale: Scale, facts: Facts, looks: dict[str, Thumbnails]) -> str:
    parts = []
    for name, side in facts.sides.items():
        if scale.name not in side.scales:
            continue
        values = side.scales[scale.name]
        faces = [(i, f"{values[i]:.4g}") for i in side.worst(scale)]
        if faces:
            parts.append(f"<h3>{as_text(name)}</h3>{_faces(side, looks[name], faces)}")
    title = f"<h2>The {WORST} {as_text(scale.worst)}</h2>"
    return title + "".join(parts) if parts else ""


def _faces(side: SideFacts, looks: Thumbnails, faces: Iterable[tuple[int, str]]) -> str:
    cells = []
    for index, caption in faces:
        name = side.names[index]
        data = looks.jpeg(name)
        image = image_tag(data, name) if data else '<img alt="cannot be read">'
        cells.append(
            f"<figure>{image}<figcaption>{as_text(name)}<br>{as_text(caption)}</figcaption></figure>"
        )
    return f"<div class='faces'>{''.join(cells)}</div>"
