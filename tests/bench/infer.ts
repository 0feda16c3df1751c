import { createStudent } from "@seg/distill";
import { traceStudent } from "@seg/export";
import { encodeModel, optimizeModel } from "@seg/onnx";
import { compile, configure, engineInfo, freeze } from "@seg/tfjs-onnxruntime";
import * as tf from "@tensorflow/tfjs";
import { interleave, type Measured, remark } from "./measure.js";
import { openRuntime } from "./open-runtime.js";
import type { BenchResult } from "./result.js";

const SIZE = 640;

/**
 * CPU-milliseconds of one forward pass of YOLOv8n-seg at 640 px, from pixels in memory to both outputs in memory, one thread: through
 * tfjs on the engine (recorded with every call, and compiled; with frozen weights), and the exported model in onnxruntime alone.
 */
export async function infer(): Promise<BenchResult[]> {
  tf.env().set("PROD", true);
  await tf.setBackend("onnxruntime");
  configure({ threads: 1 });
  const student = createStudent("yolov8n-seg", { classes: 80, imgsz: SIZE, seed: 0 });
  student.net.train(false);
  const { model } = optimizeModel(traceStudent({ model: student.net, deploy: student.deploy, imgsz: SIZE }));
  const runtime = openRuntime();
  const session = runtime.load(encodeModel(model), "extended");
  const pixels = Float32Array.from({ length: 3 * SIZE * SIZE }, (_, i) => ((i * 7919) % 255) / 255);

  const forward = (images: tf.Tensor): Record<string, tf.Tensor> =>
    student.deploy(images as tf.Tensor4D) as Record<string, tf.Tensor>;
  // Read after tidy: inside, every intermediate is alive and would become an output.
  const consume = (run: (images: tf.Tensor) => Record<string, tf.Tensor>): void => {
    const outputs = tf.tidy(() => run(tf.tensor4d(pixels, [1, 3, SIZE, SIZE])));
    for (const output of Object.values(outputs)) output.dataSync();
    tf.dispose(outputs);
  };
  const replay = compile(forward);
  const images = runtime.tensor(pixels, [1, 3, SIZE, SIZE]);
  const direct = (): void => {
    session.run({ images }, { output0: null, output1: null }, {});
  };
  const contestants = { recorded: () => consume(forward), compiled: () => consume(replay), direct };
  for (const run of Object.values(contestants)) run();
  const fed = await interleave(contestants);
  freeze([...student.net.namedLeaves()].flatMap(([, leaf]) => ("variable" in leaf ? [leaf.variable] : [])));
  // Frozen data is built in after three runs.
  for (let i = 0; i < 5; i++) for (const run of Object.values(contestants)) run();
  const { misses } = engineInfo();
  const frozen = await interleave(contestants);
  const compilations = engineInfo().misses - misses;
  session.dispose();
  replay.dispose();
  student.dispose();
  const row = (name: string, own: Measured, peer: Measured): BenchResult => ({
    bench: "infer",
    case: `yolov8n-seg ${SIZE} px batch 1, ${name}`,
    value: own.cpuMs,
    unit: "CPU-ms",
    peer: "onnxruntime on the exported model",
    peerValue: peer.cpuMs,
    ratio: own.cpuMs / peer.cpuMs,
    note: `${remark(own)}, peer ${remark(peer)}, 1 thread, onnxruntime ${runtime.version}`,
  });
  return [
    row("recorded each time, weights fed", fed.recorded, fed.direct),
    row("compiled, weights fed", fed.compiled, fed.direct),
    row(
      `recorded each time, weights frozen (${compilations} compilations during the rounds)`,
      frozen.recorded,
      frozen.direct,
    ),
    row("compiled, weights frozen", frozen.compiled, frozen.direct),
  ];
}
