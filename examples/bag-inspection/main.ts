/**
 * From nothing to a measured, prompt-free INT8 model: generates a seeded inspection scene, then runs the same commands that a
 * team would run on its own COCO file. `npm run demo`, or `npm run demo -- --smoke` for a run of a minute.
 */
import { existsSync, readFileSync, rmSync } from "node:fs";
import { availableParallelism } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { main as seg } from "@seg/cli";
import { parse } from "yaml";
import { generateBagScenes } from "./generate.js";

interface DemoConfig {
  readonly images: number;
  readonly seed: number;
  readonly split: string;
  readonly teacher: Readonly<Record<string, string | number | boolean>>;
  readonly student: Readonly<Record<string, string | number | boolean>>;
  readonly optimize: Readonly<Record<string, string | number | boolean>>;
  readonly evaluate: Readonly<Record<string, string | number | boolean>>;
}

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, "..", "..");
const smoke = process.argv.includes("--smoke");
const config = parse(readFileSync(join(here, smoke ? "config.smoke.yaml" : "config.yaml"), "utf8")) as DemoConfig;
const experiment = join(root, "experiments", smoke ? "demo-smoke" : "demo");
const data = join(experiment, "data");
const student = join(experiment, "student");
const started = performance.now();

/** `{ epochs: 10 }` -> `--epochs=10` */
const flags = (values: Readonly<Record<string, string | number | boolean>>): string[] =>
  Object.entries(values).map(([name, value]) => `--${name}=${value}`);

const timings: Record<string, number> = {};

async function step(title: string, run: () => Promise<number | undefined>): Promise<void> {
  const begin = performance.now();
  process.stdout.write(`\n== ${title}\n`);
  const code = await run();
  if (code !== undefined && code !== 0) process.exit(code);
  timings[title] = (performance.now() - begin) / 1000;
}

// The demo always starts afresh: equal seeds give equal files, so nothing of value is lost.
rmSync(experiment, { recursive: true, force: true });

await step("generate", async () => {
  const { images, annotations } = await generateBagScenes({ count: config.images, seed: config.seed, outDir: data });
  process.stdout.write(`${images.length} images, ${annotations.length} annotations in ${data}\n`);
  return undefined;
});
await step("validate", () =>
  seg([
    "validate",
    "--data",
    join(data, "annotations.json"),
    "--split",
    config.split,
    "--stratify",
    "--random-seed",
    String(config.seed),
    "--output",
    data,
  ]),
);
await step("train-teacher", () =>
  seg([
    "train-teacher",
    "--data",
    join(data, "train.json"),
    "--val",
    join(data, "val.json"),
    "--output",
    experiment,
    ...flags(config.teacher),
  ]),
);
await step("train-student", () =>
  seg([
    "train-student",
    "--data",
    join(data, "train.json"),
    "--val",
    join(data, "val.json"),
    "--teacher-dir",
    experiment,
    "--output",
    student,
    ...flags(config.student),
  ]),
);
await step("optimize", () => seg(["optimize", "--model", student, ...flags(config.optimize)]));
await step("evaluate", () =>
  seg([
    "evaluate",
    "--teacher-dir",
    experiment,
    "--student",
    student,
    "--data",
    join(data, "test.json"),
    "--title",
    "Bag inspection",
    ...flags(config.evaluate),
  ]),
);

const report = join(experiment, "report.json");
const seconds = (performance.now() - started) / 1000;
process.stdout.write(
  `\n${Object.entries(timings)
    .map(([name, s]) => `${name} ${s.toFixed(0)} s`)
    .join(", ")}\n`,
);
process.stdout.write(
  `${(seconds / 60).toFixed(1)} minutes on ${availableParallelism()} cores. Open ${join(experiment, "report.html")}\n`,
);
if (!existsSync(report)) process.exit(1);
