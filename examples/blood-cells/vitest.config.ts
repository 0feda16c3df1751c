import { mergeConfig } from "vitest/config";
import base from "../../vitest.package.js";

export default mergeConfig(base, { test: { include: ["*.test.ts"] } });
