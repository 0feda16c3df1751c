import { createStudent } from "@seg/distill";
import { traceStudent } from "@seg/export";
import { deployForward } from "@seg/nn";
import { encodeModel, optimizeModel } from "@seg/onnx";
import { configure, engineInfo } from "@seg/tfjs-onnxruntime";
import * as tf from "@tensorflow/tfjs";
import { interleave, remark } from "./measure.js";
import { openRuntime } from "./open-runtime.js";
import type { BenchResult } from "./result.js";

const SIZE = 640;

/**
 * CPU-milliseconds of one forward pass of YOLOv8n-seg at 640 px, from pixels in memory to both outputs in memory: through tfjs on the
 * engine (the function runs again for every image), and the exported model in onnxruntime alone. One thread each.
 */
export async function infer(): Promise<BenchResult[]> {
  tf.env().set("PROD", true);
  await tf.setBackend("onnxruntime");
  configure({ threads: 1 });
  const student = createStudent("yolov8n-seg", { classes: 80, imgsz: SIZE, seed: 0 });
  student.net.train(false);
  const { model } = optimizeModel(traceStudent({ model: student.net, imgsz: SIZE }));
  const runtime = openRuntime();
  const session = runtime.load(encodeModel(model), "extended");
  const pixels = Float32Array.from({ length: 3 * SIZE * SIZE }, (_, i) => ((i * 7919) % 255) / 255);

  const engine = (): void => {
    tf.tidy(() => {
      const { output0, output1 } = deployForward(student.net, tf.tensor4d(pixels, [1, 3, SIZE, SIZE]));
      output0.dataSync();
      output1?.dataSync();
    });
  };
  const images = runtime.tensor(pixels, [1, 3, SIZE, SIZE]);
  const direct = (): void => {
    session.run({ images }, { output0: null, output1: null }, {});
  };
  engine();
  const before = engineInfo();
  const times = await interleave({ engine, direct });
  const after = engineInfo();
  session.dispose();
  student.dispose();
  const calls = after.runs - before.runs;
  const inRuntime = (after.runMs - before.runMs) / calls;
  return [
    {
      bench: "infer",
      case: `yolov8n-seg ${SIZE} px batch 1, recorded each time`,
      value: times.engine.cpuMs,
      unit: "CPU-ms",
      peer: "onnxruntime on the exported model",
      peerValue: times.direct.cpuMs,
      ratio: times.engine.cpuMs / times.direct.cpuMs,
      note:
        `${remark(times.engine)} (${inRuntime.toFixed(1)} ms of it in the runtime), peer ${remark(times.direct)}, ` +
        `compiled during the rounds: ${after.misses - before.misses}, onnxruntime ${after.version}`,
    },
  ];
}
