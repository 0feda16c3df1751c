import { type ChildProcess, spawn } from "node:child_process";
import { mkdir } from "node:fs/promises";
import { basename, join } from "node:path";
import process from "node:process";
import { build } from "esbuild";
import { programPath } from "./open-retrain.js";
import type { ChildTask } from "./registry-child.js";

export interface RunningChild {
  readonly child: ChildProcess;
  /** Everything it printed, when it has ended by itself or by SIGKILL. */
  readonly output: Promise<string>;
}

/** Starts `node argv`, the last argument being the task. */
export function startChild(argv: readonly string[], task: unknown): RunningChild {
  const child = spawn(process.execPath, [...argv, JSON.stringify(task)], { stdio: ["pipe", "pipe", "pipe"] });
  let output = "";
  let errors = "";
  child.stdout.on("data", (chunk) => {
    output += chunk;
  });
  child.stderr.on("data", (chunk) => {
    errors += chunk;
  });
  // Who was killed reads nothing any more.
  child.stdin.on("error", () => {});
  return {
    child,
    output: new Promise((resolve, reject) => {
      child.once("error", reject);
      child.once("close", (code, signal) =>
        code === 0 || signal === "SIGKILL"
          ? resolve(output)
          : reject(new Error(`child ended with ${code ?? signal}: ${errors}`)),
      );
    }),
  };
}

/** The JSON that a child printed after its first line, or null when it was killed before that. */
export async function answerOf<Answer>({ output }: RunningChild): Promise<Answer | null> {
  const [, answer = ""] = (await output).split("\n");
  return answer === "" ? null : (JSON.parse(answer) as Answer);
}

let registryProgram: Promise<string[]> | undefined;

/** Starts `registry-child.ts`. */
export async function startRegistryChild(task: ChildTask): Promise<RunningChild> {
  registryProgram ??= bundleProgram("./registry-child.ts");
  return startChild(await registryProgram, task);
}

/** Runs it to the end. */
export const runRegistryChild = async <Answer>(task: ChildTask): Promise<Answer> =>
  JSON.parse(await (await startRegistryChild(task)).output) as Answer;

/**
 * Makes one JavaScript file of a program of this folder: it starts in a tenth of the time that its sources need, which counts where a hundred
 * processes are started. It lies where its packages are found.
 * @returns arguments of `node`
 */
export async function bundleProgram(name: string): Promise<string[]> {
  const folder = programPath("../node_modules/.cache/seg-test");
  await mkdir(folder, { recursive: true });
  const outfile = join(folder, `${basename(name, ".ts")}-${process.pid}.mjs`);
  await build({
    entryPoints: [programPath(name)],
    outfile,
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node20",
    packages: "external",
    logLevel: "error",
  });
  return [outfile];
}
