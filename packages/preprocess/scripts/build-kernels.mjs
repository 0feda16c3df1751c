// npm run build:kernels: compiles assembly/kernels.ts into src/kernels-wasm.ts; kernels-wasm.test.ts checks that the two agree.
import { readFile, writeFile } from "node:fs/promises";
import process from "node:process";
import { pathToFileURL } from "node:url";
import asc from "assemblyscript/asc";

const root = new URL("../", import.meta.url);

/** The WebAssembly module of assembly/kernels.ts. */
export async function compileKernels() {
  const source = await readFile(new URL("assembly/kernels.ts", root), "utf8");
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
  if (error !== null || binary === null)
    throw new Error(`AssemblyScript: ${error?.message ?? ""}\n${stderr.toString()}`);
  return Buffer.from(binary);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const base64 = (await compileKernels()).toString("base64");
  const lines = base64.match(/.{1,110}/g).map((line) => `  "${line}"`);
  await writeFile(
    new URL("src/kernels-wasm.ts", root),
    `/** The compiled assembly/kernels.ts, base64; made by \`npm run build:kernels\`. */\nexport const KERNELS_WASM: string =\n${lines.join(" +\n")};\n`,
  );
  process.stdout.write(`${base64.length} characters\n`);
}
