import { type Attribute, DataType, type Model, type Node, type Tensor } from "@seg/onnx";
import { EngineError } from "../errors.js";
import { type HostData, type RecordedNode, sizeOf, storageType, type Value } from "../graph.js";
import { engineConfig } from "../settings.js";
import { lowerings } from "./registry.js";

/**
 * A value in the emitted graph: logical = transpose(base, perm), that is logical axis i is base axis perm[i].
 * Transposes are never emitted when recorded; they stay here and cancel against each other, so an NHWC program runs as
 * chains of NCHW convolutions. A Transpose appears only where an operator needs a layout that does not exist yet.
 */
export interface Layout {
  readonly name: string;
  readonly perm: readonly number[];
}

export const NCHW: readonly number[] = [0, 2, 3, 1];
/** logical HWIO over base OIHW */
export const OIHW: readonly number[] = [2, 3, 1, 0];

export const identityPerm = (rank: number): number[] => Array.from({ length: rank }, (_, i) => i);
export const isIdentity = (perm: readonly number[]): boolean => perm.every((p, i) => p === i);
export const samePerm = (a: readonly number[], b: readonly number[]): boolean =>
  a.length === b.length && a.every((p, i) => p === b[i]);

/** Shape of the base of a logical `shape`. */
export function baseShape(shape: readonly number[], perm: readonly number[]): number[] {
  const base = new Array<number>(shape.length);
  for (let i = 0; i < shape.length; i++) base[perm[i]!] = shape[i]!;
  return base;
}

const elementType: Record<string, number> = {
  float32: DataType.FLOAT,
  int32: DataType.INT32,
  bool: DataType.BOOL,
  float16: DataType.FLOAT16,
};

export function onnxType(dtype: string): number {
  const type = elementType[dtype];
  if (type === undefined) {
    throw new EngineError({ code: "ENGINE_UNSUPPORTED", message: `Tensors of dtype ${dtype} cannot enter a graph.` });
  }
  return type;
}

type AttrInput = number | string | readonly number[] | { float: number };

function attribute(name: string, value: AttrInput): Attribute {
  if (typeof value === "number") return { name, type: "INT", value };
  if (typeof value === "string") return { name, type: "STRING", value };
  if (Array.isArray(value)) return { name, type: "INTS", value: [...(value as readonly number[])] };
  return { name, type: "FLOAT", value: (value as { float: number }).float };
}

/** Emits the ONNX nodes of recorded ones. One instance per compiled graph. */
export class LowerContext {
  readonly nodes: Node[] = [];
  readonly initializers: Tensor[] = [];
  /** Values fed at run time, in order of first use. */
  readonly feeds: { value: Value; name: string }[] = [];
  /** Operators of `com.microsoft` that may be emitted (none in exported graphs). */
  readonly contrib: ReadonlySet<string>;
  readonly #layouts = new Map<Value, Layout[]>();
  readonly #constants = new Map<string, string>();
  readonly #bindings: (value: Value) => string | null;
  readonly #named: boolean;
  /** Recorded kernel that is being emitted; null between kernels. */
  #kernel: number | null = null;
  #next = 0;
  readonly #passes = engineConfig().passes;
  /** Outputs of emitted nodes by operator, inputs and attributes. */
  readonly #emitted = new Map<string, readonly string[]>();

  /**
   * @param bind - name of an existing graph input or initializer for a value without producer, or null: it becomes a feed
   * @param named - call each node `k{position of its kernel in the graph}_{number}`, so that errors and profiles find the kernel
   */
  constructor({
    contrib,
    bind = () => null,
    named = false,
  }: {
    contrib: ReadonlySet<string>;
    bind?: (value: Value) => string | null;
    named?: boolean;
  }) {
    this.contrib = contrib;
    this.#bindings = bind;
    this.#named = named;
  }

  name(prefix = "t"): string {
    return `${prefix}${this.#next++}`;
  }

  /** Emits one node, returns its output names. */
  emitMany(
    opType: string,
    inputs: readonly string[],
    outputCount: number,
    attrs: Record<string, AttrInput> = {},
    domain = "",
  ): string[] {
    // Batch normalisation in training writes over its inputs: two of them must never become one.
    const shared = this.#passes.commonSubexpressions && attrs["training_mode"] === undefined;
    const key = shared ? `${domain}:${opType}(${inputs.join()})${JSON.stringify(attrs)}` : "";
    const known = shared ? this.#emitted.get(key) : undefined;
    if (known) return [...known];
    const outputs = Array.from({ length: outputCount }, () => this.name());
    if (shared) this.#emitted.set(key, outputs);
    const attributes = Object.entries(attrs).map(([key, value]) => attribute(key, value));
    const name = this.#named ? `k${this.#kernel ?? "out"}_${this.nodes.length}` : "";
    this.nodes.push({ opType, domain, name, inputs: [...inputs], outputs, attributes });
    return outputs;
  }

