import { preset } from "../../tsup.preset.js";

export default preset({ entry: { index: "src/index.ts", charts: "src/charts/index.ts" } });
