import { mergeConfig } from "vitest/config";
import base from "../../vitest.package.js";

// These files set the engine up in many ways and load it anew: each has a process of its own.
export default mergeConfig(base, { test: { isolate: true } });
