import { join } from "node:path";
import { mask, type RgbImage } from "@seg/coco-dataset";
import { createDetector, ExportError } from "@seg/export/runtime";
import { HubError, type ModelLoader, type ModelPool, type ModelRegistry } from "@seg/model-hub";
import type { PredictorPort } from "@seg/model-hub/server";
import { decodeImage, PreprocessError } from "@seg/preprocess";
import { foundInstances } from "../overlay/found-instances.js";
import { groundingDinoRecordFile } from "../teacher/detector-teacher.js";
import { samRecordFile } from "../teacher/mask-teacher.js";
import { pooledTeachers } from "./pooled-teachers.js";

type FoundInstance = ReturnType<typeof foundInstances>[number];
type Detector = Awaited<ReturnType<typeof createDetector>>;

/** File of a version that runs: what {@link trainer} of `student-trainer.ts` exports, or what `seg optimize` wrote, smallest first. */
const RUNNABLE = ["model_int8.onnx", "model_fp16.onnx", "model_fp32.onnx", "model.onnx"] as const;
/** Files of a version of trainer `teacher` that finds and cuts out by itself. */
const TEACHERS = [groundingDinoRecordFile(""), samRecordFile("")];
/** What is wrong with a version's teachers, not with the request: their base weights are gone or others. */
const TEACHER_FAULTS: readonly unknown[] = [
  "cli/grounding-dino-not-found",
  "cli/sam-not-found",
  "teachers/unavailable",
  "lora/mismatch",
];
/** Lowest score of a student's and of a teacher's object. */
const CONFIDENCE = { student: 0.25, teacher: 0.35 } as const;
/** Intermediate values of one picture, beside the weights. */
const ACTIVATIONS = 200e6;

/**
 * Runs registered students, and teachers as GroundedSAM; each network is loaded once and shared by all requests while the pool has room.
 * Teachers take one picture after the other: what two need at once was not reserved.
 */
export function createPredictor({
  registry,
  pool,
  threads = 1,
}: {
  registry: ModelRegistry;
  pool: ModelPool;
  threads?: number;
}): PredictorPort {
  const loaderOf = (model: string, version: string, path: string, bytes: number): ModelLoader<Detector> => ({
    weightBytes: bytes,
    activationBytes: ACTIVATIONS,
    async load() {
      const file = join(await registry.directory(version, { model }), path);
      const detector = await createDetector({ model: file, threads });
      return { model: detector, bytes: null, dispose: () => detector.dispose() };
    },
  });
  let lastTeacherRun: Promise<unknown> = Promise.resolve();
  const runTeachers = async (
    { model, version, picture }: { model: string; version: string; picture: RgbImage },
    { confidence = CONFIDENCE.teacher, iou }: { confidence?: number | undefined; iou: number },
  ): Promise<FoundInstance[]> => {
    const folder = await registry.directory(version, { model });
    const { teacher, names } = pooledTeachers({ pool, key: `${model}@${version}`, folder, threads })!;
    const classes = names.map((name, index) => ({ index, categoryId: index + 1, name }));
    const run = lastTeacherRun.then(() =>
      teacher.predict(picture, { classMapping: { classes }, boxThreshold: confidence, nmsIou: iou }),
    );
    lastTeacherRun = run.catch(() => {});
    return (await run).instances.map((instance) => ({ ...instance, name: names[instance.classId]! }));
  };
  return {
    async predict({ model, version, image, confidence, iou = 0.7 }) {
      const wanted = version ?? (await registry.active({ model }))?.version;
      if (wanted === undefined) {
        throw new HubError({
          code: "NO_ACTIVE_VERSION",
          message: `No version of "${model}" is active. Activate one, or name a version.`,
        });
      }
      const { version: name, manifest } = await registry.get(wanted, { model });
      const file = RUNNABLE.flatMap((path) => manifest.files.find((candidate) => candidate.path === path) ?? [])[0];
      const isTeacher = TEACHERS.every((path) => manifest.files.some((candidate) => candidate.path === path));
      if (file === undefined && !isTeacher) {
        throw new HubError({
          code: "INVALID_STATE",
          message: `${model}@${name} has no model that runs here (${RUNNABLE.join(", ")}, or ${TEACHERS.join(" with ")}). Train one with seg's student trainer, or register the folder of seg optimize.`,
          details: { model, version: name, files: manifest.files.map(({ path }) => path) },
        });
      }
      const picture = await decodeImage(image).catch((cause: unknown) => {
        if (!PreprocessError.isInstance(cause)) throw cause;
        throw new HubError({
          code: "UNSUPPORTED_TYPE",
          message: "The file is no picture that can be read. Send a JPEG, PNG, WebP or TIFF file.",
          cause,
        });
      });
      try {
        let start = performance.now();
        let found: FoundInstance[];
        if (file === undefined) found = await runTeachers({ model, version: name, picture }, { confidence, iou });
        else {
          await using lease = await pool.acquire(`${model}@${name}`, loaderOf(model, name, file.path, file.bytes));
          start = performance.now();
          found = foundInstances(
            await lease.model.predict(picture, { confidence: confidence ?? CONFIDENCE.student, iou }),
          );
        }
        return {
          version: name,
          width: picture.width,
          height: picture.height,
          milliseconds: performance.now() - start,
          instances: found.map(({ classId, name, score, box: [x1, y1, x2, y2], mask: rle }) => ({
            class_id: classId,
            name,
            score,
            bbox: [x1, y1, x2 - x1, y2 - y1] as const,
            ...(rle === undefined ? {} : { segmentation: { size: rle.size, counts: mask.toString(rle) } }),
          })),
        };
      } catch (cause) {
        const { code } = cause as { code?: unknown };
        if (!ExportError.isInstance(cause) && !TEACHER_FAULTS.includes(code)) throw cause;
        throw new HubError({
          code: "INVALID_STATE",
          message: `${model}@${name} cannot be run: ${(cause as Error).message}`,
          cause,
        });
      }
    },
  };
}
