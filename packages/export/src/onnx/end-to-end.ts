import { DataType, inferShapes, type Model, type ValueInfo } from "@seg/onnx";
import { ExportError } from "../errors.js";
import { GraphAppend } from "./graph-append.js";

/** How suppression and mask assembly become part of the graph. */
export interface EndToEndOptions {
  readonly numClasses: number;
  /**
   * `e2e`: outputs `boxes` float32 [1, K, 4] xyxy letterboxed pixels, `scores` float32 [1, K], `class_ids` int64 [1, K] and, for masks, `masks`
   * float32 [1, K, H/4, W/4] probabilities cropped to the box; empty slots hold 0, 0, -1, 0. `nms`: `output0` float32 [1, K, 6 (+ coefficients)]
   * = xyxy, score, class, coefficients, empty slots 0; `output1` as it was. @defaultValue "e2e"
   */
  readonly layout?: "e2e" | "nms";
  /** K. @defaultValue 100, for `nms` 300 */
  readonly maxDetections?: number;
  /** @defaultValue 0.25 */
  readonly confidence?: number;
  /** Overlap above which the weaker of two boxes of a class goes. @defaultValue 0.7 */
  readonly iou?: number;
}

/** Boxes of different classes are moved apart by this, pixels: more than any image's side. */
const CLASS_OFFSET = 7680;

/**
 * The model with suppression and mask assembly inside, beside the raw graph, never instead of it. Confidence, overlap and number of detections
 * are initializers (`e2e/confidence`, `e2e/iou`, `e2e/max`), hence editable. Not for INT8, TFLite or OpenCV; batch 1, static size.
 *
 * @throws ExportError `NOT_DECODABLE` for outputs of another shape
 */
