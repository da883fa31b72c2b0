// What the outputs of a model mean: the arithmetic of edgestill_runtime.tasks, one file a task. `proof/browser.py` holds
// each of them to Python's results.

import { ImageClassification } from "./tasks/image_classification.js";
import { MultiLabelClassification } from "./tasks/multi_label_classification.js";
import { Regression } from "./tasks/regression.js";
import { Tensors, UnknownTask } from "./tasks/tensors.js";

/** Every task of this page by its name in manifests. */
export const TASKS = new Map([ImageClassification, MultiLabelClassification, Regression, Tensors].map((one) => [one.taskName, one]));

/**
 * The task that a bundle is for; see `tasks/base.js`.
 *
 * labels: names of what the last axis of the outputs holds. settings: of the task, as manifests have them. scores: "logits"
 * or "probabilities". Throws an Error with settings that are unknown, or not as they must be.
 */
export function taskOf(name, labels = [], settings = {}, scores = "logits") {
  const found = TASKS.get(name);
  return found ? new found(labels, settings, scores) : new UnknownTask(name);
}
