import { preset } from "../../tsup.preset.js";

export default preset({
  entry: { index: "src/index.ts" },
  // The loader's threads start here; ESM also for callers in CJS.
  executables: { "load-worker": "src/loader/load-worker.ts" },
});
