"""Pages of one file, without scripts and without anything from a network.

Names of files and metadata are text: every one goes through `as_text`, and a page forbids scripts.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Sequence

from dfl_tf.disk.text import printable

_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1200px; margin: 2em auto; padding: 0 1em; }
h1 { font-size: 1.6em; } h2 { font-size: 1.25em; margin-top: 2em; border-bottom: 1px solid #8886; }
h3 { font-size: 1.05em; margin-bottom: .3em; }
table { border-collapse: collapse; } td, th { padding: .2em 1em .2em 0; text-align: left;
  vertical-align: top; overflow-wrap: anywhere; }
ol.most li { margin: .4em 0; } .quiet { opacity: .7; }
.plots img { max-width: 100%; vertical-align: top; height: auto; background: white; }
.faces { display: flex; flex-wrap: wrap; gap: 6px; }
figure { margin: 0; width: 96px; } figure img { width: 96px; height: 96px; display: block;
  background: #8883; } figcaption { font-size: 11px; line-height: 1.25; overflow-wrap: anywhere; }
img.half { width: 49%; }
img.strip { display: block; max-width: 100%; }
"""

_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><style>{style}</style></head><body>
"""
PAGE_END = "</body></html>\n"


def page_head(title: str) -> str:
    """Begin a page, up to its body; `PAGE_END` ends it."""
    return _HEAD.format(title=as_text(title), style=_STYLE)


def as_text(value: object) -> str:
    """Write text as text, never as markup."""
    return html.escape(printable(value), quote=True)


def image_tag(data: bytes, alt: str, css: str = "") -> str:
    """Put an image into the page itself.

    Parameters
    ----------
    data : bytes
        A PNG or JPEG.
    alt : str
        What it shows.
    css : str
        Its class.
    """
    kind = "png" if data.startswith(b"\x89PNG") else "jpeg"
    coded = base64.b64encode(data).decode("ascii")
    return f'<img class="{css}" alt="{as_text(alt)}" src="data:image/{kind};base64,{coded}">'


def table(rows: Iterable[Sequence[object]], *, heads: Sequence[str] = ()) -> str:
    """Write a table; the first cell of a row is its head where there are no heads of columns."""
    lines = []
    if heads:
        lines.append("".join(f"<th scope='col'>{as_text(head)}</th>" for head in heads))
    for first, *others in rows:
        kind = "<td>{}</td>" if heads else "<th scope='row'>{}</th>"
        cells = "".join(f"<td>{as_text(cell)}</td>" for cell in others)
        lines.append(kind.format(as_text(first)) + cells)
    return "<table>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"
