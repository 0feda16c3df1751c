import { readFileSync } from "node:fs";
import { join } from "node:path";
import { inspectDataset, loadDataset } from "@seg/coco-dataset";
import {
  type Constraints,
  DOMAIN_DISTANCE,
  defaultRules,
  type ExplainLevel,
  explainAdapters,
  explainPlan,
  type Fact,
  fingerprintDataset,
  makePlan,
  type Priority,
  parseRules,
  readMemory,
} from "@seg/model-hub";
import type { OptionSpecs, OptionValues } from "../args.js";
import type { CommandContext } from "../command.js";
import { emptyData } from "../data.js";
import { reportDryRun } from "../dry-run.js";
import { UsageError } from "../errors.js";
import { imagesDirectory, writeFileAtomic, writeJson } from "../files.js";
import { didYouMean } from "../option-names.js";
import { configOption, dryRunOption } from "../option-specs.js";
import type { Output } from "../output.js";

const LEVELS = ["minimal", "standard", "detailed", "technical"] as const;
const PRIORITIES = ["quality", "balanced", "speed", "memory"] as const;
const DEVICES = ["cpu", "accelerator"] as const;
const DOMAINS = Object.keys(DOMAIN_DISTANCE);
const positive = { above: 0 } as const;

export const adviseOptions: OptionSpecs = {
  data: { type: "string", path: "file", required: true, help: "COCO file" },
  images: { type: "string", path: "folder", help: "folder of the images", usual: "beside the COCO file" },
  explain: { type: "string", fallback: "standard", choices: LEVELS, help: "how much is said" },
  priority: { type: "string", fallback: "balanced", choices: PRIORITIES, help: "what matters most" },
  domain: { type: "string", fallback: "photographic", choices: DOMAINS, help: "kind of pictures" },
  precision: {
    type: "number",
    range: { min: 0, max: 1 },
    fallback: 0.5,
    help: "0: teachers find as much as possible, 1: they are right",
  },
  device: { type: "string", fallback: "cpu", choices: DEVICES, help: "where training runs" },
  "memory-gb": { type: "number", range: positive, help: "memory that training may find", usual: "what is free now" },
  "max-latency-ms": {
    type: "number",
    range: positive,
    help: "time for one image on the device; needs --device-gflops",
  },
  "device-gflops": { type: "number", range: positive, help: "what the device computes in a second, measured" },
  "max-model-mb": { type: "number", range: positive, help: "largest exported model" },
  permissive: { type: "boolean", fallback: false, help: "no weights under AGPL or other restrictive licences" },
  set: { type: "list", help: "decide something yourself: --set student=yolov8m image_size=512" },
  rules: { type: "string", path: "file", help: "YAML file with other rules" },
  adapters: {
    type: "string",
    path: "file",
    help: "JSON list of adapters to choose from, such as seg hub search --kind lora --json prints",
  },
  task: {
    type: "string",
    help: "what shall be found, in words; adapters are compared with it",
    usual: "the class names",
  },
  "text-encoder": {
    type: "string",
    path: "folder",
    help: "Grounding DINO whose text encoder compares task and descriptions: a folder, or grounding-dino-tiny-synthetic",
    usual: "words and character grams are compared",
  },
  output: {
    type: "string",
    path: "folder",
    help: "folder for plan.json and plan.txt; nothing is written without it",
    aliases: ["output-dir"],
  },
  ...configOption,
  ...dryRunOption,
};

/** `name=value` pairs; numbers, true, false and none are what they say. */
function overridesOf(pairs: readonly string[], known: readonly string[]): Record<string, Fact> {
  const result: Record<string, Fact> = {};
  for (const pair of pairs) {
    const [name, value] = pair.split("=", 2) as [string, string | undefined];
    if (value === undefined || value === "") throw new UsageError(`--set takes name=value; got "${pair}".`);
    if (!known.includes(name)) {
      throw new UsageError(`--set knows no "${name}".${didYouMean(name, known)} Known: ${known.join(", ")}.`);
    }
    const words: Readonly<Record<string, Fact>> = { true: true, false: false, none: null };
    const number = Number(value);
    result[name] = Object.hasOwn(words, value) ? words[value]! : Number.isNaN(number) ? value : number;
  }
  return result;
}

/** Says what to train on a dataset, and why, in words. */
export async function advise(options: OptionValues, output: Output, { signal, config }: CommandContext): Promise<void> {
  const level = options["explain"] as ExplainLevel;
  const priority = options["priority"] as Priority;
  const device = options["device"] as (typeof DEVICES)[number];
  const path = options["data"] as string;
  const rulesPath = options["rules"] as string | undefined;
  const rules = rulesPath === undefined ? defaultRules() : parseRules(readFileSync(rulesPath, "utf8"), rulesPath);
  const overrides = overridesOf((options["set"] as string[] | undefined) ?? [], Object.keys(rules.outputs));
  const dataset = await loadDataset(path);
  if (dataset.images.length === 0) throw emptyData(path);
  const imagesDir = await imagesDirectory({ dataset, path, option: options["images"] as string | undefined });
  output.event({ type: "dataset", ...inspectDataset(dataset).counts });
  const fingerprint = await fingerprintDataset(dataset, { imagesDir, signal });
  const memory = options["memory-gb"] as number | undefined;
  const freeBytes = memory === undefined ? (await readMemory()).availableBytes : memory * 1e9;
  const number = (name: string) => options[name] as number | undefined;
  const constraints: Constraints = {
    device,
    freeBytes,
    permissiveOnly: options["permissive"] as boolean,
    ...(number("max-latency-ms") === undefined ? {} : { maxLatencyMs: number("max-latency-ms")! }),
    ...(number("device-gflops") === undefined ? {} : { gflopsPerSecond: number("device-gflops")! }),
    ...(number("max-model-mb") === undefined ? {} : { maxModelBytes: number("max-model-mb")! * 1e6 }),
  };
  const plan = makePlan(
    {
      fingerprint,
      priority,
      constraints,
      domain: options["domain"] as string,
      precision: options["precision"] as number,
      overrides,
    },
    { rules },
  );
  const adapterFile = options["adapters"] as string | undefined;
  const adapters =
    adapterFile === undefined
      ? null
      : await (await import("../teacher/advise-adapters.js")).adviseAdapters({
          file: adapterFile,
          task: (options["task"] as string | undefined) ?? "",
          classNames: fingerprint.class_names,
          baseModel: (plan.choices["detector_teacher"] ?? plan.choices["mask_teacher"] ?? null) as string | null,
          complexity: plan.complexity.value,
          textEncoder: options["text-encoder"] as string | undefined,
        });
  const text = explainPlan(plan, level) + (adapters === null ? "" : `\n${explainAdapters(adapters)}`);
  output.line(text.trimEnd());
  const directory = options["output"] as string | undefined;
  if (options["dry-run"] === true) {
    const writes = ["plan.json", "plan.txt"].map((name) => ({ path: join(directory ?? "", name), what: "the plan" }));
    const dry = { decisions: [], steps: ["plan, as above"], writes: directory === undefined ? [] : writes };
    return reportDryRun({ command: "advise", config, output, plan: dry });
  }
  if (directory !== undefined) {
    writeJson(join(directory, "plan.json"), { plan, fingerprint, ...(adapters === null ? {} : { adapters }) });
    writeFileAtomic(join(directory, "plan.txt"), text);
    output.line(`\nWritten to ${join(directory, "plan.json")} and plan.txt.`);
  }
  output.result({ command: "advise", plan, ...(adapters === null ? {} : { adapters }) });
}
