import type { RecordedNode } from "../graph.js";
import type { LowerContext } from "./context.js";

export type Lowering = (context: LowerContext, node: RecordedNode) => void;

/** Recorded op name -> how it becomes ONNX. Filled by the kernel modules. */
export const lowerings = new Map<string, Lowering>();
