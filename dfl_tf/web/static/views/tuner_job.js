// The merge of all frames.
import { h } from "../dom.js";
import { JobPanel } from "../job.js";

const STATES = {
  none: "", running: "merging", done: "merged", failed: "failed",
  stopped: "stopped; it can be resumed", died: "died; it can be resumed",
};
const HOWS = { "": "into empty folders", resume: "resume", overwrite: "overwrite" };

/** The panel that merges with the settings of the slot that `slot` gives. */
export function mergeJob(page, model, slot) {
  const how = h("select", { "aria-label": "Frames that are there already" },
    Object.entries(HOWS).map(([value, title]) => h("option", { value }, title)));
  return new JobPanel({
    page, title: "Merge now", label: "Merged frames", states: STATES, controls: [how],
    look: () => page.get(`merge/${model}`),
    start: () => page.post(`start/${model}`, { slot: slot(), how: how.value }),
    stop: () => page.post(`stop/${model}`),
  });
}
