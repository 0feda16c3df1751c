import { createHash } from "node:crypto";
import { createReadStream, existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { z } from "zod";
import { CommandError } from "../errors.js";
import { writeJson } from "../files.js";

const file = z.strictObject({ bytes: z.number().int().nonnegative(), sha256: z.string() });
const step = z.strictObject({
  state: z.enum(["started", "done"]),
  /** SHA-256 of what the step was made from. */
  key: z.string(),
  /** What the step was made from, for people: values by name. */
  inputs: z.record(z.string(), z.unknown()),
  /** Files that the step left, relative to the experiment. */
  outputs: z.record(z.string(), file).default({}),
  /** Of the last uninterrupted stretch. */
  seconds: z.number().nonnegative().default(0),
});
const record = z.strictObject({
  version: z.literal(1),
  /** Name of this run in the learning store; null where there was none. */
  learning: z.string().nullable().default(null),
  steps: z.record(z.string(), step).default({}),
});

/** What is known of a step that was begun. */
export type StepRecord = z.infer<typeof step>;
/** `run.json` of an experiment: which steps are done, from what, with which files. */
export type RunRecord = z.infer<typeof record>;

export const runRecordFile = (experiment: string): string => join(experiment, "run.json");

/** @throws {@link CommandError} `cli/run-record-damaged` */
export function readRunRecord(experiment: string): RunRecord {
  const path = runRecordFile(experiment);
  if (!existsSync(path)) return { version: 1, learning: null, steps: {} };
  try {
    return record.parse(JSON.parse(readFileSync(path, "utf8")));
  } catch (cause) {
    throw new CommandError({
      code: "cli/run-record-damaged",
      message: `${path} is damaged (${(cause as Error).message.split("\n")[0]}). Remove it to do every step again, or give another --output.`,
    });
  }
}

export const writeRunRecord = (experiment: string, value: RunRecord): void =>
  writeJson(runRecordFile(experiment), value);

/** SHA-256 of a file, streamed. */
export async function fileSha256(path: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(path), hash);
  return hash.digest("hex");
}

/** Bytes and digest of the files that exist, by the name that was given. */
export async function describeFiles(
  experiment: string,
  names: readonly string[],
): Promise<Record<string, { bytes: number; sha256: string }>> {
  const entries: [string, { bytes: number; sha256: string }][] = [];
  for (const name of names) {
    const path = join(experiment, name);
    if (!existsSync(path)) continue;
    entries.push([name, { bytes: statSync(path).size, sha256: await fileSha256(path) }]);
  }
  return Object.fromEntries(entries);
}

/** The first file of a finished step that is missing or another one now; null when all are whole. */
export async function brokenOutput(experiment: string, { outputs }: StepRecord): Promise<string | null> {
  for (const [name, { bytes, sha256 }] of Object.entries(outputs)) {
    const path = join(experiment, name);
    if (!existsSync(path) || statSync(path).size !== bytes || (await fileSha256(path)) !== sha256) return name;
  }
  return null;
}
