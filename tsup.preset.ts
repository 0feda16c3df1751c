import type { Options } from "tsup";

/** The one build of every package: ESM + CJS + declarations from unbundled workspace sources. */
export function preset({ entry }: { entry: Record<string, string> }): Options {
  return {
    entry,
    format: ["esm", "cjs"],
    target: "node20",
    platform: "node",
    dts: { compilerOptions: { customConditions: [] } },
    shims: true,
    clean: true,
    sourcemap: true,
    splitting: false,
  };
}
