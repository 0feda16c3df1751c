import { readdir, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { HubError } from "../../errors.js";
import type { RegisterFile, VersionMetrics } from "../../registry/types.js";
import { type CliCall, type CliCommand, CliUsageError } from "../command.js";
import { metricOf } from "../metric-option.js";
import { STATE_OPTIONS, withState } from "../open-state.js";

/** Metrics that a version has a field for; others go under `extra`. */
const FIELDS: readonly (keyof VersionMetrics)[] = [
  "accuracy",
  "precision",
  "recall",
  "f1_score",
  "loss",
  "map50",
  "map50_95",
  "mask_iou",
  "training_samples",
  "training_time",
  "latency_ms",
  "size_bytes",
];

/** A file under its name, or all files of a folder and its subfolders under their paths in it. */
async function filesOf(path: string): Promise<RegisterFile[]> {
  const found = await stat(path).catch(() => null);
  if (found === null) throw new HubError({ code: "NOT_FOUND", message: `${path} does not exist.`, details: { path } });
  if (!found.isDirectory()) return [{ path: basename(path), source: path }];
  const walk = async (folder: string, prefix: string): Promise<RegisterFile[]> => {
    const entries = await readdir(folder, { withFileTypes: true });
    const lists = entries
      .sort((a, b) => (a.name < b.name ? -1 : 1))
      .map(async (entry): Promise<RegisterFile[]> => {
        const at = join(folder, entry.name);
        if (entry.isDirectory()) return walk(at, `${prefix}${entry.name}/`);
        return entry.isFile() ? [{ path: `${prefix}${entry.name}`, source: at }] : [];
      });
    return (await Promise.all(lists)).flat();
  };
  return walk(path, "");
}

function metricsOf(call: CliCall): Partial<VersionMetrics> {
  const given = call.list("metric").map(metricOf);
  const isField = ([name]: readonly [string, number]) => (FIELDS as readonly string[]).includes(name);
  const extra = given.filter((metric) => !isField(metric));
  return {
    ...Object.fromEntries(given.filter(isField)),
    ...(extra.length === 0 ? {} : { extra: Object.fromEntries(extra) }),
  };
}

/** `seg-hub registry register`: a version of files that lie here. */
export const registerCommands: readonly CliCommand[] = [
  {
    name: "registry register",
    operands: "<file or folder>...",
    help: "store local files as a new version of a model, with SHA-256, MD5 and a generated README",
    options: {
      ...STATE_OPTIONS,
      model: { type: "string", help: "model's name [default]" },
      metric: { type: "string", multiple: true, help: "name=number, such as map50=0.81; repeatable" },
      "metric-definition": {
        type: "string",
        help: "how they were measured; only versions that agree in it are compared",
      },
      description: { type: "string", help: "in words" },
      tag: { type: "string", multiple: true, help: "a word to find it by; repeatable" },
      alias: { type: "string", multiple: true, help: "another name of this version; repeatable" },
      dataset: { type: "string", help: "name of what it was trained on" },
      teacher: { type: "string", help: "what it was distilled from" },
      adapter: { type: "string", help: "adapter of that teacher" },
      base: { type: "string", help: "what its training started from" },
      "run-id": {
        type: "string",
        help: "name of the run; the same run gives one version however often it is registered",
      },
    },
    run: (call) => {
      if (call.positional.length === 0) throw new CliUsageError("Name the files or the folder of the version.");
      return withState(call, async ({ registry }) => {
        const files = (await Promise.all(call.positional.map(filesOf))).flat();
        if (files.length === 0)
          throw new HubError({ code: "NOT_FOUND", message: `${call.positional.join(", ")} holds no files.` });
        const version = await registry.register(
          {
            model: call.text("model") ?? "default",
            files,
            metrics: metricsOf(call),
            metric_definition_id: call.text("metric-definition") ?? null,
            dataset: { id: call.text("dataset") ?? null },
            parents: {
              teacher: call.text("teacher") ?? null,
              adapter: call.text("adapter") ?? null,
              base: call.text("base") ?? null,
            },
            run_id: call.text("run-id") ?? null,
            created_by: call.io.env["USER"] ?? null,
            description: call.text("description") ?? "",
            tags: call.list("tag"),
            aliases: call.list("alias"),
          },
          { signal: call.io.signal },
        );
        call.result(version, [
          `${version.model} ${version.version}  ${version.files.length} files, ${version.size_bytes} bytes`,
          ...version.files.map(({ path, sha256 }) => `  ${sha256}  ${path}`),
        ]);
        return 0;
      });
    },
  },
];
