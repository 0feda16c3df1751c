import { type KernelStatus, kernelStatuses } from "./kernels/define.js";

const MEANING: Readonly<Record<KernelStatus, string>> = {
  native: "one ONNX operator, with the casts that its dtypes need",
  composed: "several ONNX operators",
  view: "shares the data of its input; nothing runs",
  host: "JavaScript on shapes and constants; values that may change are fed to the graph",
  delegated: "everything pending runs, then tfjs's cpu backend computes; engineInfo() counts the calls",
};

/** Why a kernel is left to the cpu backend. */
const REASON: Readonly<Record<string, string>> = {
  BitwiseAnd: "ONNX has it from opset 18; graphs are opset 17",
  Dilation2DBackpropFilter: "no ONNX form",
  Dilation2DBackpropInput: "no ONNX form",
  Draw: "draws on a canvas",
  Multinomial: "draws random numbers in JavaScript, from a seed that defaults to Math.random()",
  NonMaxSuppressionV3: "the number of results depends on values",
  NonMaxSuppressionV4: "the number of results depends on values",
  NonMaxSuppressionV5: "the number of results depends on values; soft scores",
  RaggedGather: "ragged",
  RaggedRange: "ragged",
  RaggedTensorToTensor: "ragged",
  RotateWithOffset: "no ONNX form before opset 20",
  SparseFillEmptyRows: "sparse; the shape depends on values",
  SparseReshape: "sparse",
  SparseSegmentMean: "sparse",
  SparseSegmentSum: "sparse",
  StaticRegexReplace: "strings",
  StringNGrams: "strings",
  StringSplit: "strings",
  StringToHashBucketFast: "strings",
  Transform: "no ONNX form before opset 20",
  Unique: "the number of results depends on values",
};

/** When a kernel that computes in the graph goes to the cpu backend after all. */
const EXCEPTION: Readonly<Record<string, string>> = {
  Cast: "delegated from and to strings",
  CropAndResize:
    'delegated for method "nearest", for image indices that are still to be computed, and without contrib operators',
  Fill: "delegated for strings",
  MaxPool3DGrad: "delegated where padding is as wide as the window",
  MaxPoolGrad: "delegated where padding is as wide as the window",
  MaxPoolWithArgmax: "delegated where padding is as wide as the window",
  SearchSorted: "delegated for sequences longer than 4,096",
};

/** Markdown table of the kernels as they are registered, with what each status means. */
export function kernelTable(): string {
  const statuses = [...kernelStatuses()];
  const count = (status: KernelStatus) => statuses.filter(([, s]) => s === status).length;
  const legend = (Object.keys(MEANING) as KernelStatus[]).map(
    (status) => `| ${status} | ${count(status)} | ${MEANING[status]} |`,
  );
  const rows = statuses.map(([name, status]) => {
    const note = status === "delegated" ? (REASON[name] ?? "**no reason given**") : (EXCEPTION[name] ?? "");
    return `| ${name} | ${status} | ${note} |`;
  });
  return [
    "| status | kernels | what it means |",
    "|---|---|---|",
    ...legend,
    "",
    "| kernel | status | note |",
    "|---|---|---|",
    ...rows,
  ].join("\n");
}
