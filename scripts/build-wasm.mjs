// npm run build:wasm -- PACKAGE_FOLDER: compiles assembly/kernels.ts into src/kernels/wasm.ts, with `--check` only compares.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";
import asc from "assemblyscript/asc";

/** The module text for the WebAssembly of a package's assembly/kernels.ts. */
export async function wasmModule(folder) {
  const source = readFileSync(join(folder, "assembly/kernels.ts"), "utf8");
  let binary = null;
  const { error, stderr } = await asc.main(
    ["kernels.ts", "--outFile", "kernels.wasm", "-O3", "--runtime", "stub", "--enable", "simd", "--noAssert"],
    {
      readFile: (name) => (name === "kernels.ts" ? source : null),
      writeFile: (name, contents) => {
        if (name === "kernels.wasm") binary = contents;
      },
      listFiles: () => [],
    },
  );
  if (error !== null || binary === null) throw new Error(`AssemblyScript: ${error?.message ?? ""}\n${stderr}`);
  const lines = Buffer.from(binary)
    .toString("base64")
    .match(/.{1,110}/g)
    .map((line) => `  "${line}"`);
  const note = "/** The compiled assembly/kernels.ts, base64; made by scripts/build-wasm.mjs. */";
  return `${note}\nexport const KERNELS_WASM: string =\n${lines.join(" +\n")};\n`;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const [folder, flag] = process.argv.slice(2);
  const file = join(folder, "src/kernels/wasm.ts");
  const text = await wasmModule(folder);
  if (flag !== "--check") writeFileSync(file, text);
  else if (readFileSync(file, "utf8") !== text) {
    process.stderr.write(`${file} is not what assembly/kernels.ts compiles to. Run npm run build:wasm -- ${folder}.\n`);
    process.exit(1);
  }
}
