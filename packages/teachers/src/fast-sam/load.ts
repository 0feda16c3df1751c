import type { RgbImage, Rle } from "@seg/coco-dataset";
import {
  createYolov8,
  deployForward,
  loadStateDict,
  openWeights,
  SegError,
  scaleChannels,
  type WeightFile,
  YOLOV8_SCALES,
  type Yolov8ScaleName,
} from "@seg/nn";
import { type Geometry, prepareYolo } from "@seg/preprocess";
import { compile, freeze } from "@seg/tfjs-onnxruntime";
import * as tf from "@tensorflow/tfjs";
import { TeacherUnavailableError } from "../errors.js";
import { FastSam } from "./fast-sam.js";

/** Output of a YOLOv8-seg network. */
interface RawTensor {
  readonly data: Float32Array;
  readonly dims: readonly number[];
}

/** Threshold, suppression and masks: `decodeOutputs` of `@seg/export/runtime`, which this package does not import. */
export type DecodeYolov8 = (input: {
  output0: RawTensor;
  output1?: RawTensor;
  numClasses: number;
  geometry: Geometry;
  confidence: number;
  iou: number;
  maskMode: "accurate";
}) => { readonly boxes: Float32Array; readonly scores: Float32Array; readonly masks?: readonly Rle[] };

/**
 * FastSAM from the file that the caller names; nothing is looked for or fetched, because the published weights are licensed under the AGPL. The network is
 * YOLOv8-seg with one class; its size is read from the first layer.
 *
 * @param file - `FastSAM-s.pt`, or the same keys in another format
 * @param imgsz - longest side of the network's input. @defaultValue 1024
 * @param confidence - @defaultValue 0.4 @param iou - of the suppression. @defaultValue 0.9
 * @returns the teacher, and `dispose` for its network
 * @throws {@link TeacherUnavailableError} when the file cannot be read or holds another network, StateDictError, CheckpointFormatError, UnsafePickleError
 * @example
 * import { decodeOutputs } from "@seg/export/runtime";
 * const { teacher } = loadFastSam({ file: "FastSAM-s.pt", decode: decodeOutputs });
 */
export function loadFastSam({
  file,
  decode,
  imgsz = 1024,
  confidence = 0.4,
  iou = 0.9,
}: {
  readonly file: string;
  readonly decode: DecodeYolov8;
  readonly imgsz?: number;
  readonly confidence?: number;
  readonly iou?: number;
}): { readonly teacher: FastSam; dispose(): void } {
  let weights: WeightFile;
  try {
    weights = openWeights(file, { allowModuleClasses: ["ultralytics.", "torch.nn."] });
  } catch (cause) {
    if (SegError.isInstance(cause)) throw cause;
    throw new TeacherUnavailableError({ teacher: "fastsam", reason: `${file} cannot be read`, cause });
  }
  const net = createYolov8({ scale: scaleOf(weights, file), classes: 1, segment: true, seed: 0, blank: true });
  try {
    loadStateDict(net, weights);
  } catch (error) {
    net.dispose();
    throw error;
  }
  net.train(false);
  const forward = compile((images: tf.Tensor): Record<string, tf.Tensor> => deployForward(net, images as tf.Tensor4D), {
    name: "FastSAM",
  });
  freeze([...net.namedParameters().values()].map(({ variable }) => variable));
  const network = async (image: RgbImage) => {
    const { data, geometry } = prepareYolo(image, { size: imgsz });
    const outputs = tf.tidy(() => forward(tf.tensor4d(data, [1, 3, geometry.netH, geometry.netW])));
    const raw = async (name: string): Promise<RawTensor> => ({
      data: (await outputs[name]!.data()) as Float32Array,
      dims: outputs[name]!.shape,
    });
    const [output0, output1] = [await raw("output0"), await raw("output1")];
    tf.dispose(outputs);
    const { boxes, scores, masks } = decode({
      output0,
      output1,
      numClasses: 1,
      geometry,
      confidence,
      iou,
      maskMode: "accurate",
    });
    return { boxes, scores, masks: masks! };
  };
  return {
    teacher: new FastSam({ network }),
    dispose() {
      forward.dispose();
      net.dispose();
    },
  };
}

/** The size whose first convolution has as many channels as the file's. */
function scaleOf(weights: WeightFile, file: string): Yolov8ScaleName {
  const key = "model.0.conv.weight";
  const channels = weights.has(key) ? weights.info(key).shape[0] : undefined;
  const scales = Object.keys(YOLOV8_SCALES) as Yolov8ScaleName[];
  const scale = scales.find((name) => scaleChannels(64, YOLOV8_SCALES[name]) === channels);
  if (scale !== undefined && weights.has("model.22.proto.cv1.conv.weight")) return scale;
  const reason =
    channels === undefined
      ? `${file} holds no YOLOv8 network`
      : `${file} is not a YOLOv8-seg network of a known size (first layer: ${channels} channels)`;
  throw new TeacherUnavailableError({ teacher: "fastsam", reason });
}
