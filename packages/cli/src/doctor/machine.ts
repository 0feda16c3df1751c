import { execFile } from "node:child_process";
import { accessSync, constants, existsSync, readFileSync, realpathSync, statSync } from "node:fs";
import { readdir, readFile, statfs } from "node:fs/promises";
import { createRequire } from "node:module";
import { availableParallelism, cpus } from "node:os";
import { delimiter, dirname, join, resolve } from "node:path";
import process from "node:process";
import { promisify } from "node:util";
import { createHub, type MemorySample, type ModelHub, readMemory } from "@seg/model-hub";
import { configure, type ExecutionProvider, engineInfo } from "@seg/tfjs-onnxruntime";

/** A folder that seg writes to. */
export interface FolderFacts {
  readonly path: string;
  readonly freeBytes: number | null;
  readonly isWritable: boolean;
}

/** A model in the cache. */
export interface CachedModel {
  readonly id: string;
  readonly bytes: number;
  /** Of a download that did not end. */
  readonly incompleteBytes: number;
}

/** What a machine is like, as far as seg cares. */
export interface Machine {
  readonly node: string;
  /** Version of npm; null where none is on PATH. */
  readonly npm: string | null;
  readonly platform: string;
  /** Versions by package; null where a package is not installed. */
  readonly packages: Readonly<Record<string, string | null>>;
  readonly runtime:
    | {
        readonly version: string;
        readonly providers: readonly { readonly name: string; readonly bundled: boolean }[];
        /** Providers that work here, and why others do not. */
        readonly tried: Readonly<Record<string, string | null>>;
      }
    | { readonly error: string };
  /** Version of libvips, or why sharp does not load. */
  readonly images: { readonly vips: string; readonly formats: readonly string[] } | { readonly error: string };
  readonly wasmSimd: boolean;
  readonly cpu: {
    readonly model: string;
    readonly features: readonly string[];
    readonly cores: number;
    readonly quota: number | null;
  };
  readonly memory: MemorySample;
  /** Names of NVIDIA GPUs with driver; null: nvidia-smi is not there or says nothing. */
  readonly gpus: readonly string[] | null;
  /** Path of the CUDA compiler. */
  readonly nvcc: string | null;
  /** Path of the CUDA runtime library. */
  readonly cudart: string | null;
  /** Path of the cuDNN library. */
  readonly cudnn: string | null;
  readonly trtexec: string | null;
  readonly folders: { readonly work: FolderFacts; readonly cache: FolderFacts };
  /** Models that were fetched before, or why the cache cannot be read. */
  readonly models: readonly CachedModel[] | { readonly error: string };
  /** Whether a token is there; tokens themselves are never read into this record. */
  readonly tokens: Readonly<Record<string, boolean>>;
  readonly isOffline: boolean;
}

/** Features that change the speed of inference or training. */
const FEATURES = ["avx2", "avx512f", "avx_vnni", "avx512_vnni", "amx_int8", "asimd", "asimddp", "i8mm"];
const OPTIONAL = ["@tensorflow/tfjs-node", "@tensorflow/tfjs-node-gpu", "@tensorflow/tfjs-backend-wasm"];
/** A function whose body adds two vectors: valid only where SIMD is. */
const SIMD = Uint8Array.of(
  ...[0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11],
);

const run = promisify(execFile);

/** The version of an installed package, seen from this one; null where it is not there. */
function versionOf(name: string, from: string = import.meta.url): string | null {
  let path: string;
  try {
    path = createRequire(from).resolve(name);
  } catch {
    return null;
  }
  return versionAbove(name, dirname(path));
}

/** Version in the nearest manifest of a package at or above a folder. */
function versionAbove(name: string, start: string): string | null {
  for (let folder = start; folder !== dirname(folder); folder = dirname(folder)) {
    const file = join(folder, "package.json");
    if (!existsSync(file)) continue;
    const { name: own, version } = JSON.parse(readFileSync(file, "utf8")) as { name?: string; version?: string };
    if (own === name) return version ?? null;
  }
  return null;
}

