/**
 * Kills a training run at random instants and compares its end with that of an unbroken run, byte for byte.
 *
 *   npm run test:kills                          20 kills, a few minutes
 *   npm run test:kills -- --kills 50 --seed 7
 *
 * SIGKILL after a random time: at the start of the process, while pictures are decoded, in steps, evaluations and writes. Compared are the exported
 * weights (the file), every tensor of the last and best checkpoints (model, average, optimiser slots), the metrics, and the names of the files.
 */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { CounterRandom } from "@seg/augment";
import { readSafetensors } from "@seg/nn";
import { writeShapes } from "../student-shapes/shapes-set.js";

const { values: args } = parseArgs({
  options: { kills: { type: "string", default: "20" }, seed: { type: "string", default: "0" } },
});
const kills = Number(args.kills);
/** Of these many kills one comes at a random time before training has begun. */
const EARLY = 6;
const EARLY_MS = 4000;
/** Otherwise after a random number of events (steps, epochs, evaluations, checkpoints) and a random time: about an epoch of progress per kill, so that they spread over the run. */
const EVENTS = 14;
const LATER_MS = 250;

const root = mkdtempSync(join(tmpdir(), "seg-kills-"));
const images = join(root, "images");
const dataset = await writeShapes({ dir: images, count: 32, side: 64, seed: 5 });
writeFileSync(join(images, "annotations.json"), JSON.stringify(dataset));

interface Ended {
  readonly signal: NodeJS.Signals | null;
  readonly code: number | null;
  readonly errors: string;
}

/** When a child is killed: `ms` milliseconds after its event number `events`, after its start for 0. */
interface Kill {
  readonly ms: number;
  readonly events: number;
}

/** Runs a child to its end or its kill. `seen` is called with each line it says. */
function runChild(directory: string, kill: Kill | null, seen: (line: string) => void = () => {}): Promise<Ended> {
  return new Promise((resolve) => {
    const script = join(import.meta.dirname, "child.ts");
    const child = spawn(process.execPath, ["--conditions=@seg/source", "--import", "tsx", script, directory, images], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    let timer: NodeJS.Timeout | undefined;
    let count = 0;
    const arm = () => {
      if (kill !== null && timer === undefined && count >= kill.events) {
        timer = setTimeout(() => child.kill("SIGKILL"), kill.ms);
      }
    };
    arm();
    child.stdout.on("data", (data) => {
      for (const line of String(data).split("\n")) {
        if (line === "") continue;
        count += 1;
        seen(line);
      }
      arm();
    });
    let errors = "";
    child.stderr.on("data", (data) => {
      errors += String(data);
    });
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      resolve({ code, signal, errors });
    });
  });
}

/** Everything that must be equal, by name. */
function fingerprint(directory: string): Record<string, string> {
  const sha256 = (bytes: string | Uint8Array) => createHash("sha256").update(bytes).digest("hex");
  const result: Record<string, string> = {
    "student.safetensors": sha256(readFileSync(join(directory, "weights/student.safetensors"))),
    files: readdirSync(join(directory, "weights")).sort().join(" "),
  };
  for (const name of ["last", "best"]) {
    const file = readSafetensors(join(directory, "weights", `${name}.safetensors`));
    const hash = createHash("sha256");
    for (const key of file.names().sort()) hash.update(key).update(file.raw(key));
    result[`tensors of ${name}`] = hash.digest("hex");
  }
  const rows = readFileSync(join(directory, "metrics.jsonl"), "utf8").trim().split("\n");
  result["metrics.jsonl"] = sha256(rows.map((row) => JSON.stringify({ ...JSON.parse(row), time: 0 })).join("\n"));
  return result;
}

const say = (line: string) => process.stdout.write(`${line}\n`);
const ended = async (directory: string) => {
  const { code, errors } = await runChild(directory, null);
  if (code !== 0) throw new Error(`The run in ${directory} ended with code ${code}: ${errors}`);
};

const [whole, broken] = [join(root, "whole"), join(root, "broken")];
await ended(whole);
const random = new CounterRandom({ seed: Number(args.seed), path: "kills" });
let hit = 0;
for (let k = 0; hit < kills && k < 4 * kills; k++) {
  const kill: Kill =
    k % EARLY === 0
      ? { events: 0, ms: random.uniform(0, EARLY_MS) }
      : { events: random.integer(1, EVENTS), ms: random.uniform(0, LATER_MS) };
  let last = "nothing";
  const { signal, code, errors } = await runChild(broken, kill, (line) => {
    last = line;
  });
  if (signal !== "SIGKILL") {
    if (code !== 0) throw new Error(`A resumed run ended with code ${code}: ${errors}`);
    say(`the run finished before its kill; comparing, then beginning again`);
    if (!compare()) break;
    rmSync(broken, { recursive: true });
    continue;
  }
  hit += 1;
  say(`kill ${hit} of ${kills}: ${Math.round(kill.ms)} ms after ${kill.events} events; it had said "${last}"`);
}
await ended(broken);

function compare(): boolean {
  const [expected, actual] = [fingerprint(whole), fingerprint(broken)];
  const different = Object.keys(expected).filter((name) => expected[name] !== actual[name]);
  for (const name of different) say(`DIFFERENT ${name}: ${actual[name]}, expected ${expected[name]}`);
  if (different.length > 0) process.exitCode = 1;
  return different.length === 0;
}

const isEqual = compare();
say(
  `${hit} kills; ${isEqual ? "weights, averages, optimiser slots and metrics are those of the unbroken run, byte for byte" : "FAILED"}`,
);
if (isEqual) rmSync(root, { recursive: true, force: true });
else say(`kept ${root}`);
