import { join } from "node:path";
import { mask } from "@seg/coco-dataset";
import { createDetector, ExportError } from "@seg/export/runtime";
import { HubError, type ModelLoader, type ModelPool, type ModelRegistry } from "@seg/model-hub";
import type { PredictorPort } from "@seg/model-hub/server";
import { decodeImage, PreprocessError } from "@seg/preprocess";
import { foundInstances } from "../overlay/found-instances.js";

type Detector = Awaited<ReturnType<typeof createDetector>>;

/** File of a version that runs: what {@link trainer} of `student-trainer.ts` exports, or what `seg optimize` wrote, smallest first. */
const RUNNABLE = ["model_int8.onnx", "model_fp16.onnx", "model_fp32.onnx", "model.onnx"] as const;
/** Intermediate values of one picture, beside the weights. */
const ACTIVATIONS = 200e6;

/** Runs registered students; each is loaded once and shared by all requests while the pool has room. */
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
  return {
    async predict({ model, version, image, confidence = 0.25, iou = 0.7 }) {
      const wanted = version ?? (await registry.active({ model }))?.version;
      if (wanted === undefined) {
        throw new HubError({
          code: "NO_ACTIVE_VERSION",
          message: `No version of "${model}" is active. Activate one, or name a version.`,
        });
      }
      const { version: name, manifest } = await registry.get(wanted, { model });
      const file = RUNNABLE.flatMap((path) => manifest.files.find((candidate) => candidate.path === path) ?? [])[0];
      if (file === undefined) {
        throw new HubError({
          code: "INVALID_STATE",
          message: `${model}@${name} has no model that runs here (${RUNNABLE.join(", ")}). Train one with seg's student trainer, or register the folder of seg optimize.`,
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
        await using lease = await pool.acquire(`${model}@${name}`, loaderOf(model, name, file.path, file.bytes));
        const start = performance.now();
        const found = foundInstances(await lease.model.predict(picture, { confidence, iou }));
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
        if (!ExportError.isInstance(cause)) throw cause;
        throw new HubError({
          code: "INVALID_STATE",
          message: `${model}@${name} cannot be run: ${(cause as Error).message}`,
          cause,
        });
      }
    },
  };
}
