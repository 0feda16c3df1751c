import { Buffer, deployForward, type Module, Parameter, type Yolov8 } from "@seg/nn";
import type { Model } from "@seg/onnx";
import { trace } from "@seg/tfjs-onnxruntime";
import type * as tf from "@tensorflow/tfjs";

/** A network and its deployed graph, images `[B, 3, H, W]` to `output0` and, for masks, `output1`. */
export type Deployable =
  | { readonly model: Yolov8; readonly deploy?: undefined }
  | {
      readonly model: Module;
      readonly deploy: (images: tf.Tensor4D) => { output0: tf.Tensor3D; output1?: tf.Tensor4D };
    };

/**
 * The deployment graph of a student, untouched by passes: give it to `exportOnnx` as `trace`. Weights keep their state-dict
 * names. The backend `onnxruntime` must be active.
 *
 * @param deploy - of a student of @seg/distill @defaultValue `deployForward` of @seg/nn, for a bare YOLOv8 network
 * @param batch - images at once @defaultValue 1
 * @param imgsz - side of the square input, or `[height, width]`, multiples of 32
 * @throws EngineError of @seg/tfjs-onnxruntime when another backend is active
 * @example exportOnnx({ trace: () => traceStudent({ model, imgsz: 640 }), imgsz: 640, ... })
 */
export function traceStudent({
  imgsz,
  batch = 1,
  ...student
}: Deployable & { batch?: number; imgsz: number | readonly [height: number, width: number] }): Model {
  const { model } = student;
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
        const { output0, output1 } = student.deploy
          ? student.deploy(images as tf.Tensor4D)
          : deployForward(student.model, images as tf.Tensor4D);
        return output1 === undefined ? { output0 } : { output0, output1 };
      },
      { images: { shape: [batch, 3, height, width] } },
      { constants },
    );
  } finally {
    for (const [module, training] of modes) module.training = training;
  }
}
