import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { createStudent, loadWeights } from "@seg/distill";
import { calibrate, exportOnnx, quantizeStatic, traceStudent } from "@seg/export";
import { createDetector, type Detector } from "@seg/export/runtime";
import { encodeModel } from "@seg/onnx";
import { decodeImage, prepareYolo } from "@seg/preprocess";
import { configure } from "@seg/tfjs-onnxruntime";
import * as tf from "@tensorflow/tfjs";
import sharp from "sharp";
import { interleave, remark } from "./measure.js";
import type { BenchResult } from "./result.js";

const DEMO = join(import.meta.dirname, "../../experiments/demo");
/** Calls before anything is counted: V8 compiles letterbox and decoding meanwhile. */
const WARM_UP = 40;

/**
 * From the bytes of a JPEG to boxes and masks, against what cannot be avoided: decoding the JPEG and running the network. One thread. The student of
 * the demo (npm run demo) as it was exported, and its weights at 640 px, on a picture of its test split. Without the demo: untrained weights.
 */
export async function* predict(): AsyncGenerator<BenchResult> {
  const run = join(DEMO, "student");
  const hasDemo = existsSync(join(run, "optimized/model_int8.onnx"));
  let jpeg = await picture(1280, 960);
  if (hasDemo) {
    const { images } = JSON.parse(readFileSync(join(DEMO, "data/test.json"), "utf8"));
    jpeg = readFileSync(join(DEMO, "data/images", images[0].file_name));
    for (const precision of ["int8", "fp32"]) {
      const detector = await createDetector({ model: join(run, `optimized/model_${precision}.onnx`) });
      yield await measure({ name: `student of the demo, ${precision}`, detector, jpeg, repeat: 20 });
    }
  }
  await tf.setBackend("onnxruntime");
  configure({ threads: 1 });
  const student = createStudent("yolov8n-seg", { classes: 3, imgsz: 640, seed: 0 });
  if (hasDemo) loadWeights(student, join(run, "weights/student.safetensors"));
  student.net.train(false);
  const { model } = await exportOnnx({
    trace: () => traceStudent({ model: student.net, deploy: student.deploy, imgsz: 640 }),
    imgsz: 640,
    task: "segment",
    classes: { classes: ["a", "b", "c"].map((name, index) => ({ index, categoryId: index + 1, name })) },
    author: "seg",
    license: "Apache-2.0",
  });
  student.dispose();
  const { data } = prepareYolo(await decodeImage(jpeg), { size: 640 });
  const int8 = quantizeStatic(model, await calibrate(model, [data]));
  for (const [precision, content] of [
    ["int8", int8],
    ["fp32", model],
  ] as const) {
    const detector = await createDetector({ model: encodeModel(content) });
    const weights = hasDemo ? "weights of the demo" : "untrained";
    yield await measure({ name: `yolov8n-seg, ${weights}, ${precision}`, detector, jpeg, repeat: 3 });
  }
}

async function measure({
  name,
  detector,
  jpeg,
  repeat,
}: {
  name: string;
  detector: Detector;
  jpeg: Uint8Array;
  repeat: number;
}): Promise<BenchResult> {
  const [height, width] = detector.metadata.imgsz;
  const image = await decodeImage(jpeg);
  const input = prepareYolo(image, { size: { width, height } }).data.slice();
  const contestants = {
    whole: async () => detector.predict(await decodeImage(jpeg)),
    session: () => detector.run(input),
    decode: () => decodeImage(jpeg),
  };
  const { masks = [] } = await contestants.whole();
  for (let i = 0; i < WARM_UP; i++) for (const run of Object.values(contestants)) await run();
  const { whole, session, decode } = await interleave(contestants, { repeat, rounds: 15 });
  await detector.dispose();
  const least = session.cpuMs + decode.cpuMs;
  const wallRatio = whole.wallMs / (session.wallMs + decode.wallMs);
  return {
    bench: "predict",
    case: `${name}, JPEG ${image.width} x ${image.height} to ${width} x ${height}, ${masks.length} masks`,
    value: whole.cpuMs,
    unit: "CPU-ms",
    peer: "session + JPEG decoding",
    peerValue: least,
    ratio: whole.cpuMs / least,
    note: `session ${session.cpuMs.toFixed(2)}, decoding ${decode.cpuMs.toFixed(2)}, wall ratio ${wallRatio.toFixed(2)}, ${remark(whole)}`,
  };
}

/** A JPEG with smooth shades and some grain, as photographs have. */
function picture(width: number, height: number): Promise<Uint8Array> {
  const pixels = new Uint8Array(width * height * 3);
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      for (let c = 0; c < 3; c++, i++) {
        const shade = 128 + 70 * Math.sin(x / (40 + 9 * c)) + 50 * Math.sin((y + 3 * x) / 61);
        pixels[i] = Math.min(Math.max(shade + ((i * 7919) % 13) - 6, 0), 255);
      }
    }
  }
  return sharp(pixels, { raw: { width, height, channels: 3 } })
    .jpeg({ quality: 90 })
    .toBuffer();
}
