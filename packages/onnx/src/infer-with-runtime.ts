import { encodeModel } from "./encode.js";
import type { Dim, Model, ValueInfo } from "./model.js";
import { DataType } from "./model.js";

/** The part of `onnxruntime-node` that is used; pass the module. */
export interface ShapeRuntime {
  readonly InferenceSession: {
    create(
      bytes: Uint8Array,
      options: { graphOptimizationLevel: "disabled" },
    ): Promise<{
      readonly outputMetadata: readonly {
        readonly name: string;
        readonly isTensor?: boolean;
        readonly type?: string;
        readonly shape?: readonly (number | string)[];
      }[];
      release(): Promise<void>;
    }>;
  };
}

const typeNames: Readonly<Record<string, number>> = {
  float32: DataType.FLOAT,
  uint8: DataType.UINT8,
  int8: DataType.INT8,
  uint16: DataType.UINT16,
  int16: DataType.INT16,
  int32: DataType.INT32,
  int64: DataType.INT64,
  string: DataType.STRING,
  bool: DataType.BOOL,
  float16: DataType.FLOAT16,
  float64: DataType.DOUBLE,
  uint32: DataType.UINT32,
  uint64: DataType.UINT64,
};

/**
 * Records the types that a runtime infers: a copy of the model with every intermediate value as an untyped output is loaded, not run. Covers
 * every operator the runtime knows; symbolic dimensions stay names, dimensions it does not know are null.
 *
 * @param runtime - the `onnxruntime-node` module (1.23 or later, for output metadata)
 */
export async function inferShapesWithRuntime(
  model: Model,
  runtime: ShapeRuntime,
): Promise<{ model: Model; changed: boolean }> {
  const { graph } = model;
  const declared = new Set(graph.outputs.map(({ name }) => name));
  const names = graph.nodes.flatMap(({ outputs }) => outputs).filter((name) => name !== "" && !declared.has(name));
  const probe: Model = {
    ...model,
    graph: {
      ...graph,
      valueInfo: [],
      outputs: [...graph.outputs, ...names.map((name): ValueInfo => ({ name, dataType: 0 }))],
    },
  };
  const session = await runtime.InferenceSession.create(encodeModel(probe), { graphOptimizationLevel: "disabled" });
  const found = new Map(session.outputMetadata.map((value) => [value.name, value]));
  await session.release();
  const recorded = new Map(graph.valueInfo.map((value) => [value.name, value]));
  const valueInfo: ValueInfo[] = [];
  for (const name of names) {
    const value = found.get(name);
    const old = recorded.get(name);
    const dataType = value?.type === undefined ? 0 : (typeNames[value.type] ?? 0);
    const shape = value?.shape?.map((dim): Dim => (dim === "" || dim === -1 ? null : dim));
    if (dataType === 0 || !shape) {
      if (old) valueInfo.push(old);
    } else if (old?.dataType === dataType && JSON.stringify(old.shape) === JSON.stringify(shape)) valueInfo.push(old);
    else valueInfo.push({ ...old, name, dataType, shape });
  }
  const changed =
    valueInfo.length !== graph.valueInfo.length || valueInfo.some((value, i) => value !== graph.valueInfo[i]);
  return changed ? { model: { ...model, graph: { ...graph, valueInfo } }, changed } : { model, changed };
}
