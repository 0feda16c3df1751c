import { float16ToFloat32, type StateDict } from "@seg/nn";
import { DataType, decodeModel, tensorData } from "@seg/onnx";

/** Epsilon of the batch normalisations of YOLOv8. */
const EPSILON = 1e-3;

/** The float initialisers of an ONNX model by name, as PyTorch exports and `exportOnnx` of @seg/export name them, and its metadata. */
export function readOnnxInitializers(bytes: Uint8Array): { dict: StateDict; metadata: ReadonlyMap<string, string> } {
  const model = decodeModel(bytes);
  const dict: StateDict = new Map();
  for (const tensor of model.graph.initializers) {
    const isHalf = tensor.dataType === DataType.FLOAT16;
    if (tensor.externalData || !(isHalf || tensor.dataType === DataType.FLOAT)) continue;
    const stored = tensorData(tensor);
    const data = isHalf ? float16ToFloat32(stored as Uint16Array) : Float32Array.from(stored as Float32Array);
    dict.set(tensor.name, { dtype: "F32", shape: tensor.dims, data });
  }
  return { dict, metadata: new Map(model.metadataProps.map(({ key, value }) => [key, value])) };
}

/**
 * Undoes the folding of batch normalisations: where `x.conv` has a bias that the model lacks and the model has `x.bn`, the bias becomes the
 * offset of a normalisation that does nothing else: mean 0, variance 1, scale sqrt(1 + eps).
 *
 * @param names - the keys of the model
 * @returns the number of layers
 */
export function unfoldBatchNorms(dict: StateDict, names: ReadonlySet<string>): number {
  let count = 0;
  for (const key of [...dict.keys()]) {
    const stem = /^(.+)\.conv\.bias$/.exec(key)?.[1];
    if (stem === undefined || names.has(key) || !names.has(`${stem}.bn.bias`)) continue;
    const bias = dict.get(key)!.data as Float32Array;
    const filled = (value: number) => ({
      dtype: "F32" as const,
      shape: [bias.length],
      data: new Float32Array(bias.length).fill(value),
    });
    dict.delete(key);
    dict.set(`${stem}.bn.bias`, { dtype: "F32", shape: [bias.length], data: bias });
    dict.set(`${stem}.bn.weight`, filled(Math.sqrt(1 + EPSILON)));
    dict.set(`${stem}.bn.running_mean`, filled(0));
    dict.set(`${stem}.bn.running_var`, filled(1));
    count += 1;
  }
  return count;
}
