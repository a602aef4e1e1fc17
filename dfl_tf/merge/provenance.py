"""A plain, documented note in every written image: composited, and by which model.

The note is an XMP packet with the IPTC digital source type `compositeWithTrainedAlgorithmicMedia`:
an iTXt chunk in a PNG, an APP1 segment in a JPEG, tag 700 of a TIFF. Any metadata
reader shows it; nothing is hidden.
"""

from __future__ import annotations

import html
import re
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import dfl_tf
from dfl_tf.disk.frame_order import in_frame_order
from dfl_tf.disk.listing import IMAGE_SUFFIXES, list_folder
from dfl_tf.disk.plain_file import read_plain
from dfl_tf.disk.text import printable

SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_KEYWORD = b"XML:com.adobe.xmp"
_JPEG_HEADER = b"http://ns.adobe.com/xap/1.0/\x00"
_TIFF_SIGNATURE = b"II*\0"
_XMP_TAG = struct.pack("<H", 700)
_PACKET = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:xmp="http://ns.adobe.com/xap/1.0/"
    xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
    xmp:CreatorTool="{tool}"
    Iptc4xmpExt:DigitalSourceType="{source_type}"
    Iptc4xmpExt:AISystemUsed="{system}"
    Iptc4xmpExt:AISystemVersionUsed="{version}"/>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="r"?>"""
_FIELDS = {
    "tool": "CreatorTool",
    "source_type": "DigitalSourceType",
    "system": "AISystemUsed",
    "version": "AISystemVersionUsed",
}


@dataclass(frozen=True)
class Provenance:
    """Which model composited an image."""

    model: str
    model_class: str
    iteration: int

    @property
    def fields(self) -> dict[str, str]:
        """The four values that are written: tool, source_type, system, version.

        A name need not be UTF-8 nor fit into XML, these must.
        """
        return {
            "tool": f"dfl-tf {dfl_tf.__version__}",
            "source_type": SOURCE_TYPE,
            "system": f"{printable(self.model)} ({self.model_class})",
            "version": f"iteration {self.iteration}",
        }

    def packet(self) -> bytes:
        """Return the XMP packet."""
        escaped = {key: html.escape(value) for key, value in self.fields.items()}
        return _PACKET.format(**escaped).encode()


def tags_of_frames(folder: Path) -> dict[str, str]:
    """Return the tags for a video of these frames: what the first one says; {} if it says nothing.

    References: `video_tags`.
    """
    first = next(iter(in_frame_order(list_folder(folder, IMAGE_SUFFIXES).files)), None)
    note = None if first is None else read_provenance(first)
    return video_tags(note) if note is not None and len(note) == len(_FIELDS) else {}


def video_tags(fields: Mapping[str, str]) -> dict[str, str]:
    """Return the tags of a video file that say the same as the packet."""
    return {
        "comment": f"AI-composited: {fields['source_type']}; "
        f"model {fields['system']}, {fields['version']}",
        "encoded_by": fields["tool"],
    }


def embed(data: bytes, packet: bytes) -> bytes:
    """Put an XMP packet into an encoded PNG, JPEG or TIFF.

    Raises
    ------
    ValueError
        If the data is none of these.
    """
    if data.startswith(_PNG_SIGNATURE):
        # The header chunk is always 25 bytes: length, "IHDR", 13 bytes, checksum.
        end = len(_PNG_SIGNATURE) + 25
        body = b"iTXt" + _PNG_KEYWORD + b"\x00\x00\x00\x00\x00" + packet
        chunk = (len(body) - 4).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")
        return data[:end] + chunk + data[end:]
    if data.startswith(b"\xff\xd8"):
        end = 2
        if data[2:4] == b"\xff\xe0":  # JFIF wants to stay first
            end += 2 + int.from_bytes(data[4:6], "big")
        body = _JPEG_HEADER + packet
        segment = b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body
        return data[:end] + segment + data[end:]
    if data.startswith(_TIFF_SIGNATURE):
        return _embed_in_tiff(data, packet)
    raise ValueError("provenance can be written into PNG, JPEG and TIFF only")


def _embed_in_tiff(data: bytes, packet: bytes) -> bytes:
    """Put the packet and a directory that names it at the end; the header leads to that."""
    entries = [entry for entry in _tiff_entries(data) if entry[:2] != _XMP_TAG]
    data += b"\0" * (len(data) % 2)
    at = len(data)
    entries.append(_XMP_TAG + struct.pack("<HII", 1, len(packet), at))  # 1: bytes
    body = packet + b"\0" * (len(packet) % 2)
    sorted_entries = sorted(entries, key=lambda entry: struct.unpack("<H", entry[:2]))
    directory = struct.pack("<H", len(entries)) + b"".join(sorted_entries) + bytes(4)
    header = _TIFF_SIGNATURE + struct.pack("<I", at + len(body))
    return header + data[len(header) :] + body + directory


def _tiff_entries(data: bytes) -> list[bytes]:
    """Return the entries of the first directory of a little-endian TIFF; none if it is cut off."""
    start = int.from_bytes(data[4:8], "little")
    count = int.from_bytes(data[start : start + 2], "little")
    entries = [data[start + 2 + 12 * i : start + 14 + 12 * i] for i in range(count)]
    return entries if all(len(entry) == 12 for entry in entries) else []


def _packet_of_tiff(data: bytes) -> bytes:
    for entry in _tiff_entries(data):
        if entry[:2] == _XMP_TAG:
            _, size, at = struct.unpack("<HII", entry[2:])
            return data[at : at + size]
    return b""


def read_provenance(image: bytes | Path) -> dict[str, str] | None:
    """Return tool, source_type, system and version of an image, or None if it has no such note."""
    data = read_plain(image) if isinstance(image, Path) else image
    if data.startswith(_TIFF_SIGNATURE):
        data = _packet_of_tiff(data)
        start = data.find(b"<?xpacket")
    else:
        start = data.find(_PNG_KEYWORD if data.startswith(_PNG_SIGNATURE) else _JPEG_HEADER)
    end = data.find(b"</x:xmpmeta>", start)
    if start < 0 or end < 0:
        return None
    packet = data[start:end].decode(errors="replace")
    found = {}
    for key, name in _FIELDS.items():
        match = re.search(rf':{name}="([^"]*)"', packet)
        if match:
            found[key] = html.unescape(match.group(1))
    return found if "source_type" in found else None
