// One error of every package, made by one copy (ESM or CJS) and judged by the other: the class differs, the brand does not.
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const message = "made for a test";
const make = {
  "@seg/augment": (m) => new m.AugmentError({ code: "invalid_option", message }),
  "@seg/cli": (m) => new m.CommandError({ code: "cli/test", message }),
  "@seg/coco-dataset": (m) => new m.CocoFileNotFoundError({ file: "absent.json" }),
  "@seg/distill": (m) => new m.ConfigError({ field: "epochs", expected: "a positive integer", actual: 0 }),
  "@seg/export": (m) => new m.ExportError({ code: "NO_CALIBRATION_DATA", message, details: { count: 0 } }),
  "@seg/lora": (m) => new m.LoraTargetError({ target: "absent", reason: message }),
  "@seg/model-hub": (m) => new m.HubError({ code: "NOT_FOUND", message }),
  "@seg/nn": (m) => new m.SafetensorsFormatError({ reason: message, path: null }),
  "@seg/onnx": (m) => new m.MalformedProtobufError({ offset: 0, reason: message }),
  "@seg/preprocess": (m) => new m.PreprocessError({ code: "config_invalid", message }),
  "@seg/teachers": (m) => new m.TeacherUnavailableError({ teacher: "sam", reason: message }),
  "@seg/tfjs-onnxruntime": (m) => new m.EngineError({ code: "ENGINE_CONFIG", message }),
  "@seg/train": (m) => new m.NonFiniteLossError({ step: 1, loss: Number.NaN, parts: {} }),
};
const specifiers = process.argv.slice(2);
const esm = new Map();
for (const specifier of specifiers) esm.set(specifier, await import(specifier));
const cjs = new Map(specifiers.map((specifier) => [specifier, require(specifier)]));

const report = {};
for (const [way, makers, others] of [
  ["made by import, judged by require", esm, cjs],
  ["made by require, judged by import", cjs, esm],
]) {
  const judges = [...others.values()].filter((module) => "SegError" in module).map(({ SegError }) => SegError);
  for (const specifier of specifiers) {
    const error = make[specifier]?.(makers.get(specifier));
    report[`${specifier} ${way}`] = error && {
      isError: error instanceof Error,
      hasCode: typeof error.code === "string" && error.code !== "",
      sameClass: error instanceof others.get(specifier)[error.constructor.name],
      recognisedByAll: judges.length > 5 && judges.every((SegError) => SegError.isInstance(error)),
    };
  }
  report[`a plain Error, ${way}`] = { recognisedBySome: judges.some((SegError) => SegError.isInstance(new Error())) };
}
console.log(JSON.stringify(report));