export function endToEnd(
  model: Model,
  {
    numClasses,
    layout = "e2e",
    maxDetections: k = layout === "e2e" ? 100 : 300,
    confidence = 0.25,
    iou = 0.7,
  }: EndToEndOptions,
): Model {
  const { graph } = model;
  const [raw, protos] = graph.outputs;
  const [batch, channels, anchors] = raw?.shape ?? [];
  if (batch !== 1 || typeof channels !== "number" || typeof anchors !== "number" || channels < 4 + numClasses) {
    throw new ExportError({
      code: "NOT_DECODABLE",
      message: `End-to-end export needs output0 [1, 4 + ${numClasses} (+ coefficients), A], got [${raw?.shape?.join(",")}]. Export with a static batch of 1.`,
      details: { reason: "output0 has another shape" },
    });
  }
  const coefficients = channels - 4 - numClasses;
  const g = new GraphAppend("e2e");
  const output0 = layout === "nms" ? "e2e/raw" : raw!.name;
  const sizes = [4, numClasses, ...(coefficients > 0 ? [coefficients] : [])];
  const [box = "", classes = "", coefs = ""] = g.split(
    "Split",
    [output0, g.int64("sizes", sizes)],
    { axis: 1 },
    sizes.length,
  );

  // [1, 1, A] scores and [1, A] ids of the best class; ties go to the lower id.
  const best = g.node("ReduceMax", [classes], { axes: [1], keepdims: 1 });
  const ids = g.node("ArgMax", [classes], { axis: 1, keepdims: 0, select_last_index: 0 });
  const [centre = "", size = ""] = g.split(
    "Split",
    [g.node("Transpose", [box], { perm: [0, 2, 1] }), g.int64("halves", [2, 2])],
    { axis: 2 },
    2,
  );
  const half = g.node("Mul", [size, g.float("half", 0.5)]);
  const xyxy = g.node("Concat", [g.node("Sub", [centre, half]), g.node("Add", [centre, half])], { axis: 2 });
  const offset = g.node("Mul", [g.node("Cast", [ids], { to: DataType.FLOAT }), g.float("offset", CLASS_OFFSET)]);
  const apart = g.node("Add", [xyxy, g.node("Unsqueeze", [offset, g.int64("two", [2])])]);
  const limits = [g.int64("max", [k]), g.float("iou", [iou]), g.float("confidence", [confidence])];
  const selected = g.node("NonMaxSuppression", [apart, best, ...limits]);

  // K sentinels of score -1 at anchor 0, so that TopK always has enough.
  const found = g.node("Gather", [selected, g.int64("anchor_column", 2)], { axis: 1 });
  const flat = g.int64("flat", [-1]);
  const foundScores = g.node("Gather", [g.node("Reshape", [best, flat]), found], { axis: 0 });
  const scores = g.node("Concat", [foundScores, g.float("sentinel_scores", new Array<number>(k).fill(-1))], {
    axis: 0,
  });
  const candidates = g.node("Concat", [found, g.int64("sentinel_anchors", new Array<number>(k).fill(0))], { axis: 0 });
  const [top = "", order = ""] = g.split("TopK", [scores, g.int64("max", [k])], { axis: 0, largest: 1, sorted: 1 }, 2);
  const anchor = g.node("Gather", [candidates, order], { axis: 0 });
  const isFound = g.node("GreaterOrEqual", [top, g.float("zero", 0)]);
  const isFoundColumn = g.node("Unsqueeze", [isFound, g.int64("one", [1])]);

  const zero = g.float("zero", 0);
  const first = g.int64("first", [0]);
  const keep = (value: string): string => g.node("Where", [isFoundColumn, value, zero]);
  const boxes = keep(g.node("Gather", [g.node("Squeeze", [xyxy, first]), anchor], { axis: 0 }));
  const classIds = g.node("Gather", [g.node("Squeeze", [ids, first]), anchor], { axis: 0 });
  const chosen =
    coefficients === 0
      ? ""
      : g.node("Gather", [g.node("Transpose", [g.node("Squeeze", [coefs, first])], { perm: [1, 0] }), anchor], {
          axis: 0,
        });
  const outputs: ValueInfo[] = [];
  const output = (name: string, value: string, dataType: number, shape: number[]): void => {
    g.node("Unsqueeze", [value, first], {}, name);
    outputs.push({ name, dataType, shape });
  };
  const foundScore = g.node("Where", [isFound, top, zero]);
  if (layout === "nms") {
    const column = (value: string): string => g.node("Unsqueeze", [value, g.int64("one", [1])]);
    const classColumn = keep(column(g.node("Cast", [classIds], { to: DataType.FLOAT })));
    const parts = [boxes, column(foundScore), classColumn, ...(chosen === "" ? [] : [keep(chosen)])];
    output(raw!.name, g.node("Concat", parts, { axis: 1 }), DataType.FLOAT, [1, k, 6 + coefficients]);
    if (protos !== undefined) outputs.push(protos);
  } else {
    output("boxes", boxes, DataType.FLOAT, [1, k, 4]);
    output("scores", foundScore, DataType.FLOAT, [1, k]);
    output("class_ids", g.node("Where", [isFound, classIds, g.int64("none", -1)]), DataType.INT64, [1, k]);
    if (chosen !== "") {
      const [, count = 0, height = 0, width = 0] = (protos?.shape ?? []).map(Number);
      const pixels = g.node("Reshape", [protos!.name, g.int64("pixels", [count, height * width])]);
      const probability = g.node("Sigmoid", [g.node("MatMul", [chosen, pixels])]);
      const maps = g.node("Reshape", [probability, g.int64("maps", [k, height, width])]);
      // Column j is inside iff x1 / 4 <= j < x2 / 4; rows alike.
      const cells = g.node("Mul", [boxes, g.float("quarter", 0.25)]);
      const sides = g
        .split("Split", [cells, g.int64("sides", [1, 1, 1, 1])], { axis: 1 }, 4)
        .map((side) => g.node("Unsqueeze", [side, g.int64("two", [2])]));
      const ramp = (name: string, count: number, dims: number[]): string =>
        g.float(
          name,
          Array.from({ length: count }, (_, i) => i),
          dims,
        );
      const within = (axis: string, low: string, high: string): string =>
        g.node("And", [g.node("GreaterOrEqual", [axis, low]), g.node("Less", [axis, high])]);
      const columns = within(ramp("columns", width, [1, 1, width]), sides[0]!, sides[2]!);
      const rows = within(ramp("rows", height, [1, height, 1]), sides[1]!, sides[3]!);
      const masks = g.node("Where", [g.node("And", [columns, rows]), maps, zero]);
      output("masks", masks, DataType.FLOAT, [1, k, height, width]);
    }
  }
  const rename = (name: string): string => (layout === "nms" && name === raw!.name ? output0 : name);
  const nodes = graph.nodes.map((node) => ({
    ...node,
    outputs: node.outputs.map(rename),
    inputs: node.inputs.map(rename),
  }));
  const args = model.metadataProps.map(({ key, value }) =>
    key === "args" ? { key, value: value.replace("'nms': False", "'nms': True") } : { key, value },
  );
  return inferShapes({
    ...model,
    graph: {
      ...graph,
      nodes: [...nodes, ...g.nodes],
      initializers: [...graph.initializers, ...g.initializers],
      outputs,
      valueInfo: graph.valueInfo.map((value) => ({ ...value, name: rename(value.name) })),
    },
    metadataProps: [...args, ...(layout === "e2e" ? [{ key: "end2end", value: "True" }] : [])],
  }).model;
}
