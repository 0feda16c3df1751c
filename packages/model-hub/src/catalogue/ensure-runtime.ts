import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { promisify } from "node:util";
import { HubError } from "../errors.js";
import { catalogue } from "./catalogue.js";
import type { CatalogueEntry } from "./types.js";

/** What a loader imports, in the versions that this toolkit is tested with. */
const PACKAGES = { "onnxruntime-node": "1.30.0", "@tensorflow/tfjs": "4.22.0" } as const;
type PackageName = keyof typeof PACKAGES;

/** A package that loading a model needs. */
export interface RuntimePackage {
  readonly name: string;
  /** The version that would be installed. */
  readonly wanted: string;
  /** The version that is there; "unknown" where its package.json is not readable, null when it is absent. */
  readonly installed: string | null;
  readonly reason: string;
}

/** Which packages loading a model needs, which are there, and the command for the others. */
export interface RuntimeReport {
  readonly id: string;
  readonly isReady: boolean;
  readonly packages: readonly RuntimePackage[];
  /** What installs the absent ones; null when nothing is absent. */
  readonly command: string | null;
  /** Whether this call installed something. */
  readonly wasInstalled: boolean;
}

/** Whether missing packages are installed, and where. */
export interface RuntimeOptions {
  /** Run the command, rather than say it. @defaultValue false */
  readonly install?: false | "npm";
  /** Folder of the project that loads the model. @defaultValue the working folder */
  readonly projectDirectory?: string;
  readonly signal?: AbortSignal | undefined;
  /** Runs npm with arguments. @defaultValue `npm` on PATH */
  readonly runNpm?: (
    args: readonly string[],
    options: { cwd: string; signal?: AbortSignal | undefined },
  ) => Promise<void>;
  /** Version of an installed package as seen from a folder, null when it cannot be imported there. */
  readonly versionOf?: (name: string, directory: string) => Promise<string | null>;
}

function packagesOf({ format, role }: CatalogueEntry): readonly (readonly [PackageName, string])[] {
  const engine = ["onnxruntime-node", format === "onnx" ? "runs its ONNX graph" : "the execution engine"] as const;
  return format === "onnx" || role === "restoration"
    ? [engine]
    : [engine, ["@tensorflow/tfjs", "the network and its training"]];
}

/**
 * Whether the packages that load a model can be imported from a project. Says the exact command that installs the absent ones; runs it only
 * with `install: "npm"`.
 *
 * @throws {@link HubError} NOT_FOUND for an unknown model; INTERNAL when npm failed or what it installed cannot be imported
 */
export async function ensureRuntime(
  id: string,
  {
    install = false,
    projectDirectory = process.cwd(),
    signal,
    runNpm = npm,
    versionOf = installedVersion,
  }: RuntimeOptions = {},
): Promise<RuntimeReport> {
  const entry = catalogue.get(id);
  const look = () =>
    Promise.all(
      packagesOf(entry).map(async ([name, reason]): Promise<RuntimePackage> => {
        return { name, wanted: PACKAGES[name], installed: await versionOf(name, projectDirectory), reason };
      }),
    );
  const packages = await look();
  const absent = packages.filter(({ installed }) => installed === null);
  const args = ["install", ...absent.map(({ name, wanted }) => `${name}@${wanted}`)];
  const command = absent.length === 0 ? null : `npm ${args.join(" ")}`;
  const report = { id: entry.id, isReady: absent.length === 0, packages, command, wasInstalled: false };
  if (absent.length === 0 || install === false) return report;
  await runNpm(args, { cwd: projectDirectory, signal });
  const after = await look();
  const still = after.filter(({ installed }) => installed === null).map(({ name }) => name);
  if (still.length > 0) {
    throw new HubError({
      code: "INTERNAL",
      message: `${command} ended without an error, but ${still.join(", ")} cannot be imported from ${projectDirectory}. Run it in the folder of your package.json.`,
      details: { packages: still },
    });
  }
  return { id: entry.id, isReady: true, packages: after, command: null, wasInstalled: true };
}

async function installedVersion(name: string, directory: string): Promise<string | null> {
  const require = createRequire(join(directory, "package.json"));
  try {
    const { version } = JSON.parse(await readFile(require.resolve(`${name}/package.json`), "utf8")) as {
      version?: string;
    };
    return version ?? "unknown";
  } catch (error) {
    // There, but its package.json is not among its exports.
    if ((error as NodeJS.ErrnoException).code === "ERR_PACKAGE_PATH_NOT_EXPORTED") return "unknown";
    return null;
  }
}

async function npm(
  args: readonly string[],
  { cwd, signal }: { cwd: string; signal?: AbortSignal | undefined },
): Promise<void> {
  try {
    // npm is a script on Windows, which only a shell can start; the arguments are constants of this file.
    await promisify(execFile)("npm", [...args], { cwd, signal, shell: process.platform === "win32" });
  } catch (cause) {
    signal?.throwIfAborted();
    const { stderr } = cause as { stderr?: string };
    throw new HubError({
      code: "INTERNAL",
      message: `npm ${args.join(" ")} failed in ${cwd}: ${(stderr ?? String(cause)).trim().slice(-500)}`,
      cause,
    });
  }
}
