/**
 * Your own COCO file: check it, let one command do the rest, and accept the result only if it is good enough. Shown with 364 photographs of blood cells
 * whose annotations are boxes, two of them broken.
 *
 *   npm start -w @seg/example-blood-cells                                                the photographs in ../shared/data/bccd
 *   npm start -w @seg/example-blood-cells -- --data FILE --images FOLDER --output FOLDER      yours
 */
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { type ModelRow, main as seg } from "@seg/cli";
import { loadDataset, validateDataset, writeDataset } from "@seg/coco-dataset";
import { parse } from "yaml";

/** What `config.yaml` says. */
export interface Config {
  /** How many of the pictures are used, the first ones. */
  readonly images: number | "all";
  /** What the quantised model must reach on pictures that it has not seen (COCO's mAP of boxes). */
  readonly required: { readonly map50: number; readonly map: number };
  /** Options of `seg run`, as on the command line. */
  readonly run: Readonly<Record<string, string | number | boolean>>;
}

/** What came of it. */
export interface Outcome {
  /** Codes of what is wrong with the data. */
  readonly findings: readonly string[];
  readonly models: readonly ModelRow[];
  /** Whether the INT8 model reaches what is required. */
  readonly isAccepted: boolean;
}

/** Annotations and photographs -> a measured INT8 model in `output`. Called again it does only what is missing. */
export async function learnFromAnnotations(
  config: Config,
  { data, images, output, log }: { data: string; images: string; output: string; log(line: string): void },
): Promise<Outcome> {
  // 1. What is wrong with the data? Codes to decide by, sentences to read; boxes without area are left out of the training by themselves.
  const whole = await loadDataset(data);
  const kept = config.images === "all" ? whole.images : whole.images.slice(0, config.images);
  const ids = new Set(kept.map(({ id }) => id));
  const dataset = {
    ...whole,
    images: kept,
    annotations: whole.annotations.filter(({ image_id }) => ids.has(image_id)),
  };
  const { report } = await validateDataset(dataset, { imagesDir: images });
  for (const { severity, code, message } of report.findings) log(`${severity.padEnd(5)} ${code}: ${message}`);

  // 2. Split, plan, train, quantise, measure, report: one command with what config.yaml decides, the rest by the advisor.
  const annotations = join(output, "annotations.json");
  mkdirSync(output, { recursive: true });
  await writeDataset(dataset, annotations);
  const options = Object.entries(config.run).map(([name, value]) => `--${name}=${value}`);
  const code = await seg(["run", "--data", annotations, "--images", images, "--output", output, ...options]);
  if (code !== 0) throw new Error(`seg run ended with code ${code}; its last line above says why.`);

  // 3. Is it good enough to ship? The report is JSON as well.
  const { models } = JSON.parse(readFileSync(join(output, "report.json"), "utf8")) as { models: ModelRow[] };
  const shipped = models.find(({ kind }) => kind === "student-int8");
  for (const { name, boxAp50 } of shipped?.perClass ?? [])
    log(`${name.padEnd(10)} mAP50 ${boxAp50 === null ? "not measured" : boxAp50.toFixed(3)}`);
  const { map50, map } = config.required;
  const isAccepted = (shipped?.box?.map50 ?? 0) >= map50 && (shipped?.box?.map ?? 0) >= map;
  log(`INT8 ${isAccepted ? "reaches" : "misses"} mAP50 ${map50} and mAP50-95 ${map}`);
  return { findings: report.findings.map((finding) => finding.code), models, isAccepted };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const root = join(import.meta.dirname, "../..");
  const text = { type: "string" } as const;
  const { values } = parseArgs({
    options: { smoke: { type: "boolean", default: false }, data: text, images: text, output: text },
  });
  const file = join(import.meta.dirname, values.smoke ? "config.smoke.yaml" : "config.yaml");
  const config = parse(readFileSync(file, "utf8")) as Config;
  const bccd = join(root, "../shared/data/bccd");
  const data = resolve(values.data ?? join(bccd, "annotations.json"));
  if (!existsSync(data)) {
    console.error(
      `${data} was not found. Give your annotations with --data FILE and their pictures with --images FOLDER.`,
    );
    process.exit(2);
  }
  const images = resolve(values.images ?? (values.data ? join(data, "..") : join(bccd, "images")));
  const output = resolve(
    values.output ?? join(root, "experiments", values.smoke ? "blood-cells-smoke" : "blood-cells"),
  );
  const { isAccepted } = await learnFromAnnotations(config, { data, images, output, log: (line) => console.log(line) });
  process.exitCode = isAccepted ? 0 : 1;
}
