import * as tf from "@tensorflow/tfjs";
import { describe, expect, test } from "vitest";
import "./index.js";
import { kernelTable } from "./kernel-table.js";
import { kernelStatuses } from "./kernels/define.js";

/** FEATURES.md in full; `npx vitest run --root packages/tfjs-onnxruntime src/kernel-table.test.ts -u` writes it. */
const features = () => `# Kernels of @seg/tfjs-onnxruntime

Written from what is registered (\`src/kernel-table.test.ts\`). Every kernel that tfjs 4.22 has for its cpu backend runs here, with
tfjs's dtypes, shapes, broadcasting and error messages; \`npm run conformance\` runs tfjs-core's own suite.

- Graphs hold float32, int32 and bool. Strings and complex64 are held beside them: \`Complex\`, \`Real\`, \`Imag\`, \`ComplexAbs\`, \`FFT\`,
  \`IFFT\`, \`Cast\`, \`Concat\`, \`Add\`, \`Sub\` and \`Multiply\` compute complex numbers in the graph; any other kernel that is called with
  strings or complex numbers is delegated.
- Names starting with \`Seg\` are this package's own, behind \`ops\`.
- \`Pool\` and \`FromPixels\` are names of tfjs-core without a kernel outside the browser.
- NaN: Max and Min propagate it, ArgMax and ArgMin pass over it, as in tfjs; \`configure({ nan: "fast" })\` leaves that to ONNX Runtime.
  MaxPool leaves it to ONNX Runtime always.
- Over no elements Max is -Infinity, Min Infinity, All true (tfjs cpu: NaN, NaN, false). A max pooling window with several maxima
  hands its gradient to the first.
- Gradients: every one that tfjs registers for a kernel of this table runs, and those of GatherNd, ScatterNd, TensorScatterUpdate, TopK, StridedSlice,
  DepthToSpace, FlipLeftRight, Cumprod, Einsum and the comparisons, which tfjs lacks. Those through complex numbers throw \`ENGINE_UNSUPPORTED\`:
  gradients of tfjs's tape are float32. \`ops.fft\` takes and gives real and imaginary parts and has one.
- Elementwise int32 products wrap modulo 2^32 exactly; tfjs cpu loses the low bits of products beyond 2^53.

${kernelTable()}
`;

describe("kernels", () => {
  test("FEATURES.md says what is registered", async () => {
    await expect(features()).toMatchFileSnapshot("../FEATURES.md");
  });

  test("no kernel of the cpu backend is missing, and every delegate has a reason", () => {
    const own = kernelStatuses();
    expect(tf.getKernelsForBackend("cpu").filter(({ kernelName }) => !own.has(kernelName))).toEqual([]);
    expect(kernelTable()).not.toContain("no reason given");
  });
});
