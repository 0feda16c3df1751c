import { headTensors } from "@seg/nn";
import type { SamConfig } from "@seg/teachers";
import * as tf from "@tensorflow/tfjs";
import { modelAnchors } from "../../anchors.js";
import { decodeBoxes } from "../../losses/detection-loss.js";
import type { Student } from "../../student.js";
import { MobileSamNet, mobileSamConfig } from "./network.js";
import { selectBoxes } from "./select-boxes.js";

/** Options of {@link createMobileSamStudent}. */
export interface MobileSamStudentOptions {
  readonly classes: number;
  /** Side of the square input, pixels, a multiple of 32. @defaultValue 1024 */
  readonly imgsz?: number;
  /** @defaultValue 0 */
  readonly seed?: number;
  /** @defaultValue 16 */
  readonly regMax?: number;
  /** Of the batch normalisations of the detector. @defaultValue 0.03 */
  readonly momentum?: number;
  /** K, objects that the graph segments per image. @defaultValue 50 */
  readonly maxObjects?: number;
  /** Also trains prompt encoder and mask decoder, which otherwise stay as loaded. @defaultValue false */
  readonly trainDecoder?: boolean;
  /** Another size of the network; its `imageSize` is `imgsz`. @defaultValue MobileSAM's */
  readonly config?: SamConfig;
}

/**
 * The prompt-free MobileSAM: one graph from the image to boxes, classes and masks. It keeps the contract of YOLOv8-seg with K rows instead of
 * A anchors and K coefficients instead of 32: `output1` holds the mask logits of the K boxes and the coefficients of row k are the k-th unit
 * vector, so that coefficients times prototypes are the mask logits and everything behind a student works unchanged.
 *
 * Input and output as `Student` says; the normalisation of SAM is inside the graph.
 */
export function createMobileSamStudent({
  classes,
  imgsz = 1024,
  seed = 0,
  regMax = 16,
  momentum = 0.03,
  maxObjects = 50,
  trainDecoder = false,
  config = mobileSamConfig(imgsz),
}: MobileSamStudentOptions): Student {
  const net = new MobileSamNet(config, { classes, regMax, momentum, seed });
  if (!trainDecoder) {
    for (const part of [net.prompt_encoder, net.mask_decoder]) {
      for (const parameter of part.namedParameters().values()) parameter.requiresGrad = false;
    }
  }
  return {
    id: "mobilesam",
    classes,
    imgsz,
    segment: true,
    net,
    forward(images) {
      const embedding = net.embed(images);
      const heads = headTensors({ levels: net.det.forward(embedding), features: [embedding] });
      return { ...heads, promptedMasks: (boxes) => net.maskLogits(embedding, boxes) };
    },
    deploy(images) {
      const embedding = net.embed(tf.transpose(images, [0, 2, 3, 1]));
      const heads = headTensors({ levels: net.det.forward(embedding), features: [embedding] });
      const rows = tf.transpose(heads.box, [0, 2, 1]) as tf.Tensor3D;
      const { boxes, scores } = selectBoxes({
        boxes: decodeBoxes(rows, modelAnchors(imgsz, imgsz)),
        scores: tf.transpose(tf.sigmoid(heads.cls), [0, 2, 1]) as tf.Tensor3D,
        count: maxObjects,
      });
      const masks = net.maskLogits(embedding, boxes);
      const [low, high] = tf.split(boxes, 2, 2) as [tf.Tensor3D, tf.Tensor3D];
      const [batch, kept] = boxes.shape;
      const unit = tf.tile(tf.expandDims(tf.eye(kept), 0), [batch, 1, 1]);
      const columns = tf.concat([tf.div(tf.add(low, high), 2), tf.sub(high, low), scores, unit], 2);
      return { output0: tf.transpose(columns, [0, 2, 1]) as tf.Tensor3D, output1: masks };
    },
    dispose: () => net.dispose(),
  };
}
