import { DataType, type Model, tensorData } from "@seg/onnx";
import { ExportError } from "../errors.js";
import type { TrtPrecision } from "./trtexec-arguments.js";

/**
 * Checks that a model fits a precision: INT8 needs quantise / dequantise pairs, all int8 with zero point 0 (TensorRT rejects others, and is slow
 * with quantised biases); float32 and float16 must have none; a strongly typed float16 engine needs a float16 model.
 *
 * @throws ExportError `QUANT_CONFIG` naming the tensor
 */
export function assertTrtModel(
  { graph }: Model,
  { precision, isStronglyTyped }: { precision: TrtPrecision; isStronglyTyped: boolean },
): void {
  const constants = new Map(graph.initializers.map((tensor) => [tensor.name, tensor]));
  const pairs = graph.nodes.filter(({ opType }) => opType === "QuantizeLinear" || opType === "DequantizeLinear");
  const refuse = (message: string, tensor?: string): ExportError =>
    new ExportError({ code: "QUANT_CONFIG", message, details: tensor === undefined ? {} : { tensor } });
  if (precision !== "int8") {
    if (pairs.length > 0) {
      throw refuse(
        `The model is quantised (${pairs.length} Q and DQ nodes); precision ${precision} needs the float model.`,
      );
    }
    const isHalf = graph.initializers.some(({ dataType }) => dataType === DataType.FLOAT16);
    if (precision === "fp16" && isStronglyTyped && !isHalf) {
      throw refuse("A strongly typed float16 engine takes its types from the model. Pass the float16 model.");
    }
    return;
  }
  if (pairs.length === 0) {
    throw refuse("INT8 engines are built from the QDQ model for TensorRT; this one has no Q or DQ node.");
  }
  for (const { opType, name, inputs } of pairs) {
    const zeroPoint = constants.get(inputs[2] ?? "");
    // Without a zero point QuantizeLinear makes uint8.
    const isInt8 = zeroPoint?.dataType === DataType.INT8;
    if (zeroPoint === undefined || !isInt8) {
      throw refuse(`${opType} ${name} is not int8. Quantise with the preset for TensorRT.`, inputs[0] ?? name);
    }
    if ((tensorData(zeroPoint) as Int8Array).some((value) => value !== 0)) {
      throw refuse(
        `${opType} ${name} has a zero point other than 0. Quantise with the preset for TensorRT.`,
        inputs[0] ?? name,
      );
    }
  }
}
