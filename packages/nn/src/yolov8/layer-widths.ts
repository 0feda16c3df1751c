import { Conv2d, ConvTranspose2d } from "../layers/conv2d.js";
import { BatchNorm2d } from "../layers/norm.js";
import type { Module, StateTensor } from "../module.js";

/**
 * Channels of the layers that differ from the architecture's table, as pruning leaves them: path of a convolution -> [in, out], of a batch
 * normalisation -> [features]. Plain data, stored beside the weights: without it a pruned file fits no network.
 */
export type LayerWidths = Readonly<Record<string, readonly number[]>>;

/** The layer with other channel counts, all values zero; null for a module whose width cannot be set. */
function resized(layer: Module, widths: readonly number[]): Module | null {
  const blank = { seed: 0, path: "", blank: true };
  const [first = 0, second = 0] = widths;
  if (layer instanceof BatchNorm2d) {
    return new BatchNorm2d({ features: first, eps: layer.eps, momentum: layer.momentum });
  }
  const channels = { inChannels: first, outChannels: second, bias: false, init: blank };
  if (layer instanceof Conv2d && layer.groups === 1) {
    const { kernel, strides, paddings, dilation, bias } = layer;
    const geometry = { kernelSize: kernel, stride: strides, padding: paddings, dilation };
    return new Conv2d({ ...channels, ...geometry, bias: bias !== undefined });
  }
  if (layer instanceof ConvTranspose2d && layer.groups === 1) {
    const { kernelSize, stride, padding, outputPadding, bias } = layer;
    return new ConvTranspose2d({
      ...channels,
      ...{ kernelSize, stride, padding, outputPadding },
      bias: bias !== undefined,
    });
  }
  return null;
}

/**
 * Replaces the named layers by blank ones of the given widths; load their values afterwards. Frees the old ones.
 * @throws RangeError for a path that holds no ungrouped convolution or batch normalisation
 */
export function setLayerWidths(model: Module, widths: LayerWidths): void {
  for (const [path, channels] of Object.entries(widths)) {
    const old = model.getModule(path);
    const next = old === null ? null : resized(old, channels);
    if (old === null || next === null) {
      throw new RangeError(`Widths name "${path}", which is no convolution or batch normalisation of this model.`);
    }
    next.training = old.training;
    model.setModule(path, next);
    old.dispose();
  }
}

/** The widths by which `weights` differ from `model`: what {@link setLayerWidths} needs before they can be loaded. */
export function layerWidths(model: Module, weights: ReadonlyMap<string, Pick<StateTensor, "shape">>): LayerWidths {
  const widths: Record<string, readonly number[]> = {};
  for (const [path, layer] of model.namedModules()) {
    const shape = weights.get(`${path}.weight`)?.shape;
    if (shape === undefined) continue;
    const [first = 0, second = 0] = shape;
    if (layer instanceof BatchNorm2d && first !== layer.weight.size) widths[path] = [first];
    const isConvolution = layer instanceof Conv2d || layer instanceof ConvTranspose2d;
    if (!isConvolution) continue;
    const channels = layer instanceof Conv2d ? [second, first] : [first, second];
    if (channels[0] !== layer.inChannels || channels[1] !== layer.outChannels) widths[path] = channels;
  }
  return widths;
}
