import { preset } from "../../tsup.preset.js";

export default preset({
  entry: {
    index: "src/index.ts",
    server: "src/server/index.ts",
    client: "src/client/index.ts",
    testing: "src/testing/index.ts",
  },
  // The process that RetrainService starts.
  executables: { "seg-hub": "src/cli/bin.ts", "train-child": "src/training/train-child.ts" },
});
