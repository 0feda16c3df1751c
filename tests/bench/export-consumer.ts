import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import process from "node:process";
import { mask as rle } from "@seg/coco-dataset";
import { createDetector } from "@seg/export/runtime";
import { decodeImage } from "@seg/preprocess";
import { benchStudents, isRow } from "./bench-student.js";
import { peerPython } from "./peer-python.js";
import type { BenchResult } from "./result.js";

const IMAGES = 24;
const [CONFIDENCE, IOU] = [0.25, 0.7];

interface Found {
  readonly names: Readonly<Record<string, string>>;
  readonly images: readonly {
    readonly boxes: number[][];
    readonly scores: number[];
    readonly classes: number[];
    /** Pixels of each mask in the picture. */
    readonly areas: number[] | null;
  }[];
}

/**
 * Exported files in a consumer that knows the format by names, shapes and metadata alone: the published `ultralytics` package as a black box, beside our own
 * runtime, on test images. Needs `--peer`.
 */
export async function* exportConsumer({ withPeer }: { withPeer: boolean }): AsyncIterable<BenchResult> {
  const bench = "export-consumer";
  if (!withPeer) {
    yield { bench, case: "consumer", value: Number.NaN, unit: "", note: "skipped: needs --peer" };
    return;
  }
  for await (const student of benchStudents(bench)) {
    if (isRow(student)) {
      yield student;
      continue;
    }
    const { directory, imgsz, imagesDir, classes, test } = student;
    const paths = test.images.slice(0, IMAGES).map(({ file_name }) => resolve(imagesDir, file_name));
    for (const file of ["model_fp32.onnx", "model_int8.onnx"]) {
      const model = resolve(directory, "optimized", file);
      const detector = await createDetector({ model });
      const folder = mkdtempSync(join(tmpdir(), "seg-bench-consumer-"));
      let theirs: Found;
      try {
        const { task } = detector.metadata;
        const job = { model, task, imgsz, images: paths, conf: CONFIDENCE, iou: IOU, out: join(folder, "out.json") };
        writeFileSync(join(folder, "job.json"), JSON.stringify(job));
        const script = join(import.meta.dirname, "export_consumer_peer.py");
        const answer = execFileSync(peerPython(), [script, join(folder, "job.json")], {
          encoding: "utf8",
          stdio: ["ignore", "pipe", "ignore"],
          env: { ...process.env, YOLO_OFFLINE: "true" },
          maxBuffer: 2 ** 28,
        });
        theirs = JSON.parse(answer.trim().split("\n").at(-1)!) as Found;
      } finally {
        rmSync(folder, { recursive: true });
      }
      const isNamed = classes.every(({ index, name }) => theirs.names[index] === name);
      let [objects, box, score, areaError, isSame] = [0, 0, 0, 0, isNamed];
      for (const [i, path] of paths.entries()) {
        const ours = await detector.predict(await decodeImage(path), { confidence: CONFIDENCE, iou: IOU });
        const other = theirs.images[i]!;
        objects += ours.scores.length;
        isSame &&= other.classes.length === ours.classes.length && other.classes.every((c, j) => c === ours.classes[j]);
        if (!isSame) break;
        for (const [j, corners] of other.boxes.entries()) {
          for (let k = 0; k < 4; k++) box = Math.max(box, Math.abs(corners[k]! - ours.boxes[4 * j + k]!));
          score = Math.max(score, Math.abs(other.scores[j]! - ours.scores[j]!));
          if (other.areas === null || ours.masks === undefined) continue;
          const area = rle.area(ours.masks[j]!);
          areaError = Math.max(areaError, Math.abs(area - other.areas[j]!) / Math.max(other.areas[j]!, 1));
        }
      }
      await detector.dispose();
      yield {
        bench,
        case: `${directory}: ${file} on ${paths.length} test images`,
        value: isSame ? 1 : 0,
        unit: "same objects, order, classes, names",
        note: `${objects} objects; largest difference: boxes ${box.toExponential(1)} px, scores ${score.toExponential(1)}, mask areas ${(100 * areaError).toFixed(1)} %`,
      };
    }
  }
}
