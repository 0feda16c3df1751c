import { preset } from "../../tsup.preset.js";

export default preset({
  entry: { index: "src/index.ts" },
  executables: {
    bin: "src/bin.ts",
    // What the hub's training process imports.
    "student-trainer": "src/hub/student-trainer.ts",
    "teacher-trainer": "src/hub/teacher-trainer.ts",
  },
});
