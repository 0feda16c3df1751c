import { preset } from "../../tsup.preset.js";

export default preset({
  entry: { index: "src/index.ts" },
  executables: { bin: "src/bin.ts", "student-trainer": "src/hub/student-trainer.ts" },
});
