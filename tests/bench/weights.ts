import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { type StateTensor, writeSafetensors } from "@seg/nn";
import { type BenchResult, median } from "./result.js";
import type { WeightsRead } from "./weights-child.js";

const RUNS = 3;
const TENSORS = 175;
/** 4 MB a tensor: 700 MB, the size of Grounding DINO-T. */
const SHAPE = [1024, 1024] as const;
const FP32_MB = (TENSORS * SHAPE[0] * SHAPE[1] * 4) / 2 ** 20;

function read(file: string, how: "raw" | "dict"): WeightsRead {
  const child = join(import.meta.dirname, "weights-child.ts");
  const flags = ["--conditions=@seg/source", "--import", "tsx"];
  const { status, stdout, stderr } = spawnSync(process.execPath, [...flags, child, file, how], { encoding: "utf8" });
  if (status !== 0) throw new Error(stderr);
  return JSON.parse(stdout.trim().split("\n").at(-1)!) as WeightsRead;
}

/**
 * Reading every tensor of a 700 MB file beside readFileSync of the same file (page cache warm), alternating, each in a fresh process. Formats that only
 * PyTorch writes need the peer.
 */
export async function weights({ withPeer }: { withPeer: boolean }): Promise<BenchResult[]> {
  const folder = mkdtempSync(join(tmpdir(), "seg-bench-weights-"));
  try {
    const safe = join(folder, "model.safetensors");
    const data = Float32Array.from({ length: SHAPE[0] * SHAPE[1] }, (_, i) => Math.sin(i));
    const tensor: StateTensor = { dtype: "F32", shape: SHAPE, data };
    writeSafetensors(safe, new Map(Array.from({ length: TENSORS }, (_, i) => [`layer.${i}.weight`, tensor])));
    const cases: [name: string, file: string][] = [["safetensors", safe]];
    const python = process.env["SEG_PEER_PYTHON"];
    if (withPeer && python) {
      const script = `import sys, torch
t = {f"layer.{i}.weight": torch.rand(${SHAPE.join(", ")}) for i in range(${TENSORS})}
torch.save(t, sys.argv[1]); torch.save(t, sys.argv[2], _use_new_zipfile_serialization=False)`;
      const files = [join(folder, "zip.pth"), join(folder, "legacy.pth")];
      execFileSync(python, ["-c", script, ...files]);
      cases.push(["checkpoint, zip", files[0]!], ["checkpoint, legacy", files[1]!]);
    }
    return cases.flatMap(([name, file]) => {
      const rounds = Array.from({ length: RUNS }, () => ({ raw: read(file, "raw"), dict: read(file, "dict") }));
      const of = (how: "raw" | "dict", field: keyof WeightsRead) => median(rounds.map((round) => round[how][field]));
      const [wall, raw] = [of("dict", "wallMs"), of("raw", "wallMs")];
      const [cpu, rawCpu] = [of("dict", "cpuMs"), of("raw", "cpuMs")];
      return [
        {
          bench: "weights",
          case: `${name}, read ${FP32_MB.toFixed(0)} MiB`,
          value: cpu,
          unit: "CPU-ms",
          peer: "readFileSync",
          peerValue: rawCpu,
          ratio: cpu / rawCpu,
          note: `wall ${wall.toFixed(0)} against ${raw.toFixed(0)} ms`,
        },
        {
          bench: "weights",
          case: `${name}, peak memory`,
          value: of("dict", "addedMb"),
          unit: "MiB",
          peer: "float32 values",
          peerValue: FP32_MB,
          ratio: of("dict", "addedMb") / FP32_MB,
        },
      ];
    });
  } finally {
    rmSync(folder, { recursive: true });
  }
}
