import { checkpoint } from "./checkpoint.js";
import { coco } from "./coco.js";
import type { Fuzzer } from "./fuzzer.js";
import { onnx } from "./onnx.js";
import { tflite } from "./tflite.js";

/** Fuzzers by name. */
export const fuzzers: Readonly<Record<string, Fuzzer>> = { checkpoint, coco, onnx, tflite };
