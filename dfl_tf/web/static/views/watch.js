// Trainings of the workspace.
import { fill, h } from "../dom.js";

export function mount(page) {
  const list = h("div", {});
  fill(page.element, h("h1", {}, "Trainings"), list);
  async function load() {
    const models = await page.get("models");
    fill(list, models.map((model) => h("p", {}, `${model.title} ${model.model_class}: ${model.state}, iteration ${model.iteration}`)));
  }
  load().catch((error) => page.say(error.message, "error"));
  page.on("training", load);
}
