// What both programs do with their copy of the packages: the engine computes, a traced function runs in ONNX Runtime alone.
const { InferenceSession, Tensor } = require("onnxruntime-node");

module.exports.useEngine = async ({ tf, engine, onnx, teachers }) => {
  await tf.setBackend("onnxruntime");
  const w = tf.tensor2d([1, 2, 3, 4, 5, 6], [3, 2]);
  const product = Array.from(tf.matMul(tf.tensor2d([1, 0, -1, 2, 2, 2], [2, 3]), w).dataSync());
  const traced = engine.trace(
    ({ x }) => ({ y: tf.relu(tf.matMul(x, w)) }),
    { x: { shape: [1, 3] } },
    { constants: { w } },
  );
  const { model } = onnx.nameNodes(traced);
  const bytes = onnx.encodeModel(model);
  const session = await InferenceSession.create(bytes);
  const { y } = await session.run({ x: new Tensor("float32", [9, -2, -1], [1, 3]) });
  return {
    backend: tf.getBackend(),
    product,
    issues: onnx.checkModel(onnx.decodeModel(bytes)),
    nodes: model.graph.nodes.map((node) => node.opType),
    hash: onnx.modelHash(model),
    y: { dims: y.dims, data: Array.from(y.data) },
    pretrained: teachers.pretrainedSamDirectory(),
  };
};
