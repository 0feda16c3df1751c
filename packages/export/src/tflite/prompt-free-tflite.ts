import { ExportError } from "../errors.js";
import type { PromptFreeStructure } from "../verify/prompt-free.js";
import type { TfliteModel } from "./model.js";

/** Types of an image; anything else is a token, a point or a flag. */
const IMAGE_TYPES: ReadonlySet<string> = new Set(["float32", "float16", "int8"]);
const LOOKUPS: ReadonlySet<string> = new Set(["GATHER", "BUILTIN_107", "BUILTIN_7", "BUILTIN_33"]);

/**
 * Proves from a TFLite file alone that it takes an image and nothing else: one subgraph, one input `images` `[1, H, W, 3]`, and no lookup
 * (GATHER, GATHER_ND, EMBEDDING_LOOKUP, EMBEDDING_LOOKUP_SPARSE) whose indices come from it.
 *
 * @throws ExportError `NOT_PROMPT_FREE` with the inputs and the reason
 */
export function certifyTflitePromptFree(model: TfliteModel): PromptFreeStructure {
  const [graph] = model.subgraphs;
  const [signature] = model.signatures;
  const names = new Map(signature?.inputs.map(([name, tensor]) => [tensor, name]));
  const inputs = (graph?.inputs ?? []).map((index) => ({
    name: names.get(index) ?? graph!.tensors[index]!.name,
    tensor: graph!.tensors[index]!,
    index,
  }));
  const fail = (reason: string): never => {
    throw new ExportError({
      code: "NOT_PROMPT_FREE",
      message: `The TFLite model is not prompt-free: ${reason}. Expected exactly one input "images" [1,H,W,3].`,
      details: { inputs: inputs.map(({ name }) => name), reason },
    });
  };
  if (graph === undefined || model.subgraphs.length !== 1) return fail(`it has ${model.subgraphs.length} subgraphs`);
  const [input] = inputs;
  if (input === undefined || inputs.length !== 1) {
    return fail(`it has ${inputs.length} inputs (${inputs.map(({ name }) => name).join(", ")})`);
  }
  const { type, shape } = input.tensor;
  if (!IMAGE_TYPES.has(type)) return fail(`input ${input.name} has element type ${type}`);
  if (input.name !== "images") return fail(`its input is called ${input.name}`);
  if (shape.length !== 4 || shape[3] !== 3) return fail(`input images has shape [${shape.join(",")}]`);
  const dependent = new Set([input.index]);
  const operators: Record<string, number> = {};
  for (const { op, inputs: operands, outputs } of graph.operators) {
    operators[op] = (operators[op] ?? 0) + 1;
    if (!operands.some((index) => dependent.has(index))) continue;
    // Embedding lookups take their indices first, gathers second.
    const indices = operands[op.startsWith("BUILTIN_7") || op === "BUILTIN_33" ? 0 : 1] ?? -1;
    if (LOOKUPS.has(op) && dependent.has(indices))
      return fail(`${op} looks up a table with indices made from the input`);
    for (const output of outputs) dependent.add(output);
  }
  return {
    promptFree: true,
    inputs: [{ name: input.name, dataType: type as "float32" | "float16" | "int8", shape: [...shape] }],
    outputs: graph.outputs.map((index) => ({
      name: graph.tensors[index]!.name,
      shape: [...graph.tensors[index]!.shape],
    })),
    operators: Object.fromEntries(Object.entries(operators).sort(([a], [b]) => (a < b ? -1 : 1))),
  };
}
