import { spawnSync } from "node:child_process";
import { peerPython } from "./peer-python.js";
import type { BenchResult } from "./result.js";
import { runChild } from "./run-child.js";

const SIZE = 640;
const BATCH = 2;
const STEPS = 2000;

const child = <T>(...args: string[]): T => runChild<T>("memory-child.ts", args, { flags: ["--expose-gc"] });

/** PyTorch's peak for the same network and batch (forward, backward, AdamW; one thread), null if it is not there. In MB. */
function peer(): { loadedMB: number; peakMB: number } | null {
  const program = `
import json, resource, sys
mb = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
try:
    import torch
    from ultralytics.nn.tasks import SegmentationModel
except Exception:
    sys.exit(3)
loaded = mb()
torch.set_num_threads(1)
m = SegmentationModel("yolov8n-seg.yaml", nc=3, verbose=False).train()
x = torch.rand(${BATCH}, 3, ${SIZE}, ${SIZE})
o = torch.optim.AdamW(m.parameters(), lr=1e-3)
def flat(v):
    return [v] if torch.is_tensor(v) else [w for u in (v.values() if isinstance(v, dict) else v) for w in flat(u)]
for _ in range(4):
    loss = sum((v.float() ** 2).mean() for v in flat(m(x)) if v.requires_grad)
    o.zero_grad(); loss.backward(); o.step()
print(json.dumps({"loadedMB": loaded, "peakMB": mb()}))
`;
  const { status, stdout } = spawnSync(peerPython(), ["-c", program], { encoding: "utf8" });
  return status === 0 ? JSON.parse(stdout.trim().split("\n").pop()!) : null;
}

/** Memory that the ways of keeping weights cost: Grounding DINO-T on a picture of 256 x 320 px, each in a fresh process. */
function weightStorage(): BenchResult[] {
  return (["fed", "float16", "frozen"] as const).map((way) => {
    const { weightsMB, restMB, peakMB, cpuMs } = runChild<{
      weightsMB: number;
      restMB: number;
      peakMB: number;
      cpuMs: number;
    }>("weight-storage-child.ts", [way], { flags: ["--expose-gc"] });
    return {
      bench: "memory",
      case: `Grounding DINO-T, weights ${way}: growth of RSS, peak`,
      value: peakMB,
      unit: "MB",
      note: `${weightsMB.toFixed(0)} MB of weights, ${restMB.toFixed(0)} MB between runs, ${cpuMs.toFixed(0)} CPU-ms a run, 1 thread`,
    };
  });
}

/** Peak memory of a training step in a fresh process, and whether memory grows over many steps. */
export async function memory({ withPeer }: { withPeer: boolean }): Promise<BenchResult[]> {
  const own = child<{ loadedMB: number; peakMB: number; afterStep: number[]; sessionMB: number }>(
    "peak",
    String(SIZE),
    String(BATCH),
  );
  const other = withPeer ? peer() : null;
  const slope = child<{ rssMB: number; perThousandMB: number; perThousandPercent: number; tensors: number }>(
    "slope",
    String(STEPS),
  );
  return [
    {
      bench: "memory",
      case: `yolov8n-seg ${SIZE} px batch ${BATCH}, training step, peak RSS`,
      value: own.peakMB,
      unit: "MB",
      note:
        `${withPeer && other === null ? "peer not available (Python with torch and ultralytics), " : ""}` +
        `${own.loadedMB.toFixed(0)} MB of it before the first step, after steps ${own.afterStep.map((mb) => mb.toFixed(0)).join(", ")} MB, ` +
        `${own.sessionMB.toFixed(0)} MB estimated for sessions${other === null ? "" : `, torch ${other.loadedMB.toFixed(0)} MB before`}, 1 thread`,
      ...(other === null
        ? {}
        : { peer: "torch (no detection loss)", peerValue: other.peakMB, ratio: own.peakMB / other.peakMB }),
    },
    {
      bench: "memory",
      case: `growth of RSS over ${STEPS} small steps (half recorded, half compiled)`,
      value: slope.perThousandPercent,
      unit: "% per 1000 steps",
      note: `${slope.perThousandMB.toFixed(2)} MB per 1000 steps at ${slope.rssMB.toFixed(0)} MB, ${slope.tensors} tensors at the end, 1 thread`,
    },
    ...weightStorage(),
  ];
}
