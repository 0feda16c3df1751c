import { spawnSync } from "node:child_process";
import { availableParallelism } from "node:os";
import process from "node:process";
import { GCProfiler } from "node:v8";
import { configure, engineInfo, selectEngine } from "@seg/tfjs-onnxruntime";
import * as tf from "@tensorflow/tfjs";
import { peerPython } from "./peer-python.js";
import { type BenchResult, median } from "./result.js";
import { trainingCase } from "./training-case.js";

/** V8 and the runtime's arena settle over the first steps. */
const WARM_UP = 8;
const STEPS = 9;

/** Milliseconds per image, medians. */
interface StepTime {
  readonly cpu: number;
  readonly wall: number;
}

/**
 * PyTorch's time for the same network, batch and number of boxes, if the peer's Python has torch and ultralytics: forward, assignment,
 * losses, backward, clipping, AdamW, moving average.
 */
function peer({
  id,
  batch,
  size,
  threads,
}: {
  id: string;
  batch: number;
  size: number;
  threads: number;
}): StepTime | null {
  const segment = id.endsWith("-seg");
  const program = `
import sys, time
from types import SimpleNamespace
try:
    import torch
    from ultralytics.nn.tasks import DetectionModel, SegmentationModel
except Exception:
    sys.exit(3)
torch.set_num_threads(${threads})
torch.manual_seed(0)
m = ${segment ? "SegmentationModel" : "DetectionModel"}("${id}.yaml", nc=3, verbose=False).train()
m.args = SimpleNamespace(box=7.5, cls=0.5, dfl=1.5, overlap_mask=False, mask_ratio=4)
n = 4
batch = {
    "img": torch.rand(${batch}, 3, ${size}, ${size}),
    "batch_idx": torch.arange(${batch}).repeat_interleave(n).float(),
    "cls": torch.randint(0, 3, (${batch} * n, 1)).float(),
    "bboxes": torch.rand(${batch} * n, 4) * 0.3 + torch.tensor([0.3, 0.3, 0.1, 0.1]),
    "masks": (torch.rand(${batch} * n, ${size} // 4, ${size} // 4) > 0.5).float(),
}
o = torch.optim.AdamW(m.parameters(), lr=1e-4)
live = [v for v in m.state_dict().values() if v.is_floating_point()]
average = [v.clone() for v in live]
cpu, wall = [], []
for i in range(${WARM_UP + STEPS}):
    c, w = time.process_time(), time.perf_counter()
    loss, _ = m(batch)
    o.zero_grad(); loss.sum().backward()
    torch.nn.utils.clip_grad_norm_(m.parameters(), 10.0)
    o.step()
    torch._foreach_lerp_(average, [v.detach() for v in live], 0.001)
    cpu.append(time.process_time() - c); wall.append(time.perf_counter() - w)
middle = lambda t: sorted(t[${WARM_UP}:])[${STEPS} // 2] * 1000 / ${batch}
print(middle(cpu), middle(wall))
`;
  const { status, stdout } = spawnSync(peerPython(), ["-c", program], { encoding: "utf8" });
  if (status !== 0) return null;
  const [cpu, wall] = stdout.trim().split("\n").at(-1)!.split(" ").map(Number) as [number, number];
  return { cpu, wall };
}

async function measure(options: Parameters<typeof trainingCase>[0]) {
  const { batch } = options;
  const training = trainingCase(options);
  const cpu: number[] = [];
  const wall: number[] = [];
  const overhead: number[] = [];
  const collections = new GCProfiler();
  let firstMs = 0;
  for (let step = 0; step < WARM_UP + STEPS; step++) {
    if (step === WARM_UP) collections.start();
    const cpuStart = process.cpuUsage();
    const wallStart = performance.now();
    await training.step();
    const used = process.cpuUsage(cpuStart);
    const elapsed = performance.now() - wallStart;
    if (step === 0) firstMs = elapsed;
    if (step < WARM_UP) continue;
    cpu.push((used.user + used.system) / 1000 / batch);
    wall.push(elapsed / batch);
    overhead.push(training.overheadMs());
  }
  const collected = collections.stop()?.statistics ?? [];
  training.dispose();
  return {
    cpu: median(cpu),
    wall: median(wall),
    spread: [Math.min(...cpu), Math.max(...cpu)] as const,
    firstMs,
    overheadMs: median(overhead),
    // Microseconds.
    collectionMs: collected.reduce((sum, { cost }) => sum + cost, 0) / 1000 / STEPS,
  };
}

/**
 * Milliseconds per image of a whole training step: forward, assignment, losses, backward, clipping, AdamW, EMA. CPU time with one
 * thread, wall time with all cores.
 */
export async function trainStep({ withPeer }: { withPeer: boolean }): Promise<BenchResult[]> {
  const engine = await selectEngine();
  const runtime =
    engine === "onnxruntime" ? `onnxruntime ${engineInfo().version}` : `tfjs ${tf.version_core} ${engine}`;
  const results: BenchResult[] = [];
  const cases = [
    { id: "yolov8n-seg", size: 160, batch: 16 },
    { id: "yolov8n-seg", size: 320, batch: 8 },
    { id: "yolov8n-seg", size: 640, batch: 2 },
    { id: "yolov8n", size: 320, batch: 16 },
  ] as const;
  const cores = availableParallelism();
  const peers = new Map<string, StepTime | null>();
  const peerOf = (options: Parameters<typeof peer>[0]) => {
    const key = JSON.stringify(options);
    if (!peers.has(key)) peers.set(key, withPeer ? peer(options) : null);
    return peers.get(key)!;
  };
  const ways = [
    { threads: 1, shards: 1, name: "1 thread" },
    ...(cores === 1
      ? []
      : [
          { threads: cores, shards: 1, name: `${cores} threads` },
          { threads: cores, shards: cores, name: `${cores} shards` },
        ]),
  ];
  for (const { threads, shards, name } of ways) {
    configure({ threads });
    for (const { id, size, batch } of cases.filter(({ batch }) => batch % shards === 0)) {
      const { cpu, wall, spread, firstMs, overheadMs, collectionMs } = await measure({ id, size, batch, shards });
      const value = threads === 1 ? cpu : wall;
      const other = peerOf({ id, batch, size, threads });
      const notes = [
        ...(withPeer && other === null ? ["peer not available (Python with torch and ultralytics)"] : []),
        `${(1000 / value).toFixed(1)} images/s`,
        threads === 1 ? `wall ${wall.toFixed(1)} ms/image` : `CPU ${cpu.toFixed(1)} ms/image`,
        `CPU spread ${spread[0].toFixed(1)}-${spread[1].toFixed(1)}`,
        `first step ${(firstMs / 1000).toFixed(1)} s`,
        `JavaScript around the graph ${overheadMs.toFixed(1)} ms/step, garbage collection ${collectionMs.toFixed(1)} ms/step`,
        runtime,
      ];
      const peerValue = other === null ? null : threads === 1 ? other.cpu : other.wall;
      results.push({
        bench: "train-step",
        case: `${id} ${size} px batch ${batch}, ${name}`,
        value,
        unit: threads === 1 ? "CPU-ms/image" : "ms/image",
        note: notes.join(", "),
        ...(peerValue === null ? {} : { peer: "torch", peerValue, ratio: value / peerValue }),
      });
    }
  }
  return results;
}
