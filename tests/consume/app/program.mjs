import * as onnx from "@seg/onnx";
import * as teachers from "@seg/teachers";
import * as engine from "@seg/tfjs-onnxruntime";
import * as tf from "@tensorflow/tfjs";
import { useEngine } from "./use-engine.cjs";

console.log(JSON.stringify(await useEngine({ tf, engine, onnx, teachers })));
