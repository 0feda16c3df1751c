import { preset } from "../../tsup.preset.js";

export default preset({ entry: { index: "src/index.ts", bin: "src/bin.ts" } });