/** npm as PATH finds it; its manifest is read, because starting it takes a second. */
function npmVersion(path: readonly string[]): string | null {
  const folder = path.find((entry) => existsSync(join(entry, "npm")));
  if (folder === undefined) return null;
  return versionAbove("npm", dirname(realpathSync(join(folder, "npm"))));
}

const firstLine = (error: unknown): string => (error as Error).message.split("\n")[0]!;

function runtimeFacts(hasGpu: boolean): Machine["runtime"] {
  try {
    const { version, knownProviders } = engineInfo();
    // Providers for GPUs are asked only where there is one: some end the process where there is none.
    const names = hasGpu ? knownProviders.map(({ name }) => name).filter((name) => /^(cuda|tensorrt)$/.test(name)) : [];
    const tried: Record<string, string | null> = { cpu: null };
    for (const name of names) {
      configure({ executionProviders: [name as ExecutionProvider, "cpu"] });
      const refused = engineInfo().refusedProviders.find(({ provider }) => provider === name);
      tried[name] =
        refused === undefined ? null : `${refused.reason}${refused.hint === null ? "" : ` ${refused.hint}`}`;
    }
    if (names.length > 0) configure({ executionProviders: ["cpu"] });
    return { version, providers: knownProviders, tried };
  } catch (error) {
    return { error: firstLine(error) };
  }
}

async function imageFacts(): Promise<Machine["images"]> {
  try {
    const { default: sharp } = await import("sharp");
    const formats = ["jpeg", "png", "webp", "tiff"].filter(
      (name) => (sharp.format as unknown as Record<string, { input?: { file?: boolean } }>)[name]?.input?.file,
    );
    return { vips: sharp.versions.vips ?? "unknown", formats };
  } catch (error) {
    return { error: firstLine(error) };
  }
}

/** CPUs that the control group (version 2) grants, a fraction; null: no limit. */
async function cpuQuota(): Promise<number | null> {
  const [quota, period] = (await readFile("/sys/fs/cgroup/cpu.max", "utf8").catch(() => "max")).trim().split(" ");
  const value = Number(quota) / Number(period);
  return Number.isFinite(value) && value > 0 ? value : null;
}

async function cpuFacts(): Promise<Machine["cpu"]> {
  const info = await readFile("/proc/cpuinfo", "utf8").catch(() => "");
  const flags = new Set((/^(?:flags|Features)\s*:\s*(.*)$/m.exec(info)?.[1] ?? "").split(" "));
  return {
    model: cpus()[0]?.model.trim() ?? "unknown",
    features: FEATURES.filter((feature) => flags.has(feature)),
    cores: availableParallelism(),
    quota: await cpuQuota(),
  };
}

async function gpuNames(): Promise<string[] | null> {
  try {
    const { stdout } = await run("nvidia-smi", ["--query-gpu=name", "--format=csv,noheader"], { timeout: 5000 });
    const names = stdout
      .split("\n")
      .map((line) => line.trim())
      .filter((line) => line !== "");
    return names.length === 0 ? null : names;
  } catch {
    return null;
  }
}

/** CUDA toolkits: `CUDA_HOME`, `CUDA_PATH`, `/usr/local/cuda*`. */
async function cudaRoots(env: NodeJS.ProcessEnv): Promise<string[]> {
  const local = (await readdir("/usr/local").catch(() => [])).filter((name) => name.startsWith("cuda"));
  return [env["CUDA_HOME"], env["CUDA_PATH"], ...local.map((name) => join("/usr/local", name))].filter(
    (root): root is string => root !== undefined && root !== "",
  );
}

