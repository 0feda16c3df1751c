import type * as tf from "@tensorflow/tfjs";
import { at } from "../init.js";
import { Module, ModuleList } from "../module.js";
import { C2f, Concat, ConvBlock, type NormOptions, Sppf, Upsample } from "./blocks.js";
import { Head, type HeadLevel } from "./head.js";
import { type LayerWidths, setLayerWidths } from "./layer-widths.js";
import { scaleChannels, scaleRepeats, YOLOV8_SCALES, type Yolov8ScaleName } from "./scales.js";

/** Size and number of classes of a YOLOv8 network. */
export interface Yolov8Options {
  readonly scale: Yolov8ScaleName;
  /** Number of classes, at least 1. */
  readonly classes: number;
  /** With mask coefficients and prototypes. */
  readonly segment: boolean;
  /** Bins of each box side's distribution. @defaultValue 16 */
  readonly regMax?: number;
  /** Batch normalisation momentum (weight of the new batch). @defaultValue 0.03 */
  readonly momentum?: number;
  readonly seed: number;
  /** Zeros instead of random values: for a network whose values are loaded next. @defaultValue false */
  readonly blank?: boolean;
  /** Layers of a pruned network that are narrower than the table. @defaultValue {} */
  readonly widths?: LayerWidths;
}

/** Raw outputs of a forward pass, NHWC, finest level first. */
export interface Yolov8Output {
  readonly levels: readonly HeadLevel[];
  /** [B, H/4, W/4, 32], after SiLU; segmentation only. */
  readonly proto?: tf.Tensor4D;
  /** The P3, P4, P5 maps that the head reads. */
  readonly features: readonly tf.Tensor4D[];
}

/** Which earlier layers feed layer i; layers not listed take the one before. */
const SOURCES: Readonly<Record<number, readonly number[]>> = { 11: [10, 6], 14: [13, 4], 17: [16, 12], 20: [19, 9] };
const FEATURE_LAYERS = [15, 18, 21] as const;
const HEAD = 22;

/**
 * YOLOv8 / YOLOv8-seg. State-dict names are those of published files: `model.0.conv.weight` ... `model.22.dfl.conv.weight`.
 * Build it with {@link createYolov8}.
 */
export class Yolov8 extends Module {
  readonly scale: Yolov8ScaleName;
  readonly classes: number;
  readonly segment: boolean;
  readonly regMax: number;
  model: ModuleList;

  constructor({
    scale,
    classes,
    segment,
    regMax = 16,
    momentum = 0.03,
    seed,
    blank = false,
    widths = {},
  }: Yolov8Options) {
    super();
    if (!Number.isInteger(classes) || classes < 1) {
      throw new RangeError(`classes must be an integer of at least 1, got ${classes}.`);
    }
    this.scale = scale;
    this.classes = classes;
    this.segment = segment;
    this.regMax = regMax;
    this.model = buildLayers({ scale, classes, segment, regMax, seed, blank, norm: { eps: 1e-3, momentum } });
    setLayerWidths(this, widths);
  }

  /** The detection or segmentation head, layer 22. */
  get head(): Head {
    return this.model.at(HEAD) as Head;
  }

  /**
   * @param images - [B, H, W, 3] RGB in 0..1, letterboxed; H and W multiples of 32
   * @returns raw maps; the caller disposes them (wrap in tf.tidy: intermediate maps stay alive otherwise)
   * @throws RangeError for another shape
   */
  forward(images: tf.Tensor4D): Yolov8Output {
    const [, height, width, channels] = images.shape;
    if (height % 32 !== 0 || width % 32 !== 0 || height === 0 || width === 0 || channels !== 3) {
      throw new RangeError(`images must be [B,H,W,3] with H and W multiples of 32, got [${images.shape.join(",")}].`);
    }
    const outputs: tf.Tensor4D[] = [];
    for (let i = 0; i < HEAD; i++) {
      const layer = this.model.at(i) as Concat;
      const sources = SOURCES[i]?.map((source) => outputs[source]!) ?? [outputs[i - 1] ?? images];
      outputs.push(layer.forward(...sources));
    }
    const features = FEATURE_LAYERS.map((i) => outputs[i]!);
    return { ...this.head.forward(features), features };
  }
}

/**
 * A YOLOv8 network with initial values drawn from `seed`.
 * @example stateDict(createYolov8({ scale: "n", classes: 80, segment: false, seed: 0 })).size // 355
 */
export function createYolov8(options: Yolov8Options): Yolov8 {
  return new Yolov8(options);
}

function buildLayers({
  scale: name,
  classes,
  segment,
  regMax,
  seed,
  blank,
  norm,
}: Required<Omit<Yolov8Options, "momentum" | "widths">> & { norm: NormOptions }): ModuleList {
  const scale = YOLOV8_SCALES[name];
  const [c64, c128, c256, c512, c1024] = [64, 128, 256, 512, 1024].map((c) => scaleChannels(c, scale)) as [
    number,
    number,
    number,
    number,
    number,
  ];
  const init = (i: number) => at({ seed, path: "model", blank }, i);
  const down = (i: number, inChannels: number, outChannels: number) =>
    new ConvBlock({ inChannels, outChannels, kernelSize: 3, stride: 2, norm, init: init(i) });
  const c2f = (i: number, inChannels: number, outChannels: number, repeats: number, shortcut: boolean) =>
    new C2f({ inChannels, outChannels, repeats: scaleRepeats(repeats, scale), shortcut, norm, init: init(i) });
  return new ModuleList<Module>([
    down(0, 3, c64),
    down(1, c64, c128),
    c2f(2, c128, c128, 3, true),
    down(3, c128, c256),
    c2f(4, c256, c256, 6, true), // P3
    down(5, c256, c512),
    c2f(6, c512, c512, 6, true), // P4
    down(7, c512, c1024),
    c2f(8, c1024, c1024, 3, true),
    new Sppf({ inChannels: c1024, outChannels: c1024, norm, init: init(9) }), // P5
    new Upsample(),
    new Concat(),
    c2f(12, c1024 + c512, c512, 3, false),
    new Upsample(),
    new Concat(),
    c2f(15, c512 + c256, c256, 3, false),
    down(16, c256, c256),
    new Concat(),
    c2f(18, c256 + c512, c512, 3, false),
    down(19, c512, c512),
    new Concat(),
    c2f(21, c512 + c1024, c1024, 3, false),
    new Head({
      channels: [c256, c512, c1024],
      classes,
      regMax,
      protoChannels: segment ? c256 : null,
      norm,
      init: init(HEAD),
    }),
  ]);
}
