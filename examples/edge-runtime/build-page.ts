import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { build } from "esbuild";

/** What the page's server answers, by path. */
export type PageFiles = ReadonlyMap<string, { readonly type: string; readonly body: string | Uint8Array }>;

const PAGE = join(import.meta.dirname, "page");

/**
 * The page with everything it needs, as files of a static server: script, style, model, pictures and the WebAssembly of onnxruntime-web.
 *
 * @param model - ONNX file of an exported student
 * @param pictures - PNG files by name
 */
export async function buildPage({
  model,
  pictures,
}: {
  model: string;
  pictures: Readonly<Record<string, Uint8Array>>;
}): Promise<PageFiles> {
  const { outputFiles } = await build({
    entryPoints: [join(PAGE, "main.ts")],
    bundle: true,
    format: "esm",
    target: "es2022",
    minify: true,
    write: false,
    logLevel: "silent",
    // Other bundlers take "browser" by themselves; "@seg/source" is for this repository, whose packages are not built.
    conditions: ["@seg/source", "browser"],
    tsconfig: join(PAGE, "tsconfig.json"),
  });
  const wasm = "ort-wasm-simd-threaded.wasm";
  const runtime = createRequire(import.meta.url).resolve(`onnxruntime-web/${wasm}`);
  const file = async (type: string, path: string) => ({ type, body: await readFile(path) });
  return new Map<string, { type: string; body: string | Uint8Array }>([
    ["/", await file("text/html; charset=utf-8", join(PAGE, "index.html"))],
    ["/style.css", await file("text/css; charset=utf-8", join(PAGE, "style.css"))],
    ["/page.js", { type: "text/javascript; charset=utf-8", body: outputFiles[0]!.text }],
    [`/${wasm}`, await file("application/wasm", runtime)],
    ["/model.onnx", await file("application/octet-stream", model)],
    ["/pictures.json", { type: "application/json", body: JSON.stringify(Object.keys(pictures)) }],
    ...Object.entries(pictures).map(([name, body]) => [`/pictures/${name}`, { type: "image/png", body }] as const),
  ]);
}
