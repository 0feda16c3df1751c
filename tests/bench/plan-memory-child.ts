// node plan-memory-child.ts STUDENT SIZE BATCH: peak bytes of a process that trains three steps, a line of JSON on stdout.
import process from "node:process";
import type { StudentId } from "@seg/distill";
import { configure, selectEngine } from "@seg/tfjs-onnxruntime";
import { trainingCase } from "./training-case.js";

const [id, size, batch] = process.argv.slice(2) as [StudentId, string, string];
await selectEngine();
configure({ threads: 1 });
const training = trainingCase({ id, size: Number(size), batch: Number(batch) });
for (let i = 0; i < 3; i++) await training.step();
process.stdout.write(`${JSON.stringify({ peakBytes: process.resourceUsage().maxRSS * 1024 })}\n`);
