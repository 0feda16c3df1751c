import type { ClassMapping } from "@seg/coco-dataset";
import { assertModel, encodeModel, inferShapes, type Model, type Node, optimizeModel } from "@seg/onnx";
import { assertClassMapping } from "./class-files.js";
import { ExportError } from "./errors.js";
import { dynamicBatch, dynamicSize } from "./onnx/dynamic-axes.js";
import { type PythonValue, toPythonLiteral } from "./runtime/python-literal.js";
import { certifyPromptFree } from "./verify/prompt-free.js";

/** What becomes of a traced forward pass: input size, classes, batch, metadata. */
export interface ExportOnnxOptions {
  /** The traced forward pass: a model, or a function that traces it for a number of images at once. */
  trace: Model | ((size: { batch: number }) => Model | Promise<Model>);
  /**
   * Dimensions that the caller of the model chooses. `batch` traces twice, so `trace` must be a function; `size` allows any multiples of 32.
   * @defaultValue neither
   */
  dynamic?: { readonly batch?: boolean; readonly size?: boolean };
  /** Network input, one side of a square or `[height, width]`; multiples of 32. */
  imgsz: number | readonly [height: number, width: number];
  task: "detect" | "segment";
  classes: ClassMapping;
  /** Who made the model. */
  author: string;
  /** Licence of the weights. */
  license: string;
  /** @defaultValue "Prompt-free {task} model" */
  description?: string;
  /** ISO date; left out when absent, so that equal weights give equal bytes. */
  date?: string;
  /** @defaultValue "0.1.0" */
  version?: string;
  /** Where documentation is. @defaultValue "" */
  docs?: string;
}

/** An exported model as data and as the bytes of its file. */
export interface ExportedOnnx {
  model: Model;
  bytes: Uint8Array;
}

/** Operators of training or of tracing that a deployment graph must not hold. */
const FORBIDDEN: ReadonlySet<string> = new Set(["BatchNormalization", "Dropout", "Identity"]);
/** Prototypes of the YOLO family's masks. */
const PROTOTYPES = 32;
const STRIDE = 32;

/** The first node that has no place in a deployment graph. Casts have one where the graph itself selects boxes: indices are integers. */
function misplacedNode({ graph: { nodes } }: Model): Node | undefined {
  const selects = nodes.some(({ opType }) => opType === "TopK");
  return nodes.find(({ opType }) => FORBIDDEN.has(opType) || (opType === "Cast" && !selects));
}

/**
 * Turns a traced forward pass into a deployment model: folds batch normalisation and constants, removes what nothing reads, infers shapes, checks the graph
 * and its signature, and writes the metadata that loaders of the YOLO family read (Python literals).
 *
 * @throws ExportError `UNSUPPORTED_OP` when training operators remain or a dimension cannot become dynamic, `NOT_PROMPT_FREE`, `CLASS_MAP_MISMATCH` when output0 does not have
 * 4 + classes (+ 32, or + K for K boxes with a mask each) channels, `NOT_DECODABLE` for other shapes or an image size that is no multiple of 32; whatever `assertModel` of @seg/onnx finds
 */
