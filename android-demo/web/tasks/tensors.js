// A model without a known task: no predictions and no measures.

import { Task } from "./base.js";

export class Tensors extends Task {
  static taskName = "tensors";

  constructor() {
    super([], "logits");
    this.nothing = "nothing says what its outputs mean; use outputs";
  }

  answer() {
    throw new Error(this.nothing);
  }

  quality() {
    throw new Error(this.nothing);
  }

  same() {
    throw new Error(this.nothing);
  }
}

/** A custom task, which this page has no class for. */
export class UnknownTask extends Tensors {
  constructor(name) {
    super();
    this.nothing = `its task is ${name}, which is none of edgestill's: add its class to task.js, or use outputs`;
  }
}
