import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import type { Measured } from "./coco-eval-child.js";
import { cocoSet } from "./coco-set.js";
import { peerPython } from "./peer-python.js";
import { type BenchResult, median } from "./result.js";

/** Processes per case, each with a single, cold evaluation: what one `evaluate` in a fresh program costs. */
const RUNS = 3;
/** pycocotools and this package add the same numbers in the same order. */
const TOLERANCE = 1e-12;

const CASES = [
  { id: "bbox", type: "bbox", repeats: 1 },
  { id: "segm", type: "segm", repeats: 1 },
  { id: "bbox x10", type: "bbox", repeats: 10 },
  { id: "segm x10", type: "segm", repeats: 10 },
] as const;

/** loadRes, evaluate, accumulate, summarize of the same files; reading JSON is not timed on either side. */
const PEER = `
import contextlib, io, json, resource, sys, time
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
gt, dt, kind = sys.argv[1:4]
with contextlib.redirect_stdout(io.StringIO()):
    coco = COCO(gt)
    rows = json.load(open(dt))
    wall, cpu = time.perf_counter(), time.process_time()
    e = COCOeval(coco, coco.loadRes(rows), kind)
    e.evaluate(); e.accumulate(); e.summarize()
    cpu = time.process_time() - cpu; wall = time.perf_counter() - wall
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"cpuMs": 1000 * cpu, "wallMs": 1000 * wall, "peakMb": peak, "stats": list(e.stats)}))
`;

function last<T>(command: string, args: readonly string[]): T | null {
  const { status, stdout } = spawnSync(command, args, {
    encoding: "utf8",
    env: { ...process.env, OMP_NUM_THREADS: "1", OPENBLAS_NUM_THREADS: "1" },
  });
  return status === 0 ? (JSON.parse(stdout.trim().split("\n").at(-1)!) as T) : null;
}

/**
 * COCO evaluation of a synthetic set of val2017's size, CPU-seconds of one thread (V8's own helper threads are switched off) from parsed
 * documents to statistics, and the peak memory of the whole process with the documents in it.
 */
export async function* cocoEval({ withPeer }: { withPeer: boolean }): AsyncGenerator<BenchResult, void, void> {
  const folder = mkdtempSync(join(tmpdir(), "seg-bench-coco-"));
  const python = peerPython();
  try {
    for (const { id, type, repeats } of CASES) {
      const gt = join(folder, "gt.json");
      const dt = join(folder, "dt.json");
      const set = cocoSet({ repeats, withMasks: type === "segm" });
      writeFileSync(gt, JSON.stringify(set.groundTruth));
      writeFileSync(dt, JSON.stringify(type === "segm" ? set.masks : set.boxes));
      const child = join(import.meta.dirname, "coco-eval-child.ts");
      const flags = ["--single-threaded", "--conditions=@seg/source", "--import", "tsx"];
      const runs = Array.from({ length: RUNS }, () =>
        last<Measured>(process.execPath, [...flags, child, gt, dt, type]),
      );
      const own = runs.map((run) => {
        if (run === null) throw new Error(`The evaluation of ${id} failed; run ${child} by hand.`);
        return run;
      });
      const peer = withPeer ? last<Measured>(python, ["-c", PEER, gt, dt, type]) : null;
      if (peer !== null) {
        const wrong = peer.stats.findIndex((value, i) => !(Math.abs(value - own[0]!.stats[i]!) <= TOLERANCE));
        if (wrong >= 0)
          throw new Error(`${id}: stats[${wrong}] is ${own[0]!.stats[wrong]}, pycocotools has ${peer.stats[wrong]}.`);
      }
      const value = median(own.map((run) => run.cpuMs)) / 1000;
      const spread = own.map((run) => (run.cpuMs / 1000).toFixed(2)).join(", ");
      const numDetections = type === "segm" ? set.masks.length : set.boxes.length;
      yield {
        bench: "coco-eval",
        case: `${id}, ${set.groundTruth.annotations.length} ground truths, ${numDetections} detections`,
        value,
        unit: "CPU-s",
        note: `${withPeer && peer === null ? `peer not available (${python} with pycocotools), ` : ""}wall ${(median(own.map((run) => run.wallMs)) / 1000).toFixed(2)} s, cold runs ${spread}, warm ${(median(own.map((run) => run.warmCpuMs)) / 1000).toFixed(2)} s, peak RSS ${Math.round(Math.max(...own.map((run) => run.peakMb)))} MB${peer === null ? "" : ` (peer ${Math.round(peer.peakMb)} MB, ${(peer.cpuMs / 1000 / value).toFixed(1)}x as long, all stats equal within ${TOLERANCE})`}`,
        ...(peer === null
          ? {}
          : { peer: "pycocotools", peerValue: peer.cpuMs / 1000, ratio: (1000 * value) / peer.cpuMs }),
      };
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
