"""Contrast of texts, computed in a browser by the rules of WCAG 2.2, 1.4.3 (AA)."""

from __future__ import annotations

import json

LEAST, LEAST_LARGE = 4.5, 3.0
"""Of ordinary text; of text of 24 pixels, or of 18.66 in bold."""
TEXTS = """
(() => {
  const parts = (color) => (color.match(/[0-9.]+/g) ?? []).map(Number);
  const over = (top, below) => {
    const alpha = top[3] ?? 1;
    return [0, 1, 2].map((i) => top[i] * alpha + below[i] * (1 - alpha));
  };
  const behind = (element) => {
    const layers = [];
    for (let e = element; e; e = e.parentElement) {
      const style = getComputedStyle(e);
      if (style.backgroundImage !== "none") return null;
      const color = parts(style.backgroundColor);
      if (color.length < 4 || color[3] > 0) layers.push(color);
      if (color.length < 4 || color[3] === 1) break;
    }
    return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255]);
  };
  const light = (color) => {
    const [r, g, b] = color.map((v) => v / 255)
      .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const rows = [];
  for (const e of document.querySelectorAll("body *")) {
    const texts = [...e.childNodes].filter((n) => n.nodeType === 3);
    const own = texts.map((n) => n.data.trim()).join("");
    const box = e.getBoundingClientRect();
    const style = getComputedStyle(e);
    if (!own || box.width < 2 || box.height < 2 || style.visibility !== "visible") continue;
    if (e.closest("[disabled], [hidden], .sr") || !e.checkVisibility()) continue;
    const below = behind(e);
    if (below === null) continue;
    const [a, b] = [light(over(parts(style.color), below)), light(below)];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    rows.push([own.slice(0, 40), `${e.tagName.toLowerCase()}.${e.className}`, ratio, large]);
  }
  return JSON.stringify(rows);
})()
"""


def texts(tab):
    """Text, element, contrast and whether it is large, of all that is visible."""
    return json.loads(tab.run(TEXTS))


def unreadable(tab):
    """Those of them whose contrast is too low."""
    return [row for row in texts(tab) if row[2] < (LEAST_LARGE if row[3] else LEAST)]
