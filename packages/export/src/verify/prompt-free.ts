import { DataType, type Model } from "@seg/onnx";
import { ExportError } from "../errors.js";

/** A table of vectors with at least so many rows is a vocabulary; class tables are smaller. */
const VOCABULARY_ROWS = 1000;

/** What the structural check found. */
export interface PromptFreeStructure {
  promptFree: true;
  inputs: { name: string; dataType: "float32" | "float16" | "int8"; shape: (number | string | null)[] }[];
  outputs: { name: string; shape: (number | string | null)[] }[];
  /** Nodes per operator, by name. */
  operators: Record<string, number>;
}

/** Operators that look up a table. Selecting among the network's own results, as suppression does, is no lookup. */
const EMBEDDING_OPS: ReadonlySet<string> = new Set(["Gather", "GatherElements", "GatherND", "Embedding"]);

/**
 * Proves from the graph alone that a model takes an image and nothing else: one float input `images` of rank 4 with 3 channels, no
 * lookup whose indices come from an input, no string constant and no embedding table (a prompt that is baked in).
 *
 * @throws ExportError `NOT_PROMPT_FREE` with the inputs and the reason
 */
export function certifyPromptFree({ graph }: Model): PromptFreeStructure {
  const constants = new Set(graph.initializers.map(({ name }) => name));
  const inputs = graph.inputs.filter(({ name }) => !constants.has(name));
  const fail = (reason: string): never => {
    throw new ExportError({
      code: "NOT_PROMPT_FREE",
      message: `The model is not prompt-free: ${reason}. Expected exactly one input "images", float [1,3,H,W].`,
      details: { inputs: inputs.map(({ name }) => name), reason },
    });
  };
  const [input] = inputs;
  if (input === undefined || inputs.length !== 1) {
    return fail(`it has ${inputs.length} inputs (${inputs.map(({ name }) => name).join(", ")})`);
  }
  if (input.dataType !== DataType.FLOAT && input.dataType !== DataType.FLOAT16) {
    return fail(`input ${input.name} has element type ${input.dataType}, not float32 or float16`);
  }
  if (input.name !== "images") return fail(`its input is called ${input.name}`);
  if (input.shape?.length !== 4 || input.shape[1] !== 3) {
    return fail(`input images has shape [${input.shape?.join(",") ?? "unknown"}], not [1,3,H,W]`);
  }
  const text = graph.initializers.find(({ dataType }) => dataType === DataType.STRING);
  if (text !== undefined) return fail(`constant ${text.name} holds strings`);
  const tables = new Map(graph.initializers.map(({ name, dims }) => [name, dims]));
  const dependent = new Set([input.name]);
  const operators: Record<string, number> = {};
  for (const node of graph.nodes) {
    operators[node.opType] = (operators[node.opType] ?? 0) + 1;
    const rows = node.opType === "Gather" ? tables.get(node.inputs[0] ?? "") : undefined;
    if (rows !== undefined && rows.length === 2 && rows[0]! >= VOCABULARY_ROWS)
      return fail(`${node.opType} ${node.name} reads the embedding table ${node.inputs[0]} [${rows.join(",")}]`);
    if (!node.inputs.some((name) => dependent.has(name))) continue;
    const [table = "", indices = ""] = node.inputs;
    if (EMBEDDING_OPS.has(node.opType) && dependent.has(indices) && !dependent.has(table)) {
      return fail(`${node.opType} ${node.name} looks up a table with indices made from the input`);
    }
    for (const output of node.outputs) dependent.add(output);
  }
  return {
    promptFree: true,
    inputs: [
      {
        name: input.name,
        dataType: input.dataType === DataType.FLOAT ? "float32" : "float16",
        shape: [...input.shape],
      },
    ],
    outputs: graph.outputs.map(({ name, shape }) => ({ name, shape: [...(shape ?? [])] })),
    operators: Object.fromEntries(Object.entries(operators).sort(([a], [b]) => (a < b ? -1 : 1))),
  };
}
