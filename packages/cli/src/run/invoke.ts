import { runCommand } from "../main.js";
import type { Output } from "../output.js";
import type { Settings } from "./plan-words.js";

/** Output of a step inside a run: its events say in `of` which step they are of, its result is one of them and not the run's. */
const stepOutput = (output: Output, step: string): Output => ({
  ...output,
  event: (event) => output.event({ ...event, of: step }),
  result: (result) => output.event({ type: "step-result", ...result, of: step }),
});

/**
 * Runs a command of seg as a step of a run.
 *
 * @param decided - what the plan says; recorded as coming from the data
 * @param options - paths, and what the person decided: wins
 */
export async function invoke(
  step: string,
  {
    decided = {},
    why = "the plan of this run",
    options,
    output,
    signal,
  }: { decided?: Settings; why?: string; options: Settings; output: Output; signal: AbortSignal },
): Promise<void> {
  await runCommand(step, {
    decided: Object.fromEntries(Object.entries(decided).map(([name, value]) => [name, { value, why }])),
    options,
    output: stepOutput(output, step),
    signal,
  });
}
