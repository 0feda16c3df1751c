import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CounterRandom } from "@seg/augment";
import { createStudent } from "@seg/distill";
import {
  calibrate,
  endToEnd,
  exportOnnx,
  pruneStructured,
  QUANT_PRESETS,
  type QuantPreset,
  quantizeDynamic,
  quantizeStatic,
  toFloat16,
  traceStudent,
} from "@seg/export";
import { encodeModel, type Model, saveModel } from "@seg/onnx";
import * as tf from "@tensorflow/tfjs";
import { peerPython } from "./peer-python.js";
import type { BenchResult } from "./result.js";

const SIZE = 160;

/** Every kind of ONNX file that the exporter writes, checked by the reference checker of Python onnx with full checks. Needs `--peer`. */
export async function* exportCheck({ withPeer }: { withPeer: boolean }): AsyncIterable<BenchResult> {
  if (!withPeer) {
    yield {
      bench: "export-check",
      case: "reference checker",
      value: Number.NaN,
      unit: "",
      note: "skipped: needs --peer",
    };
    return;
  }
  await tf.setBackend("onnxruntime");
  const student = createStudent("yolov8n-seg", { classes: 3, imgsz: SIZE, seed: 1 });
  const classes = ["ear", "it's", 'la"bel\n'].map((name, index) => ({ index, categoryId: index + 1, name }));
  const options = { imgsz: SIZE, task: "segment", classes: { classes }, author: "seg", license: "Apache-2.0" } as const;
  const trace = ({ batch }: { batch: number }) =>
    traceStudent({ model: student.net, deploy: student.deploy, imgsz: SIZE, batch });
  const { model } = await exportOnnx({ ...options, trace });
  const random = new CounterRandom({ seed: 1, path: "bench/export-check" });
  const table = await calibrate(model, [Float32Array.from({ length: 3 * SIZE * SIZE }, () => random.uniform())]);
  const files: Record<string, Model> = {
    fp32: model,
    dynamic: (await exportOnnx({ ...options, trace, dynamic: { batch: true, size: true } })).model,
    e2e: endToEnd(model, { numClasses: 3 }),
    nms: endToEnd(model, { numClasses: 3, layout: "nms" }),
    fp16: toFloat16(model).model,
    "fp16-io": toFloat16(model, { keepIO: false }).model,
    pruned: pruneStructured(model, { ratio: 0.3 }).model,
    "int8-dynamic": quantizeDynamic(model),
  };
  student.dispose();
  for (const preset of Object.keys(QUANT_PRESETS) as QuantPreset[]) {
    files[`int8-${preset}`] = quantizeStatic(model, table, { preset });
  }
  const folder = mkdtempSync(join(tmpdir(), "seg-bench-check-"));
  try {
    for (const [name, graph] of Object.entries(files)) writeFileSync(join(folder, `${name}.onnx`), encodeModel(graph));
    await saveModel(model, join(folder, "external.onnx"), { externalData: true });
    const script = join(import.meta.dirname, "export_check_peer.py");
    const answer = execFileSync(peerPython(), [script, folder], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "inherit"],
    });
    const found = JSON.parse(answer) as Record<string, string>;
    for (const [name, verdict] of Object.entries(found)) {
      yield { bench: "export-check", case: name, value: verdict === "ok" ? 1 : 0, unit: "passes", note: verdict };
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
}
