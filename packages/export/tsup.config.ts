import { preset } from "../../tsup.preset.js";

export default preset({
  entry: { index: "src/index.ts", runtime: "src/runtime/index.ts", "runtime-browser": "src/runtime/browser.ts" },
});
