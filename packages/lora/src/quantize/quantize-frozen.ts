import { Conv2d, Linear, type Module, Parameter } from "@seg/nn";
import { ensureAdapters } from "../adapters.js";
import { baseHash } from "../base-weights.js";
import { MergeError } from "../errors.js";
import { isAdapted } from "../layers/lora-layers.js";
import { QuantizedConv2d } from "./quantized-conv2d.js";
import { QuantizedLinear } from "./quantized-linear.js";
import type { Bits } from "./quantized-weight.js";

/** Smaller weights cost more in scales and rounding than they save. */
const MIN_ELEMENTS = 4096;
/** Output heads (boxes, IoU, hypernetworks) whose rounding goes straight into the result. */
const HEADS = [/(^|\.)([a-z_]*bbox_embed|iou_prediction_head|output_hypernetworks_mlps|class_embed)(\.|$)/];

type Quantizable = Linear | Conv2d;

const isQuantizable = (module: unknown): module is Quantizable =>
  module instanceof Linear || (module instanceof Conv2d && module.groups === 1 && module.dilation === 1);

/** What {@link quantizeFrozen} did; bytes of weights only. */
export interface QuantizationReport {
  readonly bits: Bits;
  /** Paths of the quantised layers. */
  readonly paths: readonly string[];
  /** Scalars that were quantised. */
  readonly elements: number;
  /** Of the quantised weights: as float32, and as codes with scales. */
  readonly bytesBefore: number;
  readonly bytesAfter: number;
  /** Of all weights of the model after quantisation. */
  readonly modelBytes: number;
  /** One line with the memory figure. */
  readonly summary: string;
}

/**
 * Replaces the frozen weights of Linear layers, and of convolutions of one group without dilation, by codes where they have at least 4,096
 * elements, for QLoRA (Dettmers et al., 2023): int8 with a scale per output, or 4-bit NF4 with a scale per 64 elements. Embeddings, norms,
 * biases, output heads, other convolutions, adapters, saved modules and trainable weights stay float32. The adapter of a quantised base is an ordinary one; merge it into the original base.
 *
 * @param exclude - module paths that stay, in addition to saved modules. @defaultValue box, IoU, class and hypernetwork heads
 * @throws {@link MergeError} while adapters are merged
 * @example quantizeFrozen(model, { bits: 4 }).summary // "48 layers, 12,582,912 weights: 50.3 MB -> 7.1 MB (4.50 bits a weight)"
 */
export function quantizeFrozen(
  model: Module,
  { bits, exclude = HEADS }: { bits: Bits; exclude?: readonly RegExp[] },
): QuantizationReport {
  const adapters = ensureAdapters(model);
  adapters.baseHash ??= baseHash(model);
  const saved = [...adapters.saved.keys()];
  const uses = new Map<unknown, number>();
  for (const [, leaf] of model.namedLeaves()) uses.set(leaf, (uses.get(leaf) ?? 0) + 1);
  const inAdapter = new Set<Module>();
  const chosen: [path: string, base: Quantizable, replace: (by: QuantizedLinear | QuantizedConv2d) => void][] = [];
  for (const [path, module] of model.namedModules()) {
    if (isAdapted(module)) {
      if (module.merged)
        throw new MergeError({ reason: "Adapters are merged; call unmergeAdapter before quantising", paths: [path] });
      for (const [, child] of module.children()) if (!(child instanceof Parameter)) inAdapter.add(child);
      const base = module.base_layer;
      if (isQuantizable(base)) chosen.push([path, base, (by) => Object.assign(module, { base_layer: by })]);
    } else if (isQuantizable(module) && !inAdapter.has(module)) {
      chosen.push([path, module, (by) => model.setModule(path, by)]);
    }
  }
  const paths: string[] = [];
  let [elements, bytesAfter] = [0, 0];
  for (const [path, base, replace] of chosen) {
    const { weight } = base;
    const isSaved = saved.some((other) => path === other || path.startsWith(`${other}.`));
    if (isSaved || exclude.some((pattern) => pattern.test(path))) continue;
    // Before injection everything still requires gradients; afterwards only what trains does.
    const trains = weight.requiresGrad && adapters.records.size > 0;
    if (weight.size < MIN_ELEMENTS || trains || uses.get(weight) !== 1) continue;
    const quantized = base instanceof Linear ? new QuantizedLinear(base, bits) : new QuantizedConv2d(base, bits);
    replace(quantized);
    weight.dispose();
    paths.push(path);
    elements += quantized.codes.shape.reduce((product, size) => product * size, 1);
    bytesAfter += quantized.codes.bytes;
  }
  let modelBytes = bytesAfter;
  for (const parameter of model.namedParameters().values()) modelBytes += 4 * parameter.size;
  const megabytes = (bytes: number) => (bytes / 1e6).toFixed(1);
  const width = elements === 0 ? 0 : (8 * bytesAfter) / elements;
  const summary = `${paths.length} layers, ${elements.toLocaleString("en-US")} weights: ${megabytes(4 * elements)} MB -> ${megabytes(bytesAfter)} MB (${width.toFixed(2)} bits a weight)`;
  return { bits, paths, elements, bytesBefore: 4 * elements, bytesAfter, modelBytes, summary };
}
