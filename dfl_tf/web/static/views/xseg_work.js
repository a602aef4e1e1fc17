// What stands beside the face: commands that train, apply, fetch and remove, and unsaved work.
import { ask, fill, h } from "../dom.js";
import { JobPanel } from "../job.js";
import { clock } from "../texts.js";

const FACE_TYPES = ["", "h", "mf", "f", "wf", "head"];
const STATES = {
  none: "", running: "running", done: "done", failed: "failed",
  stopped: "stopped; start it again to go on", died: "died; start it again to go on",
};
const ACTIONS = {
  apply: "Apply the trained masks",
  fetch: "Fetch: copy labeled faces to …_xseg",
  remove: "Remove the applied masks",
};

function field(text, input) {
  return h("label", { class: "field" }, text, input);
}

function number(name, min, max, placeholder) {
  return h("input", { type: "number", min, max, placeholder, "aria-label": name });
}

function value(input) {
  return input.value === "" ? null : Number(input.value);
}

function faceType(name, none) {
  return h("select", { "aria-label": name }, FACE_TYPES.map((type) => h("option", { value: type }, type || none)));
}

/** The training of XSeg, on the labels of both sides. */
export function trainJob(page) {
  const size = number("Batch size", 2, 16, "4");
  const target = number("Iterations", 0, 1e9, "no end");
  const type = faceType("Face type of a new model", "wf");
  const cpu = h("input", { type: "checkbox" });
  return job(page, "train", {
    title: "Train XSeg", label: "Iterations",
    controls: [
      field("batch", size), field("until iteration", target), field("face type, new model", type), field("CPU", cpu),
    ],
    given: () => ({
      action: "train", batch_size: value(size), target_iter: value(target), face_type: type.value || null, cpu: cpu.checked,
    }),
  });
}

/** The commands on the faces of a side. */
export function sideJob(page, side, changed) {
  const action = h("select", { "aria-label": "Command" },
    Object.entries(ACTIONS).map(([name, title]) => h("option", { value: name }, title)));
  const generic = h("input", { type: "checkbox" });
  const cpu = h("input", { type: "checkbox" });
  return job(page, side, {
    title: "Start", label: "Faces", last: true, changed,
    controls: [action, field("DeepFaceLab's generic model", generic), field("CPU", cpu)],
    given: async () => {
      const chosen = action.value;
      if (chosen === "remove" && !await ask("Remove the applied masks?", `The masks of all faces of ${side} are removed. Labels drawn by hand stay.`, [], "Remove")) return null;
      return chosen === "apply" ? { action: chosen, generic: generic.checked, cpu: cpu.checked } : { action: chosen };
    },
  });
}

function job(page, name, { given, ...rest }) {
  const one = ({ jobs }) => jobs[name];
  return new JobPanel({
    page, states: STATES, ...rest,
    look: async () => one(await page.get("jobs")),
    start: async () => {
      const body = await given();
      return body && one(await page.post(`start/${name}`, body));
    },
    stop: async () => one(await page.post(`stop/${name}`)),
  });
}

/** Work that lies in this browser and could not be brought to its file. */
export class Drafts {
  constructor(saver, calls) {
    this.saver = saver;
    this.calls = calls;
    this.element = h("section", { class: "drafts", hidden: true, "aria-label": "Unsaved work" });
  }

  async show(current) {
    const left = (await this.saver.drafts()).filter((each) => each.key !== current?.draft);
    this.element.hidden = !left.length;
    fill(this.element, h("h2", {}, "Unsaved work in this browser"), left.map((draft) => this.row(draft)));
  }

  row(draft) {
    const count = draft.polygons.length + (draft.open ? 1 : 0);
    return h("div", { class: "draft" },
      h("span", {}, `${draft.side}: ${draft.name}, ${count} polygons, ${clock(draft.time / 1000)}`),
      h("div", { class: "row" },
        h("button", { onclick: () => this.calls.open(draft) }, "Open the face"),
        h("button", { onclick: () => this.calls.use(draft) }, "Use on this face"),
        h("button", { class: "danger", onclick: () => this.discard(draft) }, "Discard")));
  }

  async discard(draft) {
    if (!await ask("Discard this work?", `The polygons drawn on ${draft.name} are gone then.`, [], "Discard")) return;
    this.saver.forget(draft.key);
    this.calls.discarded(draft);
  }
}
