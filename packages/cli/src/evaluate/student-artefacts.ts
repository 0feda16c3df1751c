import { existsSync } from "node:fs";
import { join } from "node:path";
import { createStudent, loadWeights, studentPredictor } from "@seg/distill";
import { type BenchmarkArtefact, hasLiteRt, tfliteContestant } from "@seg/export";
import type { ModelRow } from "../report/report-data.js";
import type { StudentRecord } from "../student-record.js";

/** A file of a student as it is judged on a split and timed. */
export type StudentArtefact = BenchmarkArtefact & { readonly kind: Exclude<ModelRow["kind"], "teacher"> };

/**
 * What a run directory offers to judge, float first: the exported models, or the trained weights where nothing was exported.
 * A TFLite file whose runtime is not installed is in `unavailable`: it cannot be judged, and the benchmark says why.
 */
export function studentArtefacts(
  directory: string,
  record: StudentRecord,
): { artefacts: StudentArtefact[]; unavailable: BenchmarkArtefact[] } {
  const at = (file: string) => join(directory, "optimized", file);
  const onnx: StudentArtefact[] = [
    { name: "student fp32", kind: "student-fp32" as const, precision: "fp32" as const, path: at("model_fp32.onnx") },
    { name: "student INT8", kind: "student-int8" as const, precision: "int8" as const, path: at("model_int8.onnx") },
  ].filter(({ path }) => existsSync(path));
  const path = at("model_int8.tflite");
  const tflite = existsSync(path) ? [tfliteContestant({ name: "student TFLite INT8", path, precision: "int8" })] : [];
  const runnable = hasLiteRt() ? tflite.map((file) => ({ ...file, kind: "student-int8" as const })) : [];
  const exported = [...onnx, ...runnable];
  const weights = join(directory, "weights", "student.safetensors");
  const trained = exported.length === 0 && existsSync(weights) ? [checkpoint(weights, record)] : [];
  return { artefacts: [...exported, ...trained], unavailable: hasLiteRt() ? [] : tflite };
}

/** The trained weights on the active engine: what there is before `seg optimize`. */
function checkpoint(path: string, record: StudentRecord): StudentArtefact {
  return {
    ...{ name: "student checkpoint", kind: "student-fp32", precision: "fp32", path, runtime: "tfjs" },
    async open() {
      const { imgsz, seed, widths, classes } = record;
      const student = createStudent(record.student, {
        ...{ classes: classes.length, imgsz, seed },
        ...(widths === undefined ? {} : { widths }),
      });
      loadWeights(student, path, { strict: true });
      student.net.train(false);
      const predictor = studentPredictor(student);
      return {
        inputNames: ["images"],
        outputNames: ["output0", "output1"],
        async run({ images }) {
          const [batch = 1] = images!.dims;
          const { output0, output1 } = await predictor.run(images!.data as Float32Array, batch, imgsz);
          return output1 === undefined ? { output0 } : { output0, output1 };
        },
        dispose: async () => student.dispose(),
      };
    },
  };
}
