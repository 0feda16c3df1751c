import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { build, type Plugin } from "esbuild";

const PACKAGE = join(import.meta.dirname, "..");

/** Sources of this repository go into the bundle and keep thinking that they lie where they lie; what is installed stays outside. */
const sources: Plugin = {
  name: "sources",
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^[^./]/ }, ({ path, kind }) =>
      kind === "entry-point" || path.startsWith("@seg/") ? null : { path, external: true },
    );
    onLoad({ filter: /\.ts$/ }, async ({ path }) => ({
      contents: (await readFile(path, "utf8"))
        .replaceAll("import.meta.url", JSON.stringify(pathToFileURL(path).href))
        .replaceAll("import.meta.dirname", JSON.stringify(dirname(path))),
      loader: "ts",
    }));
  },
};

/**
 * Bundles the program `seg`: a process of it starts in a fraction of the time that its thousand sources need, which counts where several are
 * started only to be killed.
 * @returns arguments of `node`, and what deletes the bundle
 */
export async function bundleSeg(): Promise<{ readonly argv: readonly string[]; remove(): Promise<void> }> {
  // Where its packages are found.
  const cache = join(PACKAGE, "node_modules", ".cache");
  await mkdir(cache, { recursive: true });
  const folder = await mkdtemp(join(cache, "seg-test-"));
  await build({
    entryPoints: [join(PACKAGE, "src", "bin.ts")],
    outdir: folder,
    bundle: true,
    // A command's modules are loaded when it is called, as in the built package.
    splitting: true,
    platform: "node",
    format: "esm",
    target: "node20",
    outExtension: { ".js": ".mjs" },
    conditions: ["@seg/source"],
    plugins: [sources],
    logLevel: "error",
  });
  return {
    argv: ["--conditions=@seg/source", join(folder, "bin.mjs")],
    remove: () => rm(folder, { recursive: true, force: true }),
  };
}
