import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { CocoDataset } from "@seg/coco-dataset";
import { createStudent, loadWeights, trainStudent } from "@seg/distill";
import { exportOnnx, traceStudent } from "@seg/export";
import { createDetector } from "@seg/export/runtime";
import { decodeImage } from "@seg/preprocess";
import sharp from "sharp";
import { startEngine } from "../engine.js";
import { writeFileAtomic } from "../files.js";
import type { Diagnosis } from "./diagnose.js";

const [STUDENT, SIZE, IMAGES] = ["yolov8p", 64, 4] as const;
const CLASSES = [{ index: 0, categoryId: 1, name: "square" }];

/** Bright squares on gray, `IMAGES` PNG files. */
async function writeImages(folder: string): Promise<CocoDataset> {
  const images = Array.from({ length: IMAGES }, (_, i) => ({
    id: i + 1,
    file_name: `${i}.png`,
    width: SIZE,
    height: SIZE,
  }));
  const boxes = images.map((_, i) => [8 + 6 * i, 10 + 4 * i, 22, 22] as [number, number, number, number]);
  for (const [i, { file_name }] of images.entries()) {
    const [x, y, w, h] = boxes[i]!;
    const pixels = new Uint8Array(SIZE * SIZE * 3).fill(110);
    for (let row = y; row < y + h; row++) pixels.fill(235, 3 * (row * SIZE + x), 3 * (row * SIZE + x + w));
    await sharp(pixels, { raw: { width: SIZE, height: SIZE, channels: 3 } })
      .png()
      .toFile(join(folder, file_name));
  }
  return {
    images,
    categories: [{ id: 1, name: "square" }],
    annotations: boxes.map((bbox, i) => ({
      id: i + 1,
      image_id: i + 1,
      category_id: 1,
      bbox,
      area: 484,
      iscrowd: 0 as const,
    })),
  };
}

/**
 * The whole chain in small: writes four images, trains a student for two epochs, exports it and finds objects with the file; all in a
 * temporary folder that is removed.
 */
export async function selfTest({
  signal,
  now = () => performance.now(),
}: {
  signal: AbortSignal;
  now?: () => number;
}): Promise<Diagnosis> {
  const what = "self test";
  const folder = await mkdtemp(join(tmpdir(), "seg-doctor-"));
  const started = now();
  try {
    const dataset = await writeImages(folder);
    await startEngine({ threads: 1 });
    const events = trainStudent(
      {
        student: STUDENT,
        train: { dataset, imagesDir: folder },
        directory: join(folder, "run"),
        imgsz: SIZE,
        epochs: 2,
        batch: IMAGES,
        plots: false,
      },
      { signal },
    );
    const losses: number[] = [];
    let next = await events.next();
    while (!next.done) {
      const event = next.value;
      if (event.type === "epoch") losses.push(Object.values(event.losses).reduce((sum, part) => sum + part, 0));
      next = await events.next();
    }
    signal.throwIfAborted();
    const student = createStudent(STUDENT, { classes: 1, imgsz: SIZE });
    const file = join(folder, "model.onnx");
    try {
      loadWeights(student, next.value.state, { strict: true });
      student.net.train(false);
      const { bytes } = await exportOnnx({
        trace: () => traceStudent({ model: student.net, deploy: student.deploy, imgsz: SIZE }),
        imgsz: SIZE,
        task: "detect",
        classes: { classes: CLASSES },
        author: "seg doctor",
        license: "Apache-2.0",
      });
      writeFileAtomic(file, bytes);
    } finally {
      student.dispose();
    }
    const detector = await createDetector({ model: file });
    await detector.predict(await decodeImage(join(folder, "0.png"), { expectedSize: { width: SIZE, height: SIZE } }), {
      confidence: 0.001,
    });
    if (losses.length !== 2 || !losses.every(Number.isFinite)) throw new Error(`the losses are ${losses.join(", ")}`);
    const seconds = (now() - started) / 1000;
    return {
      what,
      state: "ok",
      detail: `trained ${STUDENT} for two epochs of ${IMAGES} images (loss ${losses.map((loss) => loss.toFixed(2)).join(", ")}), exported it and ran the file, in ${seconds.toFixed(1)} s`,
      todo: null,
    };
  } catch (error) {
    if (signal.aborted) throw error;
    return {
      what,
      state: "problem",
      detail: (error as Error).message.split("\n")[0]!,
      todo: "Mend what is marked above first; if all of it is ok, SEG_DEBUG=1 seg doctor shows where it failed: please report it.",
    };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
