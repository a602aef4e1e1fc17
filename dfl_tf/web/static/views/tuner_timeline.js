// Which setting holds where: a row for each option that differs between frames.
import { fill, group, h } from "../dom.js";

export class TimelineRows {
  /** `faces`: how many each frame has; `go` hears of a frame, `choose` of a range. */
  constructor(count, faces, go, choose) {
    Object.assign(this, { count, go, choose });
    this.rows = h("div.rows");
    this.marker = h("div.marker");
    this.chosen = h("div.chosen");
    const empty = joined(faces.flatMap((number, i) => (number ? [] : [[i + 1, i + 1]])));
    this.track = h("div.track.faces", { title: "Frames without a face are dark", onclick: (event) => this.click(event) },
      this.chosen, empty.map((run) => this.at(run, h("div.bar.none"))), this.marker);
    this.element = group("Settings of ranges of frames",
      h("div.line", h("span.dim", "frames"), this.track), this.rows);
    this.element.className = "timeline";
  }

  /** Place an element where frames are. */
  at([first, last], element) {
    element.style.left = `${100 * (first - 1) / this.count}%`;
    element.style.width = `${100 * (last - first + 1) / this.count}%`;
    return element;
  }

  click(event) {
    const box = this.track.getBoundingClientRect();
    this.go(1 + Math.floor(this.count * (event.clientX - box.left) / box.width));
  }

  show(segments, frame, span) {
    this.marker.style.left = `${100 * (frame - 0.5) / this.count}%`;
    this.chosen.hidden = !span;
    if (span) this.at(span, this.chosen);
    const state = JSON.stringify([segments, span]);
    if (state === this.state) return;
    this.state = state;
    const keys = [...new Set(segments.flatMap((each) => Object.keys(each.values)))];
    fill(this.rows, keys.map((key) => h("div.line",
      h("span.dim", key.replaceAll("_", " ")),
      h("div.track", runs(segments, key).map((run) => this.own(run, span, frame))))));
  }

  own(run, span, frame) {
    const [first, last, value] = run;
    const here = span && span[0] === first && span[1] === last;
    const title = `frames ${first} to ${last}: ${value}`;
    return this.at(run, h(here ? "button.bar.own.here" : "button.bar.own", {
      title, "aria-label": title,
      onclick: () => {
        this.choose([first, last]);
        if (frame < first || frame > last) this.go(first);
      },
    }, String(value)));
  }
}

/** Runs of frames that have one value of an option. */
function runs(segments, key) {
  return joined(segments.filter(({ values }) => key in values).map(({ first, last, values }) => [first, last, values[key]]));
}

/** Make one of [first, last, value] that follow each other with one value. */
function joined(parts) {
  const found = [];
  for (const [first, last, value] of parts) {
    const before = found.at(-1);
    if (before && before[1] + 1 === first && before[2] === value) before[1] = last;
    else found.push([first, last, value]);
  }
  return found;
}
