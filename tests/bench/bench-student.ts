import { existsSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import process from "node:process";
import { type CocoDataset, loadDataset } from "@seg/coco-dataset";
import { type EvaluationSet, loadEvaluationSet } from "@seg/distill";
import { decodeImage, prepareYolo } from "@seg/preprocess";
import type { BenchResult } from "./result.js";

/** A trained and exported student that benchmarks measure. */
export interface BenchStudent {
  /** Folder with `student.json` and `optimized/model_fp32.onnx`. */
  readonly directory: string;
  /** Path of the float32 file. */
  readonly fp32: string;
  readonly imgsz: number;
  readonly classes: readonly { readonly index: number; readonly categoryId: number; readonly name: string }[];
  /** `test.json` beside the training split. */
  readonly test: CocoDataset;
  readonly imagesDir: string;
  /** The test split, prepared. */
  evaluationSet(): Promise<EvaluationSet>;
  /** Training images as inputs `[3, S, S]`, evenly spaced over the split. */
  calibrationImages(count: number): Promise<Float32Array[]>;
}

/** Folders that `SEG_BENCH_STUDENTS` lists with commas. @defaultValue the demo's */
const directories = (process.env["SEG_BENCH_STUDENTS"] ?? "experiments/demo/student").split(",");

/** The students that are there; a row that says so for each that is not. */
export async function* benchStudents(bench: string): AsyncIterable<BenchStudent | BenchResult> {
  for (const directory of directories) {
    const fp32 = join(directory, "optimized", "model_fp32.onnx");
    if (!existsSync(fp32)) {
      yield { bench, case: directory, value: Number.NaN, unit: "", note: `skipped: ${fp32} is not there` };
      continue;
    }
    const { imgsz, classes, train } = JSON.parse(readFileSync(join(directory, "student.json"), "utf8")) as {
      imgsz: number;
      classes: { index: number; categoryId: number; name: string }[];
      train: { data: string; images: string };
    };
    const [data, imagesDir] = [resolve(directory, train.data), resolve(directory, train.images)];
    const test = await loadDataset(join(dirname(data), "test.json"));
    yield {
      directory,
      fp32,
      imgsz,
      classes,
      test,
      imagesDir,
      evaluationSet: () => loadEvaluationSet({ dataset: test, imagesDir, mapping: { classes }, imgsz }),
      async calibrationImages(count) {
        const { images } = await loadDataset(data);
        const tensors: Float32Array[] = [];
        for (let i = 0; i < count; i++) {
          const image = images[Math.floor((i * images.length) / count)]!;
          tensors.push(prepareYolo(await decodeImage(join(imagesDir, image.file_name)), { size: imgsz }).data);
        }
        return tensors;
      },
    };
  }
}

/** Is it a row that says what is missing? */
export const isRow = (value: BenchStudent | BenchResult): value is BenchResult => "bench" in value;
