// Preloaded: the exit code becomes 99 when the process has loaded tfjs or ONNX Runtime.
process.on("exit", () => {
  if (Object.keys(require.cache).some((file) => /[\\/](@tensorflow|onnxruntime-node)[\\/]/.test(file)))
    process.exitCode = 99;
});
