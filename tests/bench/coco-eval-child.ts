// One evaluation in a fresh process: GROUND_TRUTH DETECTIONS TYPE -> a line of JSON.
import { readFileSync } from "node:fs";
import process from "node:process";
import { type CocoResult, evaluate, type IouType, loadDataset } from "@seg/coco-dataset";

/** What the process prints. */
export interface Measured {
  readonly cpuMs: number;
  readonly wallMs: number;
  /** Median of further evaluations in the same process. */
  readonly warmCpuMs: number;
  /** Peak resident memory after the first evaluation, documents included. */
  readonly peakMb: number;
  readonly stats: readonly number[];
}

const WARM = 3;
const [gt = "", dt = "", type = "bbox"] = process.argv.slice(2);
const groundTruth = await loadDataset(gt);
const detections = JSON.parse(readFileSync(dt, "utf8")) as CocoResult[];

function measure(): { cpuMs: number; wallMs: number; stats: readonly number[] } {
  const cpu = process.cpuUsage();
  const wall = performance.now();
  const { stats } = evaluate({ groundTruth, detections, iouType: type as IouType });
  const used = process.cpuUsage(cpu);
  return { cpuMs: (used.user + used.system) / 1000, wallMs: performance.now() - wall, stats };
}

const first = measure();
const peakMb = process.resourceUsage().maxRSS / 1024;
const warm = Array.from({ length: WARM }, () => measure().cpuMs).sort((a, b) => a - b);
const measured: Measured = { ...first, warmCpuMs: warm[WARM >> 1]!, peakMb };
process.stdout.write(`${JSON.stringify(measured)}\n`);
