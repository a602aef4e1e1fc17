// Keys go by their place on the keyboard, so neither Caps Lock nor another layout changes them.
export const HELP = [
  ["Click", "on an outline: select it; elsewhere: first point of a new polygon"],
  ["Q W", "the next polygon (or the selected one) includes, excludes"],
  ["Enter, or click the first point", "close the polygon"],
  ["← ↑ → ↓, or drag", "move the point, else the polygon: by one pixel, with Shift ten"],
  ["Ctrl + click, or P", "delete the point, or insert one on the edge"],
  ["Delete", "remove the selected polygon"],
  ["Ctrl + Z, Ctrl + Shift + Z", "undo, redo; without limit, for each face"],
  ["Shift while drawing", "the pointer stays in the middle, the image moves"],
  ["Esc", "give up the polygon under way, or the selection"],
  ["A D", "previous, next face (Shift: 5 faces; Ctrl: labeled faces)"],
  ["F", "all, only unlabeled, only labeled faces"],
  ["X", "move this face to the trash folder, go on with the next"],
  ["1 2 3", "red, green, blue outlines"],
  ["4 5", "polygons as a mask; the applied mask"],
  ["`", "darken what lies outside of the applied mask"],
  ["M", "polygons from the applied mask"],
  ["C, Shift + C", "copy from the labeled face before, after"],
  ["Wheel, + − 0", "zoom, fit (kept from face to face)"],
  ["Middle button, Space + drag, two fingers", "move the image"],
  ["F1, H", "these keys"],
];

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** What a key does, as a function; null for keys that are not ours. */
export function actionOf(event, editor) {
  const control = event.ctrlKey || event.metaKey;
  const { code, shiftKey } = event;
  if (event.altKey) return null;
  if (code === "KeyA" || code === "KeyD") {
    const way = code === "KeyA" ? -1 : 1;
    return () => editor.step(way * (shiftKey ? 5 : 1), control ? "labeled" : undefined);
  }
  if (control) {
    const calls = { KeyZ: () => editor.undo(shiftKey ? 1 : -1), KeyY: () => editor.undo(1) };
    return calls[code] ?? null;
  }
  if (code in ARROWS) return () => editor.nudge(...ARROWS[code].map((each) => each * (shiftKey ? 10 : 1)));
  const calls = {
    KeyQ: () => editor.setKind(1), KeyW: () => editor.setKind(0),
    Digit1: () => editor.setColor(0), Digit2: () => editor.setColor(1), Digit3: () => editor.setColor(2),
    Digit4: () => editor.setView("baked"), Digit5: () => editor.setView("mask"),
    Backquote: () => editor.setOverlay(), Enter: () => editor.close(), Escape: () => editor.giveUp(),
    Delete: () => editor.remove(), Backspace: () => editor.remove(), KeyP: () => editor.setPointMode(),
    KeyX: () => editor.trash(), KeyF: () => editor.nextFilter(), KeyM: () => editor.fromMask(),
    KeyC: () => editor.copyFrom(shiftKey ? 1 : -1), KeyH: () => editor.help(), F1: () => editor.help(),
    Equal: () => editor.board.zoomBy(1.2), NumpadAdd: () => editor.board.zoomBy(1.2),
    Minus: () => editor.board.zoomBy(1 / 1.2), NumpadSubtract: () => editor.board.zoomBy(1 / 1.2),
    Digit0: () => editor.board.fit(),
  };
  return calls[code] ?? null;
}
