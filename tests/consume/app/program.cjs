const onnx = require("@seg/onnx");
const teachers = require("@seg/teachers");
const engine = require("@seg/tfjs-onnxruntime");
const tf = require("@tensorflow/tfjs");
const { useEngine } = require("./use-engine.cjs");

useEngine({ tf, engine, onnx, teachers }).then((result) => console.log(JSON.stringify(result)));
