import { preset } from "../../tsup.preset.js";

export default preset({
  entry: { index: "src/index.ts", letterbox: "src/letterbox-input.ts" },
  // The thread of the worker pool, found beside the bundle; no entry of `exports`.
  executables: { "prepare-worker": "src/prepare-worker.ts" },
});
