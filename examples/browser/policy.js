// A policy that `edgerl export` wrote, run by ONNX Runtime as WebAssembly.

import * as ort from "./node_modules/onnxruntime-web/dist/ort.wasm.bundle.min.mjs";
import { metadata } from "./metadata.js";

ort.env.wasm.numThreads = 1; // more would take headers that a plain web server does not send

export class Policy {
  #session;

  /** Fetch a policy; throws an Error for a file that is none. */
  static async load(url) {
    const answer = await fetch(url);
    if (!answer.ok) throw new Error(`it cannot be fetched (${answer.status})`);
    const bytes = new Uint8Array(await answer.arrayBuffer());
    const about = metadata(bytes);
    return new Policy(about, bytes.length, await ort.InferenceSession.create(bytes));
  }

  /** `about`: what the file says of itself; `size`: of the file, in bytes. */
  constructor(about, size, session) {
    this.about = about;
    this.size = size;
    this.#session = session;
  }

  /** The number of the action for a window, uint8 [frames, height, width], and the value of each action. */
  async act(window) {
    const { frame, window: { frames } } = this.about;
    const windows = new ort.Tensor("uint8", window, [1, frames, frame.height, frame.width]);
    const { action, values } = await this.#session.run({ windows });
    return { action: Number(action.data[0]), values: Array.from(values.data) };
  }
}
