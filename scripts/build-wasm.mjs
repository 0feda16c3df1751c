// npm run build:wasm -- PACKAGE MODULE: compiles assembly/kernels.ts of a package folder, with the files that it imports, into a TypeScript
// module of it. The tests of each package compare the committed module with its source.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";
import asc from "assemblyscript/asc";

/** The WebAssembly of assembly/kernels.ts in a package folder. */
export async function compileKernels(folder) {
  const sourceOf = (name) => join(folder, "assembly", name);
  let binary = null;
  const { error, stderr } = await asc.main(
    ["kernels.ts", "--outFile", "kernels.wasm", "-O3", "--runtime", "stub", "--enable", "simd", "--noAssert"],
    {
      readFile: (name) => (existsSync(sourceOf(name)) ? readFileSync(sourceOf(name), "utf8") : null),
      writeFile: (name, contents) => {
        if (name === "kernels.wasm") binary = contents;
      },
      listFiles: () => [],
    },
  );
  if (error !== null || binary === null) throw new Error(`AssemblyScript: ${error?.message ?? ""}\n${stderr}`);
  return Buffer.from(binary);
}

/** A TypeScript module that exports it. */
export function kernelsModule(binary) {
  const lines = binary
    .toString("base64")
    .match(/.{1,110}/g)
    .map((line) => `  "${line}"`);
  const note = "/** The compiled assembly/kernels.ts, base64; made by scripts/build-wasm.mjs. */";
  return `${note}\nexport const KERNELS_WASM: string =\n${lines.join(" +\n")};\n`;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const [folder, module] = process.argv.slice(2);
  if (!folder || !module) {
    process.stderr.write(
      "usage: npm run build:wasm -- PACKAGE MODULE, for example packages/train src/kernels/wasm.ts\n",
    );
    process.exit(2);
  }
  writeFileSync(join(folder, module), kernelsModule(await compileKernels(folder)));
}
