import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import process from "node:process";
import { type EvaluationSet, evaluateStudent } from "@seg/distill";
import { benchmark, calibrate, headNodes, quantizeStatic } from "@seg/export";
import { createSession } from "@seg/export/runtime";
import { decodeModel, encodeModel } from "@seg/onnx";
import { benchStudents, isRow } from "./bench-student.js";
import { peerPython } from "./peer-python.js";
import { type BenchResult, median } from "./result.js";

const CALIBRATION_IMAGES = 96;
const ROUNDS = 60;

/** Median CPU time of one run of each file, ms: interleaved, one thread. Unlike wall time it does not count waiting for a busy machine. */
async function cpuTimes(paths: readonly string[], imgsz: number): Promise<number[]> {
  const sessions = await Promise.all(paths.map((model) => createSession({ model, threads: 1 })));
  const feeds = { images: { data: new Float32Array(3 * imgsz * imgsz).fill(0.4), dims: [1, 3, imgsz, imgsz] } };
  const times: number[][] = paths.map(() => []);
  for (let round = -5; round < ROUNDS; round++) {
    for (const [i, session] of sessions.entries()) {
      const before = process.cpuUsage();
      await session.run(feeds);
      const { user, system } = process.cpuUsage(before);
      if (round >= 0) times[i]!.push((user + system) / 1000);
    }
  }
  for (const session of sessions) await session.dispose();
  return times.map(median);
}

async function accuracy(model: Uint8Array, set: EvaluationSet): Promise<{ box: number; mask: number | undefined }> {
  const { metrics } = await evaluateStudent({ model, set });
  return { box: metrics["mAP50-95"]!, mask: metrics["mask_mAP50-95"] };
}

/**
 * INT8 preset x64 against float32 of trained students: size, one-thread speed of interleaved rounds, mAP50-95 on the test split. The peer is
 * the Python quantiser of ONNX Runtime on the same model, calibration images and excluded nodes.
 */
export async function* quantizeInt8({ withPeer }: { withPeer: boolean }): AsyncIterable<BenchResult> {
  for await (const found of benchStudents("quantize-int8")) {
    if (isRow(found)) {
      yield found;
      continue;
    }
    const { directory: student, fp32, imgsz } = found;
    const set = await found.evaluationSet();
    const tensors = await found.calibrationImages(CALIBRATION_IMAGES);
    const source = readFileSync(fp32);
    const model = decodeModel(source);
    const start = performance.now();
    const table = await calibrate(model, tensors);
    const calibrated = performance.now();
    const int8 = encodeModel(quantizeStatic(model, table));
    const writtenMs = performance.now() - calibrated;
    const folder = mkdtempSync(join(tmpdir(), "seg-bench-quantize-"));
    try {
      const ours = join(folder, "int8.onnx");
      writeFileSync(ours, int8);
      const artefacts = [
        { name: "fp32", path: fp32, precision: "fp32" as const },
        { name: "int8", path: ours, precision: "int8" as const },
      ];
      let peerModel: Uint8Array | null = null;
      if (withPeer) {
        const path = join(folder, "peer.onnx");
        writeFileSync(join(folder, "images.bin"), Buffer.concat(tensors.map((t) => Buffer.from(t.buffer))));
        const exclude = [...headNodes(model.graph).values()].flat();
        writeFileSync(join(folder, "job.json"), JSON.stringify({ fp32: resolve(fp32), imgsz, exclude, out: path }));
        const script = join(import.meta.dirname, "quantize_int8_peer.py");
        execFileSync(peerPython(), [script, folder], { stdio: ["ignore", "ignore", "inherit"] });
        peerModel = readFileSync(path);
        artefacts.push({ name: "peer", path, precision: "int8" });
      }
      const report = await benchmark(artefacts, { imgsz, rounds: ROUNDS, measureMemory: false });
      const row = (name: string) => report.rows.find(({ artefact }) => artefact === name)!;
      const common = { bench: "quantize-int8" };
      const peer = withPeer ? "onnxruntime.quantization" : undefined;
      const against = (value: number, peerValue: number | undefined) =>
        peer === undefined || peerValue === undefined ? {} : { peer, peerValue, ratio: value / peerValue };
      const mine = row("int8");
      yield {
        ...common,
        case: `${student}: speed against fp32, 1 thread`,
        value: mine.speedup,
        unit: "x",
        ...against(mine.speedup, peerModel === null ? undefined : row("peer").speedup),
        note: `95 % ${mine.speedupLow.toFixed(2)}-${mine.speedupHigh.toFixed(2)}, ${row("fp32").medianMs.toFixed(2)} -> ${mine.medianMs.toFixed(2)} ms, load ${report.loadAverage.map((l) => l.toFixed(1)).join(" to ")}`,
      };
      const cpu = await cpuTimes(
        artefacts.map(({ path }) => path),
        imgsz,
      );
      yield {
        ...common,
        case: `${student}: CPU time of fp32 / INT8, 1 thread`,
        value: cpu[0]! / cpu[1]!,
        unit: "x",
        ...against(cpu[0]! / cpu[1]!, cpu[2] === undefined ? undefined : cpu[0]! / cpu[2]),
        note: `${cpu[0]!.toFixed(2)} -> ${cpu[1]!.toFixed(2)} CPU-ms a run`,
      };
      yield {
        ...common,
        case: `${student}: size against fp32`,
        value: (100 * int8.length) / source.length,
        unit: "%",
        ...against(
          (100 * int8.length) / source.length,
          peerModel === null ? undefined : (100 * peerModel.length) / source.length,
        ),
        note: `${(int8.length / 1e6).toFixed(2)} MB; calibration ${((calibrated - start) / 1000).toFixed(1)} s, writing ${writtenMs.toFixed(0)} ms`,
      };
      const [before, after] = [await accuracy(source, set), await accuracy(int8, set)];
      const theirs = peerModel === null ? null : await accuracy(peerModel, set);
      for (const kind of ["box", "mask"] as const) {
        const [a, b, c] = [before[kind], after[kind], theirs?.[kind]];
        if (a === undefined || b === undefined) continue;
        yield {
          ...common,
          case: `${student}: ${kind} mAP50-95 on ${set.images.length} test images`,
          value: b,
          unit: "",
          ...against(b, c),
          note: `fp32 ${a.toFixed(4)}, loss ${(a - b).toFixed(4)}${c === undefined ? "" : `; peer ${c.toFixed(4)}, ours - peer ${(b - c).toFixed(4)}`}`,
        };
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  }
}
