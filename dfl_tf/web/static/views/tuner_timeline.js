// Which setting holds where: a row for each option that differs between frames.
import { fill, h } from "../dom.js";

export class TimelineRows {
  constructor(count, faces, calls) {
    this.count = count;
    this.calls = calls;
    this.rows = h("div", { class: "rows" });
    this.marker = h("div", { class: "marker" });
    this.chosen = h("div", { class: "chosen" });
    this.track = h("div", { class: "track faces", title: "Frames without a face are dark", onclick: (event) => this.click(event) },
      this.chosen, empty(faces).map(([first, last]) => this.bar(first, last, "", "none")), this.marker);
    this.element = h("div", { class: "timeline", role: "group", "aria-label": "Settings of ranges of frames" },
      h("div", { class: "line" }, h("span", { class: "dim" }, "frames"), this.track), this.rows);
  }

  percent(frames) {
    return `${100 * frames / this.count}%`;
  }

  bar(first, last, text, kind, click = null) {
    const props = { class: `bar ${kind}`, title: click ? `frames ${first} to ${last}: ${text}` : "" };
    const bar = click ? h("button", { ...props, onclick: click, "aria-label": props.title }, text) : h("div", props);
    bar.style.left = this.percent(first - 1);
    bar.style.width = this.percent(last - first + 1);
    return bar;
  }

  click(event) {
    const box = this.track.getBoundingClientRect();
    this.calls.frame(1 + Math.floor(this.count * (event.clientX - box.left) / box.width));
  }

  show(segments, frame, span) {
    this.marker.style.left = this.percent(frame - 0.5);
    this.chosen.hidden = !span;
    if (span) {
      this.chosen.style.left = this.percent(span[0] - 1);
      this.chosen.style.width = this.percent(span[1] - span[0] + 1);
    }
    const state = JSON.stringify([segments, span]);
    if (state === this.state) return;
    this.state = state;
    const keys = [...new Set(segments.flatMap((each) => Object.keys(each.values)))];
    fill(this.rows, keys.map((key) => h("div", { class: "line" },
      h("span", { class: "dim" }, key.replaceAll("_", " ")),
      h("div", { class: "track" }, joined(segments, key).map(([first, last, value]) => {
        const here = span && span[0] === first && span[1] === last;
        return this.bar(first, last, String(value), here ? "own here" : "own", () => {
          this.calls.span([first, last]);
          if (frame < first || frame > last) this.calls.frame(first);
        });
      })))));
  }
}

/** Runs of frames that have one value of an option. */
function joined(segments, key) {
  const runs = [];
  for (const { first, last, values } of segments) {
    if (!(key in values)) continue;
    const before = runs.at(-1);
    if (before && before[1] + 1 === first && before[2] === values[key]) before[1] = last;
    else runs.push([first, last, values[key]]);
  }
  return runs;
}

/** Runs of frames without a face. */
function empty(faces) {
  const runs = [];
  faces.forEach((number, i) => {
    if (number) return;
    if (runs.at(-1)?.[1] === i) runs.at(-1)[1] = i + 1;
    else runs.push([i + 1, i + 1]);
  });
  return runs;
}
