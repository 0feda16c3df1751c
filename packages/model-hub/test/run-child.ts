import { type ChildProcess, spawn } from "node:child_process";
import process from "node:process";
import { CHILD_EXEC_ARGV, programPath } from "./open-retrain.js";
import type { ChildTask } from "./registry-child.js";

/** Starts `registry-child.ts`. */
export function startRegistryChild(task: ChildTask): {
  readonly child: ChildProcess;
  readonly output: Promise<string>;
} {
  const child = spawn(
    process.execPath,
    [...CHILD_EXEC_ARGV, programPath("./registry-child.ts"), JSON.stringify(task)],
    {
      stdio: ["ignore", "pipe", "pipe"],
    },
  );
  let output = "";
  let errors = "";
  child.stdout!.on("data", (chunk) => {
    output += chunk;
  });
  child.stderr!.on("data", (chunk) => {
    errors += chunk;
  });
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

/** Runs it to the end. */
export const runRegistryChild = async <Answer>(task: ChildTask): Promise<Answer> =>
  JSON.parse(await startRegistryChild(task).output) as Answer;
