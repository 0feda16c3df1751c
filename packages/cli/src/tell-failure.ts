import process from "node:process";
import { exitCodeOf } from "./errors.js";
import { explainError } from "./explain-error.js";

/**
 * Says what went wrong: one sentence on stderr, with --json also the last line of stdout, with SEG_DEBUG the stack.
 * @returns the exit code
 */
export function tellFailure(
  error: unknown,
  { command, json }: { command?: string | undefined; json: boolean },
): number {
  const { code, message } = explainError(error, { command });
  if (json) process.stdout.write(`${JSON.stringify({ type: "error", code, message })}\n`);
  process.stderr.write(`error: ${message}\n`);
  if (process.env["SEG_DEBUG"] !== undefined && error instanceof Error) process.stderr.write(`${error.stack}\n`);
  return exitCodeOf(error);
}
