import { Buffer, deployForward, Parameter, type Yolov8 } from "@seg/nn";
import type { Model } from "@seg/onnx";
import { trace } from "@seg/tfjs-onnxruntime";
import type * as tf from "@tensorflow/tfjs";

/**
 * The deployment graph of a YOLOv8(-seg) student, untouched by passes: give it to `exportOnnx` as `trace`. Weights keep their state-dict
 * names. The backend `onnxruntime` must be active.
 *
 * @param imgsz - side of the square input, or `[height, width]`, multiples of 32
 * @throws EngineError of @seg/tfjs-onnxruntime when another backend is active
 * @example exportOnnx({ trace: () => traceStudent({ model, imgsz: 640 }), imgsz: 640, ... })
 */
export function traceStudent({
  model,
  imgsz,
}: {
  model: Yolov8;
  imgsz: number | readonly [height: number, width: number];
}): Model {
  const [height, width] = typeof imgsz === "number" ? [imgsz, imgsz] : imgsz;
  const constants: Record<string, tf.Tensor> = {};
  for (const [path, leaf] of model.namedLeaves()) {
    if (leaf instanceof Parameter || leaf instanceof Buffer) constants[path] = leaf.value();
  }
  // Each module's own flag: a frozen batch normalisation stays frozen afterwards.
  const modes = [...model.namedModules()].map(([, module]) => [module, module.training] as const);
  model.train(false);
  try {
    return trace(
      ({ images }) => {
        const { output0, output1 } = deployForward(model, images as tf.Tensor4D);
        return output1 === undefined ? { output0 } : { output0, output1 };
      },
      { images: { shape: [1, 3, height, width] } },
      { constants },
    );
  } finally {
    for (const [module, training] of modes) module.training = training;
  }
}
