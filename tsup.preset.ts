import type { Options } from "tsup";

/**
 * The one build of every package: ESM + CJS + declarations, one bundle per entry. Packages of the workspace are dependencies and
 * therefore external; their declarations are read from their `dist`, so nx builds them first.
 *
 * @param entry - name in `dist` -> source file, one per entry of `exports`
 * @param executables - the same for `bin`: ESM only (they use top-level await, which CJS lacks), without declarations
 */
export function preset({
  entry,
  executables = {},
}: {
  entry: Record<string, string>;
  executables?: Record<string, string>;
}): Options {
  return {
    entry: { ...entry, ...executables },
    format: ["esm", "cjs"],
    target: "node20",
    platform: "node",
    // Without `@seg/source`: the declarations of a published package refer to published declarations, not to sources.
    dts: { entry, compilerOptions: { customConditions: [] } },
    // Gives CJS an `import.meta.url`.
    shims: true,
    clean: true,
    sourcemap: true,
    // `splitting` keeps its default, ESM only: entries of one package share their classes, and `import()` stays lazy.
    esbuildOptions(options, { format }) {
      // Sources are packed beside: the maps refer to them.
      options.sourcesContent = false;
      // A new object: tsup gives both formats the same one.
      if (format === "cjs") options.entryPoints = entry;
    },
  };
}