export async function exportOnnx({
  trace,
  imgsz,
  task,
  classes,
  author,
  license,
  description = `Prompt-free ${task} model`,
  date,
  version = "0.1.0",
  docs = "",
  dynamic = {},
}: ExportOnnxOptions): Promise<ExportedOnnx> {
  assertClassMapping(classes);
  const [height, width] = typeof imgsz === "number" ? [imgsz, imgsz] : imgsz;
  const traced = typeof trace === "function" ? await trace({ batch: 1 }) : trace;
  const optimized = inferShapes(optimizeModel(traced).model).model;
  const left = misplacedNode(optimized);
  if (left !== undefined) {
    throw new ExportError({
      code: "UNSUPPORTED_OP",
      message: `Node ${left.name} (${left.opType}) is left after optimisation; a deployment graph holds none. Trace the model in inference mode.`,
      details: { op: left.opType, node: left.name, reason: "left after optimisation" },
    });
  }
  certifyPromptFree(optimized);
  assertSignature({ model: optimized, height, width, task, numClasses: classes.classes.length });
  const args = new Map<string, PythonValue>([
    ["batch", 1],
    ["half", false],
    ["dynamic", false],
    ["simplify", true],
    ["opset", 17],
    ["nms", false],
  ]);
  const metadata: [string, string][] = [
    ["description", description],
    ["author", author],
    ...(date === undefined ? [] : [["date", date] as [string, string]]),
    ["version", version],
    ["license", license],
    ["docs", docs],
    ["stride", String(STRIDE)],
    ["task", task],
    ["batch", "1"],
    ["imgsz", toPythonLiteral([height, width])],
    ["names", toPythonLiteral(new Map(classes.classes.map(({ index, name }) => [index, name])))],
    ["args", toPythonLiteral(args)],
    ["channels", "3"],
  ];
  const exported: Model = {
    ...optimized,
    producerName: "@seg/export",
    producerVersion: version,
    metadataProps: metadata.map(([key, value]) => ({ key, value })),
  };
  let model = exported;
  if (dynamic.batch) {
    if (typeof trace !== "function") {
      throw new ExportError({
        code: "UNSUPPORTED_OP",
        message:
          "A dynamic batch needs two traces, but one model was given. Pass trace as a function of the batch size.",
        details: { op: "dynamic", node: "trace", reason: "one traced model" },
      });
    }
    model = dynamicBatch(model, optimizeModel(await trace({ batch: 2 })).model);
  }
  if (dynamic.size) model = dynamicSize(model);
  assertModel(model);
  return { model, bytes: encodeModel(model) };
}

/** Input and output shapes against image size, task and classes. */
function assertSignature({
  model,
  height,
  width,
  task,
  numClasses,
}: {
  model: Model;
  height: number;
  width: number;
  task: "detect" | "segment";
  numClasses: number;
}): void {
  const expect = (what: string, actual: readonly unknown[] | undefined, expected: readonly number[]): void => {
    if (actual?.length === expected.length && expected.every((side, i) => side === actual[i])) return;
    throw new ExportError({
      code: "NOT_DECODABLE",
      message: `${what} is [${actual?.join(",") ?? "absent"}], expected [${expected.join(",")}] for task ${task}. Trace deployForward() at this size.`,
      details: { reason: `${what} has another shape` },
    });
  };
  if (height % STRIDE !== 0 || width % STRIDE !== 0) {
    throw new ExportError({
      code: "NOT_DECODABLE",
      message: `Image size ${height} x ${width} is no multiple of ${STRIDE}. Use ${Math.ceil(height / STRIDE) * STRIDE} x ${Math.ceil(width / STRIDE) * STRIDE}.`,
      details: { reason: "image size" },
    });
  }
  const shapes = new Map(model.graph.outputs.map(({ name, shape }) => [name, shape]));
  expect("Input images", model.graph.inputs[0]?.shape, [1, 3, height, width]);
  const anchors = [8, 16, 32].reduce((sum, stride) => sum + (height / stride) * (width / stride), 0);
  // Either prototypes that every anchor mixes, or (prompt-free MobileSAM) K boxes chosen in the graph with a mask each.
  const masks = shapes.get("output1")?.[1];
  const rows = shapes.get("output0")?.[2];
  const isMaskPerBox = task === "segment" && typeof masks === "number" && masks === rows;
  const coefficients = task === "segment" ? (isMaskPerBox ? masks : PROTOTYPES) : 0;
  const channels = shapes.get("output0")?.[1];
  if (typeof channels === "number" && channels !== 4 + numClasses + coefficients) {
    throw new ExportError({
      code: "CLASS_MAP_MISMATCH",
      message: `output0 has ${channels} channels: ${channels - 4 - coefficients} classes, the class mapping has ${numClasses}. Use the mapping that the student was trained with.`,
      details: { expected: numClasses, actual: channels - 4 - coefficients },
    });
  }
  expect("Output output0", shapes.get("output0"), [
    1,
    4 + numClasses + coefficients,
    isMaskPerBox ? coefficients : anchors,
  ]);
  if (task === "segment") expect("Output output1", shapes.get("output1"), [1, coefficients, height / 4, width / 4]);
}
