// The packages as a stranger gets them: tarballs, `npm install` in an empty folder, and nothing but the registry.
import { spawnSync } from "node:child_process";
import { chmodSync, cpSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import process from "node:process";

const now = () => performance.now() / 1000;
const tail = ({ stdout, stderr }) => `${stdout}${stderr}`.slice(-2000);

/**
 * Installs tarballs into `folder`, which must not exist, with a compiler of CUDA on the PATH: ONNX Runtime's install script would fetch
 * GPU libraries then, unless it is told not to.
 * @param {{ folder: string, tarballs: string[] }} options - absolute paths
 * @returns {{ seconds: number, seg: (...args: string[]) => ReturnType<typeof spawnSync>, node: (...args: string[]) => ReturnType<typeof spawnSync> }
 *   | { unreachable: string }} what runs programs there; or why the registry did not answer
 * @throws {Error} if npm fails for another reason
 */
export function installTarballs({ folder, tarballs }) {
  mkdirSync(folder);
  writeFileSync(
    join(folder, "package.json"),
    `${JSON.stringify({ name: "stranger", private: true, type: "module" })}\n`,
  );
  cpSync(join(import.meta.dirname, "stranger"), folder, { recursive: true });
  const path = `${fakeCompiler(folder)}${delimiter}${process.env.PATH}`;
  // Nothing of this repository's settings: npm passes its own on in the environment.
  const kept = Object.entries(process.env).filter(([key]) => !/^npm_|^SEG_|^NODE_OPTIONS$/i.test(key));
  const env = { ...Object.fromEntries(kept), PATH: path, ONNXRUNTIME_NODE_INSTALL: "skip" };
  const inFolder = { cwd: folder, env, encoding: "utf8", maxBuffer: 1 << 28 };
  const npm = ["install", "--no-audit", "--no-fund", "--prefer-offline", "--fetch-retries=1"];

  const started = now();
  const installed = spawnSync("npm", [...npm, ...tarballs], inFolder);
  const seconds = now() - started;
  if (installed.status !== 0) {
    const reason = /\b(?:ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ENETUNREACH|ETIMEDOUT|ENOTCACHED)\b/.exec(tail(installed));
    if (reason !== null) return { unreachable: reason[0] };
    throw new Error(`npm install ended with ${installed.status}:\n${tail(installed)}`);
  }
  return {
    seconds,
    seg: (...args) => spawnSync("npx", ["--no-install", "seg", ...args], inFolder),
    node: (...args) => spawnSync(process.execPath, args, inFolder),
  };
}

/** A folder with an `nvcc` that says it is CUDA 12's. */
function fakeCompiler(folder) {
  const bin = join(folder, "cuda", "bin");
  mkdirSync(bin, { recursive: true });
  const nvcc = join(bin, "nvcc");
  writeFileSync(nvcc, '#!/bin/sh\necho "Cuda compilation tools, release 12.8, V12.8.61"\n');
  chmodSync(nvcc, 0o755);
  return bin;
}

/** The native libraries of ONNX Runtime that an installation holds, without folders. */
export function runtimeLibraries(folder) {
  const at = join(folder, "node_modules", "onnxruntime-node", "bin");
  return readdirSync(at, { recursive: true })
    .map((path) => path.split(/[\\/]/).at(-1))
    .filter((name) => /\.(?:so|dll|dylib|node)(?:\.|$)/.test(name));
}
