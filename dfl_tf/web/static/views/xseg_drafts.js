// Work that lies in this browser and could not be brought to its file.
import { ask, button, fill, h, row } from "../dom.js";
import { clock } from "../texts.js";
import { FEWEST } from "./xseg_shapes.js";

export class Drafts {
  constructor(editor) {
    this.editor = editor;
    this.element = h("section.drafts", { hidden: true, "aria-label": "Unsaved work" });
  }

  async show() {
    const { saver, face } = this.editor;
    const left = (await saver.drafts()).filter((each) => each.key !== face?.draft);
    this.element.hidden = !left.length;
    fill(this.element, h("h2", "Unsaved work in this browser"), left.map((draft) => this.entry(draft)));
  }

  entry(draft) {
    const count = draft.polygons.length + (draft.open ? 1 : 0);
    return h("div.draft",
      h("span", `${draft.side}: ${draft.name}, ${count} polygons, ${clock(draft.time / 1000)}`),
      row(button("Open the face", () => this.open(draft)), button("Use on this face", () => this.use(draft)),
        button("Discard", () => this.discard(draft), { class: "danger" })));
  }

  open({ side, id }) {
    const { editor } = this;
    const index = editor.faces.positions.get(id);
    if (side !== editor.side) editor.page.go(`xseg/${side}/${id}`);
    else if (index === undefined) editor.page.say("That face no longer exists under its name.", "error");
    else editor.go(index);
  }

  use({ polygons, open }) {
    if (this.editor.editable) this.editor.add([...polygons, ...(open?.points.length >= FEWEST ? [open] : [])]);
  }

  async discard(draft) {
    const { saver, known } = this.editor;
    if (!await ask("Discard this work?", `The polygons drawn on ${draft.name} are gone then.`, [], "Discard")) return;
    saver.forget(draft.key);
    const face = known.faces.get(`${draft.side} ${draft.id}`);
    if (face?.draft === draft.key) {
      saver.busy.delete(face);
      known.forget(face);
    }
    this.show();
  }
}