  emit(opType: string, inputs: readonly string[], attrs: Record<string, AttrInput> = {}, domain = ""): string {
    return this.emitMany(opType, inputs, 1, attrs, domain)[0]!;
  }

  /** int64 initializer (shapes, axes, pads), shared by content. */
  int64(values: readonly number[], scalar = false): string {
    const data = BigInt64Array.from(values, (v) => BigInt(v));
    return this.#constant(
      DataType.INT64,
      scalar ? [] : [values.length],
      new Uint8Array(data.buffer),
      `i64${values.join()}`,
    );
  }

  float(values: readonly number[] | Float32Array, dims: readonly number[] = [values.length]): string {
    const data = Float32Array.from(values);
    const key = data.length <= 64 ? `f32${data.join()}` : null;
    return this.#constant(DataType.FLOAT, dims, new Uint8Array(data.buffer), key);
  }

  int32(values: readonly number[], dims: readonly number[] = [values.length]): string {
    const data = Int32Array.from(values);
    return this.#constant(DataType.INT32, dims, new Uint8Array(data.buffer), `i32${values.join()}`);
  }

  /** A scalar 0/1-like constant of the given tfjs dtype. */
  scalar(value: number, dtype: string): string {
    return dtype === "int32" ? this.int32([value], []) : this.float([value], []);
  }

  #constant(dataType: number, dims: readonly number[], rawData: Uint8Array, key: string | null): string {
    const full = key === null ? null : `${key}:${dims.join()}`;
    const known = full === null ? undefined : this.#constants.get(full);
    if (known !== undefined) return known;
    const name = this.name("c");
    this.initializers.push({ name, dataType, dims: [...dims], rawData });
    if (full !== null) this.#constants.set(full, name);
    return name;
  }

  /** Adds a named initializer from host data (exported weights). */
  weight(name: string, value: Value): string {
    const host = value.host as HostData;
    const rawData = new Uint8Array(host.buffer, host.byteOffset, host.byteLength);
    this.initializers.push({ name, dataType: onnxType(storageType(value)), dims: [...value.shape], rawData });
    return name;
  }

  /** Layouts in which the value exists so far; never empty. */
  layouts(value: Value): Layout[] {
    let list = this.#layouts.get(value);
    if (list) return list;
    const scaled = this.#scaled.get(value);
    if (scaled) {
      this.set(value, this.#perChannel(value, scaled.name, scaled.scale), NCHW);
      return this.layouts(value);
    }
    if (value.node !== null) {
      throw new EngineError({
        code: "ENGINE_SHAPE",
        message: `Internal: ${value.node.op} was used before it was emitted.`,
      });
    }
    let name = this.#bindings(value);
    if (name === null) {
      name = `x${this.feeds.length}`;
      this.feeds.push({ value, name });
    }
    list = [{ name, perm: identityPerm(value.shape.length) }];
    this.#layouts.set(value, list);
    return list;
  }

  /** The layout that an operator without preference should use: a transposed one if it exists (it came from a convolution). */
  preferred(value: Value): Layout {
    const list = this.layouts(value);
    return list.find((l) => !isIdentity(l.perm)) ?? list[0]!;
  }

  /** Name of the value in tfjs's own axis order. */
  plain(value: Value): string {
    return this.inPerm(value, identityPerm(value.shape.length));
  }

  /** Name of the base such that logical = transpose(base, perm); emits a Transpose only if that layout does not exist. */
  inPerm(value: Value, perm: readonly number[]): string {
    const list = this.layouts(value);
    const known = list.find((l) => samePerm(l.perm, perm));
    if (known) return known.name;
    const from = list[0]!;
    // wanted base axis perm[i] is logical axis i, which is source base axis from.perm[i]
    const axes = new Array<number>(perm.length);
    for (let i = 0; i < perm.length; i++) axes[perm[i]!] = from.perm[i]!;
    const source = baseShape(value.shape, from.perm);
    const moved = axes.filter((a) => source[a] !== 1);
    const order = moved.every((a, i) => i === 0 || moved[i - 1]! < a);
    // Moving only axes of size 1 is a reshape: no data moves.
    const name = order
      ? this.emit("Reshape", [from.name, this.int64(baseShape(value.shape, perm))])
      : this.emit("Transpose", [from.name], { perm: axes });
    list.push({ name, perm: [...perm] });
    return name;
  }

  /** Declares the emitted result of a node. */
  set(value: Value, name: string, perm: readonly number[] = identityPerm(value.shape.length)): void {
    if (this.#passes.layout || isIdentity(perm)) this.#layouts.set(value, [{ name, perm: [...perm] }]);
    else this.set(value, this.emit("Transpose", [name], { perm: [...perm] }));
  }

  /**
   * Declares a result [N, H, W, C] as `name` in NCHW times a factor per channel. Convolutions multiply their small filter instead;
   * for everyone else the product is emitted on first use.
   */
  setScaled(value: Value, name: string, scale: string): void {
    if (this.#passes.channelScale) this.#scaled.set(value, { name, scale });
    else this.set(value, this.#perChannel(value, name, scale), NCHW);
  }

  #perChannel(value: Value, name: string, scale: string): string {
    return this.emit("Mul", [name, this.emit("Reshape", [scale, this.int64([1, value.shape.at(-1)!, 1, 1])])]);
  }

  /** A map in NCHW with a factor per channel [C] that is still to be applied, or null for none. */
  unscaled(value: Value): { name: string; scale: string | null } {
    return this.#scaled.get(value) ?? { name: this.inPerm(value, NCHW), scale: null };
  }

  readonly #scaled = new Map<Value, { name: string; scale: string }>();

  setLayouts(value: Value, layouts: readonly Layout[]): void {
    this.#layouts.set(value, [...layouts]);
  }

  /**
   * Operands of an elementwise operator in one common layout, broadcast like numpy.
   * @returns names in the order of `values` and the permutation of the result
   */
  align(values: readonly Value[], outShape: readonly number[]): { names: string[]; perm: readonly number[] } {
    const rank = outShape.length;
    let perm: readonly number[] = identityPerm(rank);
    let weight = -1;
    const votes = new Map<string, { perm: readonly number[]; votes: number }>();
    for (const value of values) {
      if (value.shape.length !== rank) continue;
      const size = sizeOf(value.shape);
      for (const layout of this.layouts(value)) {
        const key = layout.perm.join();
        const vote = votes.get(key) ?? { perm: layout.perm, votes: 0 };
        vote.votes += size;
        votes.set(key, vote);
      }
    }
    for (const vote of votes.values()) {
      // Prefer what most data already has; on equality a transposed layout, which convolutions want.
      const score = vote.votes * 2 + (isIdentity(vote.perm) ? 0 : 1);
      if (score > weight) {
        weight = score;
        perm = vote.perm;
      }
    }
    return { names: values.map((value) => this.#broadcastOperand(value, rank, perm)), perm };
  }

  #broadcastOperand(value: Value, rank: number, perm: readonly number[]): string {
    if (isIdentity(perm) || sizeOf(value.shape) === 1) {
      if (sizeOf(value.shape) === 1 && value.shape.length > 0 && !isIdentity(perm)) {
        return this.layouts(value)[0]!.name;
      }
      return this.plain(value);
    }
    const padded = [...new Array<number>(rank - value.shape.length).fill(1), ...value.shape];
    if (value.shape.length === rank) return this.inPerm(value, perm);
    const target = baseShape(padded, perm);
    const wide = padded.map((_, i) => i).filter((i) => padded[i] !== 1);
    const inOrder = wide.every((axis, i) => i === 0 || perm[wide[i - 1]!]! < perm[axis]!);
    const key = `${target.join()}/${this.plain(value)}`;
    const cached = this.#reshaped.get(key);
    if (cached !== undefined) return cached;
    let name: string;
    if (inOrder) {
      name = this.emit("Reshape", [this.plain(value), this.int64(target)]);
    } else {
      const full = this.emit("Reshape", [this.plain(value), this.int64(padded)]);
      const axes = new Array<number>(rank);
      for (let i = 0; i < rank; i++) axes[perm[i]!] = i;
      name = this.emit("Transpose", [full], { perm: axes });
    }
    this.#reshaped.set(key, name);
    return name;
  }

  readonly #reshaped = new Map<string, string>();

  lower(nodes: readonly RecordedNode[]): void {
    for (let n = 0; n < nodes.length; n++) {
      const node = nodes[n]!;
      this.#kernel = n;
      const lowering = lowerings.get(node.op);
      if (!lowering) {
        throw new EngineError({
          code: "ENGINE_UNSUPPORTED",
          op: node.op,
          shapes: node.inputs.map((v) => v.shape),
          message: `Kernel ${node.op} has no ONNX lowering.`,
        });
      }
      lowering(this, node);
    }
    this.#kernel = null;
  }
}

/** Opset imports of an emitted graph. */
export function makeModel({
  context,
  inputs,
  outputs,
  name,
}: {
  context: LowerContext;
  inputs: Model["graph"]["inputs"];
  outputs: Model["graph"]["outputs"];
  name: string;
}): Model {
  const opsetImport = [{ domain: "", version: 17 }];
  if (context.nodes.some((n) => n.domain === "com.microsoft"))
    opsetImport.push({ domain: "com.microsoft", version: 1 });
  return {
    irVersion: 8,
    producerName: "@seg/tfjs-onnxruntime",
    opsetImport,
    metadataProps: [],
    graph: { name, nodes: context.nodes, initializers: context.initializers, inputs, outputs, valueInfo: [] },
  };
}
