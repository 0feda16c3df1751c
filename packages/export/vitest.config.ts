import { mergeConfig } from "vitest/config";
import base from "../../vitest.package.js";

// Not yet shown to pass in one process.
export default mergeConfig(base, { test: { isolate: true } });
