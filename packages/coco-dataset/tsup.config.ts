import { preset } from "../../tsup.preset.js";

export default preset({
  entry: { index: "src/index.ts", preview: "src/preview/index.ts" },
  executables: { "seg-coco": "src/cli/bin.ts" },
});