/** The first file in `folders` whose name matches. */
async function find(folders: readonly string[], pattern: RegExp): Promise<string | null> {
  for (const folder of folders) {
    const name = (await readdir(folder).catch(() => [])).find((entry) => pattern.test(entry));
    if (name !== undefined) return join(folder, name);
  }
  return null;
}

async function folderFacts(path: string): Promise<FolderFacts> {
  // A folder that is not there yet will be made in the nearest one that is.
  let existing = resolve(path);
  while (!existsSync(existing) && existing !== dirname(existing)) existing = dirname(existing);
  const freeBytes = await statfs(existing).then(
    ({ bavail, bsize }) => bavail * bsize,
    () => null,
  );
  let isWritable = true;
  try {
    accessSync(existing, constants.W_OK);
    // Nothing can be made below a file.
    isWritable = statSync(existing).isDirectory();
  } catch {
    isWritable = false;
  }
  return { path: resolve(path), freeBytes, isWritable };
}

async function cachedModels({ cache }: ModelHub): Promise<Machine["models"]> {
  try {
    return (await cache.scan()).map(({ id, bytes, incompleteBytes }) => ({ id, bytes, incompleteBytes }));
  } catch (error) {
    return { error: firstLine(error) };
  }
}

/** Where trtexec is. The package that knows reads images: where their library does not load, nothing can be built either. */
async function trtexecPath(env: NodeJS.ProcessEnv): Promise<string | null> {
  const { findTrtexec } = await import("@seg/export").catch(() => ({ findTrtexec: null }));
  return findTrtexec?.({ env }).path ?? null;
}

/** WebAssembly as the engine has it; the project's type libraries do not declare it. */
const canRun = (code: Uint8Array): boolean =>
  (globalThis as { WebAssembly?: { validate(bytes: Uint8Array): boolean } }).WebAssembly?.validate(code) ?? false;

/** Looks at this machine; nothing is changed and nothing is fetched. */
export async function probeMachine({
  env = process.env,
  cwd = process.cwd(),
}: {
  env?: NodeJS.ProcessEnv;
  cwd?: string;
} = {}): Promise<Machine> {
  const [gpus, roots] = [await gpuNames(), await cudaRoots(env)];
  const path = (env["PATH"] ?? "").split(delimiter).filter((folder) => folder !== "");
  const libraries = (env["LD_LIBRARY_PATH"] ?? "").split(delimiter).filter((folder) => folder !== "");
  const cuda = [
    ...libraries,
    ...roots.flatMap((root) => [join(root, "lib64"), join(root, "lib")]),
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
  ];
  const engine = createRequire(import.meta.url).resolve("@seg/tfjs-onnxruntime");
  const hub = createHub({ env });
  const { environment } = hub;
  return {
    node: process.versions.node,
    npm: npmVersion(path),
    platform: `${process.platform} ${process.arch}`,
    packages: {
      "@seg/cli": versionOf("@seg/cli"),
      "onnxruntime-node": versionOf("onnxruntime-node", engine),
      "@tensorflow/tfjs": versionOf("@tensorflow/tfjs"),
      sharp: versionOf("sharp"),
      ...Object.fromEntries(OPTIONAL.map((name) => [name, versionOf(name)])),
    },
    runtime: runtimeFacts(gpus !== null),
    images: await imageFacts(),
    wasmSimd: canRun(SIMD),
    cpu: await cpuFacts(),
    memory: await readMemory(),
    gpus,
    nvcc: await find([...path, ...roots.map((root) => join(root, "bin"))], /^nvcc$/),
    cudart: await find(cuda, /^libcudart\.so/),
    cudnn: await find(cuda, /^libcudnn\.so/),
    trtexec: await trtexecPath(env),
    folders: { work: await folderFacts(cwd), cache: await folderFacts(environment.segHome) },
    models: await cachedModels(hub),
    tokens: { "Hugging Face": environment.hfToken !== null, CivitAI: environment.civitaiToken !== null },
    isOffline: environment.isOffline,
  };
}
