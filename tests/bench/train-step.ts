import { spawnSync } from "node:child_process";
import process from "node:process";
import {
  buildTargets,
  createStudent,
  modelAnchors,
  type StudentTargets,
  studentLoss,
  targetArrays,
} from "@seg/distill";
import { configure, engineInfo } from "@seg/tfjs-onnxruntime";
import { adamw, type BatchTensors, Ema, type LossFunction, paramGroups, TrainingManager } from "@seg/train";
import * as tf from "@tensorflow/tfjs";
import { peerPython } from "./peer-python.js";
import { type BenchResult, median } from "./result.js";

const WARM_UP = 3;
const STEPS = 9;

/** Four boxes with square outlines per image: what the loss costs depends on their number, not on what they show. */
function batchOf(batch: number, size: number) {
  const samples = Array.from({ length: batch }, (_, b) => ({
    image: { width: size, height: size, data: new Uint8Array(0) },
    instances: Array.from({ length: 4 }, (_, k) => {
      const x = ((b * 13 + k * 37) % 60) + 4;
      const y = ((b * 29 + k * 23) % 60) + 4;
      const side = 24 + ((b + k) % 5) * 14;
      const box = [x, y, x + side, y + side] as const;
      const ring = Float64Array.of(x, y, x + side, y, x + side, y + side, x, y + side);
      return { classId: k % 3, box, polygons: [ring], matrix: [1, 0, 0, 0, 1, 0] as const };
    }),
  }));
  const pixels = Float32Array.from({ length: batch * size * size * 3 }, (_, i) => ((i * 7919) % 255) / 255);
  return { samples, pixels };
}

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
  await tf.setBackend("onnxruntime");
  configure({ threads: 1 });
  const results: BenchResult[] = [];
  const cases = [
    { id: "yolov8n-seg", size: 160, batch: 16 },
    { id: "yolov8n-seg", size: 320, batch: 8 },
    { id: "yolov8n-seg", size: 640, batch: 2 },
    { id: "yolov8n", size: 320, batch: 16 },
  ] as const;
  for (const { id, size, batch } of cases) {
    const student = createStudent(id, { classes: 3, imgsz: size, seed: 0 });
    student.net.train();
    const manager = new TrainingManager({
      model: student.net,
      optimizer: adamw({ weightDecay: 5e-4 }),
      groups: paramGroups(student.net),
      lr: 1e-4,
      clip: { maxNorm: 10 },
      ema: new Ema(student.net),
    });
    const { samples, pixels } = batchOf(batch, size);
    const anchors = modelAnchors(size, size);
    let loss: LossFunction | undefined;
    const cpu: number[] = [];
    const wall: number[] = [];
    for (let step = 0; step < WARM_UP + STEPS; step++) {
      const cpuStart = process.cpuUsage();
      const wallStart = performance.now();
      const images = tf.tensor4d(pixels, [batch, size, size, 3]);
      const { positives, ...targets } = buildTargets(targetArrays({ samples, size, segment: student.segment }));
      loss ??= ({ images, ...tensors }) => {
        const { total, parts } = studentLoss({
          outputs: student.forward(images as tf.Tensor4D),
          targets: { ...tensors, positives } as unknown as StudentTargets,
          anchors,
          size: [size, size],
        });
        return { total, parts: parts as Record<string, tf.Scalar> };
      };
      const inputs: BatchTensors = { images, ...targets };
      await manager.step(loss, inputs);
      tf.dispose({ ...inputs });
      const used = process.cpuUsage(cpuStart);
      if (step < WARM_UP) continue;
      cpu.push((used.user + used.system) / 1000 / batch);
      wall.push((performance.now() - wallStart) / batch);
    }
    tf.dispose([anchors.centers, anchors.strides]);
    student.dispose();
    const value = median(cpu);
    const other = withPeer && id === "yolov8n-seg" ? peer(batch, size) : null;
    results.push({
      bench: "train-step",
      case: `${id} ${size} px batch ${batch}`,
      value,
      unit: "CPU-ms/image",
      note: `${withPeer && other === null ? "peer not available (python3 with torch and ultralytics), " : ""}${(1000 / value).toFixed(1)} images/s per core, wall ${median(wall).toFixed(1)} ms/image, spread ${Math.min(...cpu).toFixed(1)}-${Math.max(...cpu).toFixed(1)}, onnxruntime ${engineInfo().version}`,
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
