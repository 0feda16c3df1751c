import { spawnSync } from "node:child_process";
import process from "node:process";
import { configure, engineInfo, selectEngine } from "@seg/tfjs-onnxruntime";
import * as tf from "@tensorflow/tfjs";
import { peerPython } from "./peer-python.js";
import { type BenchResult, median } from "./result.js";
import { trainingCase } from "./training-case.js";

const WARM_UP = 3;
const STEPS = 9;

/** PyTorch's time for the same network and batch, if python3 with torch and ultralytics is there; forward, backward and AdamW. */
function peer(batch: number, size: number): number | null {
  const program = `
import torch, time, sys
try:
    from ultralytics.nn.tasks import SegmentationModel
except Exception:
    sys.exit(3)
torch.set_num_threads(1)
m = SegmentationModel("yolov8n-seg.yaml", nc=3, verbose=False).train()
x = torch.rand(${batch}, 3, ${size}, ${size})
o = torch.optim.AdamW(m.parameters(), lr=1e-3)
t = []
for i in range(${WARM_UP + STEPS}):
    s = time.process_time()
    y = m(x)
    def flat(v):
        return [v] if torch.is_tensor(v) else [w for u in (v.values() if isinstance(v, dict) else v) for w in flat(u)]
    loss = sum((v.float() ** 2).mean() for v in flat(y) if v.requires_grad)
    o.zero_grad(); loss.backward(); o.step()
    t.append(time.process_time() - s)
t = sorted(t[${WARM_UP}:])
print(1000 * t[len(t) // 2] / ${batch})
`;
  const { status, stdout } = spawnSync(peerPython(), ["-c", program], { encoding: "utf8" });
  return status === 0 ? Number(stdout.trim().split("\n").pop()) : null;
}

/** CPU-milliseconds per image of a whole training step: forward, assignment, losses, backward, clipping, AdamW, EMA; one thread. */
export async function trainStep({ withPeer }: { withPeer: boolean }): Promise<BenchResult[]> {
  const engine = await selectEngine();
  const runtime =
    engine === "onnxruntime" ? `onnxruntime ${engineInfo().version}` : `tfjs ${tf.version_core} ${engine}`;
  configure({ threads: 1 });
  const results: BenchResult[] = [];
  const cases = [
    { id: "yolov8n-seg", size: 160, batch: 16 },
    { id: "yolov8n-seg", size: 320, batch: 8 },
    { id: "yolov8n-seg", size: 640, batch: 2 },
    { id: "yolov8n", size: 320, batch: 16 },
  ] as const;
  for (const { id, size, batch } of cases) {
    const training = trainingCase({ id, size, batch });
    const cpu: number[] = [];
    const wall: number[] = [];
    for (let step = 0; step < WARM_UP + STEPS; step++) {
      const cpuStart = process.cpuUsage();
      const wallStart = performance.now();
      await training.step();
      const used = process.cpuUsage(cpuStart);
      if (step < WARM_UP) continue;
      cpu.push((used.user + used.system) / 1000 / batch);
      wall.push((performance.now() - wallStart) / batch);
    }
    training.dispose();
    const value = median(cpu);
    const other = withPeer && id === "yolov8n-seg" ? peer(batch, size) : null;
    results.push({
      bench: "train-step",
      case: `${id} ${size} px batch ${batch}`,
      value,
      unit: "CPU-ms/image",
      note: `${withPeer && other === null ? "peer not available (python3 with torch and ultralytics), " : ""}${(1000 / value).toFixed(1)} images/s per core, wall ${median(wall).toFixed(1)} ms/image, spread ${Math.min(...cpu).toFixed(1)}-${Math.max(...cpu).toFixed(1)}, ${runtime}`,
      ...(other === null
        ? {}
        : {
            peer: "torch (1 thread, forward + backward + AdamW, no detection loss)",
            peerValue: other,
            ratio: value / other,
          }),
    });
  }
  return results;
}
