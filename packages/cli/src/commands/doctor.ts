import type { OptionSpecs, OptionValues } from "../args.js";
import type { CommandContext } from "../command.js";
import { type Diagnosis, diagnose, isUsable } from "../doctor/diagnose.js";
import { probeMachine } from "../doctor/machine.js";
import { plannedWork } from "../doctor/planned-work.js";
import { CommandError } from "../errors.js";
import type { Output } from "../output.js";

export const doctorOptions: OptionSpecs = {
  data: { type: "string", path: "file", help: "COCO file: memory and disk are held against what seg run plans for it" },
  images: { type: "string", path: "folder", help: "folder of its images; found beside it when absent" },
  "skip-self-test": { type: "boolean", fallback: false, help: "do not train and run the small model" },
};

/** Says whether seg can be used on this machine, what could be had, and what to do. */
export async function doctor(options: OptionValues, output: Output, { signal }: CommandContext): Promise<void> {
  const say = (found: Diagnosis) => {
    output.line(`${found.state.padEnd(8)} ${found.what.padEnd(15)} ${found.detail}`);
    if (found.todo !== null) output.line(`${" ".repeat(25)}-> ${found.todo}`);
    output.event({ type: "diagnosis", ...found });
  };
  const machine = await probeMachine();
  const data = options["data"] as string | undefined;
  const work =
    data === undefined ? null : await plannedWork(data, { images: options["images"] as string | undefined, signal });
  const list = diagnose(machine, { work });
  for (const found of list) say(found);
  // What lacks a library cannot train: the list above says which, and loading the test would only say it again, worse.
  if (options["skip-self-test"] !== true && isUsable(list)) {
    signal.throwIfAborted();
    const { selfTest } = await import("../doctor/self-test.js");
    const tested = await selfTest({ signal });
    say(tested);
    list.push(tested);
  }
  const usable = isUsable(list);
  const problems = list.filter(({ state }) => state === "problem").map(({ what }) => what);
  if (usable) output.line(`usable: seg run --data ${data ?? "annotations.json"} is the next step`);
  output.result({ command: "doctor", usable, diagnoses: list });
  if (!usable) {
    throw new CommandError({
      code: "cli/not-usable",
      message: `seg cannot be used on this machine yet: ${problems.join(", ")}. What to do stands beside each of them.`,
    });
  }
}
