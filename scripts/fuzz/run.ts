/**
 * `npm run fuzz -- NAME [--runs N] [--seed S] [--first RUN]`: hostile input in large numbers. Every input must be accepted or refused
 * with a typed error; anything else, and a run that takes longer than ten seconds, ends the program with exit code 1 and says how to
 * repeat it.
 */
import { fork } from "node:child_process";
import process from "node:process";
import { parseArgs } from "node:util";
import { fuzzers } from "./fuzzers.js";

/** A run takes about a millisecond. */
const HANG_MS = 10_000;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    runs: { type: "string", default: "10000" },
    seed: { type: "string", default: "0" },
    first: { type: "string", default: "0" },
  },
});
const [runs, seed, first] = [Number(values.runs), Number(values.seed), Number(values.first)];
const [name = ""] = positionals;
if (fuzzers[name] === undefined || ![runs, seed, first].every((value) => Number.isInteger(value) && value >= 0)) {
  process.stderr.write(
    `usage: npm run fuzz -- ${Object.keys(fuzzers).join("|")} [--runs N] [--seed S] [--first RUN]\n`,
  );
  process.exit(2);
}

type Message =
  | { readonly run: number; readonly failure?: string }
  | { readonly counts: { readonly accepted: number; readonly refused: number } };

const started = performance.now();
let current = first;
/** When the worker was last heard of; null while it loads its modules, which takes as long as the machine is busy. */
let changed: number | null = null;
let failures = 0;
const repeat = (run: number) => `npm run fuzz -- ${name} --seed ${seed} --first ${run} --runs 1`;
let isDone = false;
const worker = fork(new URL("./worker.ts", import.meta.url), [name, String(seed), String(first), String(runs)], {
  execArgv: process.execArgv,
});
const watch = setInterval(() => {
  if (changed === null || performance.now() - changed < HANG_MS) return;
  process.stdout.write(`HANG in run ${current}: ${repeat(current)}\n`);
  worker.kill("SIGKILL");
  process.exit(1);
}, 1000);
worker.on("message", (received) => {
  const message = received as Message;
  changed = performance.now();
  if ("counts" in message) {
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    const { accepted, refused } = message.counts;
    process.stdout.write(
      `${name}: ${runs} runs, ${accepted} accepted, ${refused} refused with a typed error, ${failures} failed, ${seconds} s\n`,
    );
    isDone = true;
    clearInterval(watch);
    process.exitCode = failures === 0 ? 0 : 1;
    return;
  }
  current = message.run;
  if (message.failure === undefined) return;
  failures++;
  if (failures <= 10) process.stdout.write(`FAILED run ${message.run} (${repeat(message.run)}): ${message.failure}\n`);
});
worker.on("exit", (code, signal) => {
  if (isDone) return;
  clearInterval(watch);
  process.stdout.write(`CRASH in run ${current} (${repeat(current)}): exit ${code ?? signal}\n`);
  process.exitCode = 1;
});
