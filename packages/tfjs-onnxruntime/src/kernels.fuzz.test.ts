import { CounterRandom } from "@seg/augment";
import * as tf from "@tensorflow/tfjs";
import { beforeAll, describe, expect, test } from "vitest";
import "./index.js";

/** Cases in the ordinary run; `SEG_FUZZ=2000 npx vitest run --root packages/tfjs-onnxruntime src/kernels.fuzz.test.ts` for more. */
const CASES = Number(process.env["SEG_FUZZ"] ?? 400);

type Dtype = "float32" | "int32" | "bool";

/** One random case: operands as plain data, so that both backends get the same. */
interface Operand {
  readonly data: number[];
  readonly shape: number[];
  readonly dtype: Dtype;
}

interface Case {
  readonly operands: readonly Operand[];
  readonly run: (...x: tf.Tensor[]) => tf.Tensor | tf.Tensor[];
  /** Attributes, for the message. */
  readonly what: string;
}

class Draw {
  readonly #random: CounterRandom;
  constructor(path: string) {
    this.#random = new CounterRandom({ seed: 11, path });
  }
  int(low: number, high: number): number {
    return Math.min(high, low + Math.floor(this.#random.uniform(0, 1) * (high - low + 1)));
  }
  chance(p: number): boolean {
    return this.#random.uniform(0, 1) < p;
  }
  pick<T>(from: readonly T[]): T {
    return from[this.int(0, from.length - 1)]!;
  }
  /** Rank 0 to 6, mostly small; now and then without elements. */
  shape(least = 0, most = 6): number[] {
    const rank = this.int(least, most);
    const shape = Array.from({ length: rank }, () => this.int(1, rank > 4 ? 2 : 4));
    if (rank > 0 && this.chance(0.08)) shape[this.int(0, rank - 1)] = 0;
    return shape;
  }
  /** Shapes that broadcast against each other. */
  broadcast(count: number): number[][] {
    const full = this.shape();
    return Array.from({ length: count }, () => {
      const shape = full.map((d) => (this.chance(0.25) ? 1 : d));
      return this.chance(0.25) ? shape.slice(this.int(0, shape.length)) : shape;
    });
  }
  /**
   * @param special - NaN, infinities and signed zeros, or the ends of int32, among the values
   * @param wideInts - false for kernels that pass large integers through float32 or beyond 2^53, here or in tfjs
   */
  operand(
    shape: readonly number[],
    dtype: Dtype,
    { special = true, wideInts = true, low = -3, high = 3 } = {},
  ): Operand {
    const wild = special && (wideInts || dtype !== "int32") && this.chance(0.4);
    const one = (): number => {
      if (dtype === "bool") return this.int(0, 1);
      if (dtype === "int32") {
        if (wild && this.chance(0.2)) return this.pick([-(2 ** 31), 2 ** 31 - 1, -1, 0, 65537]);
        return this.int(Math.ceil(low), Math.floor(high));
      }
      if (wild && this.chance(0.3)) return this.pick([Number.NaN, Infinity, -Infinity, 0, -0, 1, -1]);
      return Math.fround(this.#random.uniform(low, high));
    };
    const size = shape.reduce((a, b) => a * b, 1);
    return { data: Array.from({ length: size }, one), shape: [...shape], dtype };
  }
}

const FLOATS = ["float32"] as const;
const NUMBERS = ["float32", "float32", "int32"] as const;
const ANY = ["float32", "float32", "int32", "bool"] as const;

type Make = (draw: Draw) => Case;
const generators: Record<string, Make> = {};

function unary(name: string, fn: (x: tf.Tensor) => tf.Tensor, dtypes: readonly Dtype[] = ANY, range = {}): void {
  generators[name] = (draw) => ({
    operands: [draw.operand(draw.shape(), draw.pick(dtypes), range)],
    run: (x) => fn(x!),
    what: "",
  });
}
for (const name of [
  "abs",
  "acos",
  "acosh",
  "asin",
  "asinh",
  "atan",
  "atanh",
  "ceil",
  "cos",
  "cosh",
  "elu",
  "erf",
  "exp",
  "expm1",
  "floor",
  "isFinite",
  "isInf",
  "isNaN",
  "leakyRelu",
  "log",
  "log1p",
  "neg",
  "reciprocal",
  "relu",
  "relu6",
  "round",
  "rsqrt",
  "selu",
  "sigmoid",
  "sign",
  "sin",
  "sinh",
  "softplus",
  "sqrt",
  "square",
  "step",
  "tan",
  "tanh",
] as const) {
  // Neither negation nor multiples of booleans mean anything: tfjs stores 255.
  const dtypes = name === "neg" ? NUMBERS : ANY;
  unary(name, (x) => tf[name](x), dtypes, { wideInts: name !== "softplus" && name !== "abs" && name !== "square" });
}
unary("logicalNot", (x) => tf.logicalNot(x), ["bool"]);
generators["logSoftmax"] = (draw) => ({
  operands: [draw.operand(draw.shape(1), "float32")],
  run: (x) => tf.logSoftmax(x!),
  what: "",
});
generators["clipByValue"] = (draw) => {
  const [low, span] = [draw.int(-3, 2) + draw.pick([0, 0.5]), draw.pick([0, 0.5, 2, Infinity])];
  return {
    operands: [draw.operand(draw.shape(), draw.pick(NUMBERS))],
    run: (x) => tf.clipByValue(x!, low, low + span),
    what: `${low} ${low + span}`,
  };
};

type Binary = (a: tf.Tensor, b: tf.Tensor) => tf.Tensor;

function binary(name: string, fn: (a: tf.Tensor, b: tf.Tensor) => tf.Tensor, dtypes: readonly Dtype[] = ANY): void {
  generators[name] = (draw) => {
    const [p, q] = draw.broadcast(2) as [number[], number[]];
    const dtype = draw.pick(dtypes);
    const other = draw.chance(0.8) ? dtype : draw.pick(dtypes);
    const range = { wideInts: name !== "squaredDifference" };
    const operands = [draw.operand(p, dtype, range), draw.operand(q, other, range)];
    return { operands, run: (a, b) => fn(a!, b!), what: "" };
  };
}
for (const name of [
  "add",
  "sub",
  "mul",
  "div",
  "pow",
  "maximum",
  "minimum",
  "mod",
  "floorDiv",
  "squaredDifference",
  "atan2",
  "prelu",
] as const) {
  binary(name, (a, b) => (tf[name] as Binary)(a, b), NUMBERS);
}
for (const name of ["equal", "notEqual", "greater", "greaterEqual", "less", "lessEqual"] as const) {
  binary(name, (a, b) => tf[name](a, b));
}
for (const name of ["logicalAnd", "logicalOr", "logicalXor"] as const) binary(name, (a, b) => tf[name](a, b), ["bool"]);
generators["where"] = (draw) => {
  const [c, a, b] = draw.broadcast(3) as [number[], number[], number[]];
  const dtype = draw.pick(ANY);
  return {
    operands: [draw.operand(c, "bool"), draw.operand(a, dtype), draw.operand(b, dtype)],
    run: (x, y, z) => tf.where(x!, y!, z!),
    what: "",
  };
};

function reduction(
  name: string,
  fn: (x: tf.Tensor, axis: number[] | undefined, keep: boolean) => tf.Tensor,
  dtypes: readonly Dtype[],
): void {
  generators[name] = (draw) => {
    // Over no elements tfjs cpu reads beyond its array: Max and Min are NaN, All is false. Here they are the identities.
    const drawn = draw.shape();
    const shape = ["sum", "mean", "prod", "any"].includes(name) ? drawn : drawn.map((d) => Math.max(d, 1));
    const axes = shape.map((_, i) => i).filter(() => draw.chance(0.5));
    const axis = draw.chance(0.2) ? undefined : axes.map((a) => (draw.chance(0.3) ? a - shape.length : a));
    const keep = draw.chance(0.5);
    return {
      operands: [draw.operand(shape, draw.pick(dtypes), { wideInts: name !== "mean" && name !== "prod" })],
      run: (x) => fn(x!, axis, keep),
      what: `${axis} ${keep}`,
    };
  };
}
for (const name of ["sum", "mean", "prod"] as const) reduction(name, (x, axis, keep) => tf[name](x, axis, keep), ANY);
for (const name of ["max", "min"] as const) reduction(name, (x, axis, keep) => tf[name](x, axis, keep), ANY);
for (const name of ["all", "any"] as const) reduction(name, (x, axis, keep) => tf[name](x, axis, keep), ["bool"]);
reduction("logSumExp", (x, axis, keep) => tf.logSumExp(x, axis, keep), FLOATS);
for (const name of ["argMax", "argMin"] as const) {
  generators[name] = (draw) => {
    const shape = draw.shape(1).map((d) => Math.max(d, 1));
    const axis = draw.int(0, shape.length - 1);
    // A NaN in first place wins in tfjs cpu, one elsewhere is passed over; here every one is passed over.
    return {
      operands: [draw.operand(shape, draw.pick(ANY), { special: false })],
      run: (x) => tf[name](x!, axis),
      what: `${axis}`,
    };
  };
}

/** An operand of any dtype, and one case of a kernel that moves elements. */
function move(
  name: string,
  make: (draw: Draw, shape: number[]) => { run: Case["run"]; what: string },
  least = 1,
): void {
  generators[name] = (draw) => {
    const shape = draw.shape(least);
    const { run, what } = make(draw, shape);
    return { operands: [draw.operand(shape, draw.pick(ANY))], run, what };
  };
}
const permutation = (draw: Draw, rank: number): number[] => {
  const left = Array.from({ length: rank }, (_, i) => i);
  return Array.from({ length: rank }, () => left.splice(draw.int(0, left.length - 1), 1)[0]!);
};
move("transpose", (draw, shape) => {
  const perm = permutation(draw, shape.length);
  return { run: (x) => tf.transpose(x!, perm), what: `${perm}` };
});
move("reverse", (draw, shape) => {
  const axes = shape.map((_, i) => i).filter(() => draw.chance(0.5));
  return { run: (x) => tf.reverse(x!, axes), what: `${axes}` };
});
move("slice", (draw, shape) => {
  const begin = shape.map((d) => draw.int(0, d));
  const size = shape.map((d, i) => draw.pick([-1, draw.int(0, d - begin[i]!)]));
  return { run: (x) => tf.slice(x!, begin, size), what: `${begin} ${size}` };
});
move("stridedSlice", (draw, shape) => {
  const begin = shape.map((d) => draw.int(-d, d));
  const end = shape.map((d) => draw.int(-d - 1, d + 1));
  const strides = shape.map(() => draw.pick([1, 1, 2, -1, -2, 3]));
  const masks = [0, 1].map(() => draw.int(0, 2 ** shape.length - 1));
  return {
    run: (x) => tf.stridedSlice(x!, begin, end, strides, masks[0], masks[1]),
    what: `${begin} ${end} ${strides} ${masks}`,
  };
});
move("pad", (draw, shape) => {
  const paddings = shape.map(() => [draw.int(0, 2), draw.int(0, 2)] as [number, number]);
  const value = draw.pick([0, 0, 1]);
  return { run: (x) => tf.pad(x!, paddings, value), what: `${paddings} ${value}` };
});
move("mirrorPad", (draw, shape) => {
  const mode = draw.pick(["reflect", "symmetric"] as const);
  const room = shape.map((d) => Math.max(0, mode === "reflect" ? d - 1 : d));
  const paddings = room.map((d) => [draw.int(0, d), draw.int(0, d)] as [number, number]);
  return { run: (x) => tf.mirrorPad(x!, paddings, mode), what: `${paddings} ${mode}` };
});
move("tile", (draw, shape) => {
  const reps = shape.map(() => draw.int(1, 2));
  return { run: (x) => tf.tile(x!, reps), what: `${reps}` };
});
move("unstack", (draw, shape) => {
  const axis = draw.int(0, shape.length - 1);
  return { run: (x) => tf.unstack(x!, axis), what: `${axis}` };
});
move("split", (draw, shape) => {
  const axis = draw.int(0, shape.length - 1);
  const first = draw.int(0, shape[axis]!);
  const sizes = [first, shape[axis]! - first];
  return { run: (x) => tf.split(x!, sizes, axis), what: `${sizes} ${axis}` };
});
move("gather", (draw, shape) => {
  const axis = draw.int(0, shape.length - 1);
  const count = shape[axis] === 0 ? 0 : draw.int(0, 4);
  const indices = Array.from({ length: count }, () => draw.int(0, shape[axis]! - 1));
  return { run: (x) => tf.gather(x!, tf.tensor1d(indices, "int32"), axis), what: `${indices} ${axis}` };
});
move("gather in batches", (draw, shape) => {
  const batch = draw.int(0, Math.min(2, shape.length - 1));
  const axis = draw.int(batch, shape.length - 1);
  const count = draw.int(1, 3);
  const lead = shape.slice(0, batch);
  const total = shape.includes(0) ? 0 : lead.reduce((a, b) => a * b, 1) * count;
  const indices = Array.from({ length: total }, () => draw.int(0, shape[axis]! - 1));
  const form = shape.includes(0) ? [...lead, 0] : [...lead, count];
  return {
    run: (x) => tf.gather(x!, tf.tensor(indices, form, "int32"), axis, batch),
    what: `${indices} ${axis} ${batch}`,
  };
});
for (const name of ["concat", "stack"] as const) {
  generators[name] = (draw) => {
    const shape = draw.shape(name === "stack" ? 0 : 1, 5);
    const axis = draw.int(0, name === "stack" ? shape.length : shape.length - 1);
    const dtype = draw.pick(ANY);
    const count = draw.int(1, 3);
    const operands = Array.from({ length: count }, () =>
      draw.operand(
        shape.map((d, i) => (name === "concat" && i === axis ? draw.int(0, 3) : d)),
        dtype,
      ),
    );
    return { operands, run: (...x) => tf[name](x, axis), what: `${axis}` };
  };
}
for (const name of ["cumsum", "cumprod"] as const) {
  generators[name] = (draw) => {
    const shape = draw.shape(1);
    const axis = draw.int(0, shape.length - 1);
    const [exclusive, reverse] = [draw.chance(0.5), draw.chance(0.5)];
    return {
      // Sums of infinities of both signs depend on the order of adding.
      operands: [draw.operand(shape, draw.pick(NUMBERS), { special: false })],
      run: (x) => tf[name](x!, axis, exclusive, reverse),
      what: `${axis} ${exclusive} ${reverse}`,
    };
  };
}
generators["topk"] = (draw) => {
  const shape = draw.shape(1).map((d) => Math.max(d, 1));
  const k = draw.int(0, shape[shape.length - 1]!);
  return {
    operands: [draw.operand(shape, draw.pick(NUMBERS), { special: false })],
    run: (x) => {
      const { values, indices } = tf.topk(x!, k);
      return [values, indices];
    },
    what: `${k}`,
  };
};
generators["softmax"] = (draw) => ({
  operands: [draw.operand(draw.shape(1), "float32")],
  run: (x) => tf.softmax(x!),
  what: "",
});
generators["oneHot"] = (draw) => {
  const dtype = draw.pick(["float32", "int32", "bool"] as const);
  return {
    operands: [draw.operand(draw.shape(0, 5), "int32", { special: false })],
    run: (x) => tf.oneHot(x!, 3, 1, 0, dtype),
    what: dtype,
  };
};
generators["matMul"] = (draw) => {
  const [m, k, n] = [draw.int(0, 4), draw.int(0, 4), draw.int(0, 4)];
  const [ta, tb] = [draw.chance(0.5), draw.chance(0.5)];
  // One side's batch is broadcast as a whole; tfjs cpu is wrong where both sides are, each along its own axes.
  const batch = draw.shape(0, 3).map((d) => Math.max(d, 1));
  const [p, q] = draw.pick([
    [batch, batch],
    [batch, []],
    [[], batch],
    [batch, batch.map(() => 1)],
  ] as [number[], number[]][]);
  const dtype = draw.pick(NUMBERS);
  const other = draw.chance(0.8) ? dtype : draw.pick(NUMBERS);
  return {
    operands: [
      draw.operand([...p.slice(0, 3), ...(ta ? [k, m] : [m, k])], dtype, { special: false }),
      draw.operand([...q.slice(0, 3), ...(tb ? [n, k] : [k, n])], other, { special: false }),
    ],
    run: (a, b) => tf.matMul(a!, b!, ta, tb),
    what: `${ta} ${tb}`,
  };
};
generators["cast"] = (draw) => {
  const to = draw.pick(ANY);
  return {
    operands: [draw.operand(draw.shape(), draw.pick(ANY), { low: -5e9, high: 5e9 })],
    run: (x) => tf.cast(x!, to),
    what: to,
  };
};
generators["unsortedSegmentSum"] = (draw) => {
  const shape = draw.shape(1);
  const ids = Array.from({ length: shape[0]! }, () => draw.int(-1, 3));
  return {
    operands: [draw.operand(shape, draw.pick(NUMBERS), { special: false })],
    run: (x) => tf.unsortedSegmentSum(x!, tf.tensor1d(ids, "int32"), 3),
    what: `${ids}`,
  };
};

interface Result {
  readonly data: ArrayLike<number>;
  readonly shape: number[];
  readonly dtype: string;
}

async function evaluate(backend: string, { operands, run }: Case): Promise<Result[] | Error> {
  await tf.setBackend(backend);
  const before = tf.engine().backend.numDataIds();
  let results: Result[] | Error = [];
  try {
    tf.tidy(() => {
      const y = run(...operands.map(({ data, shape, dtype }) => tf.tensor(data, shape, dtype)));
      results = (Array.isArray(y) ? y : [y]).map((t) => ({ data: t.dataSync(), shape: t.shape, dtype: t.dtype }));
    });
  } catch (error) {
    results = error as Error;
  }
  expect(tf.engine().backend.numDataIds(), `data ids left behind on ${backend}`).toBe(before);
  return results;
}

/** Relative 1e-4, absolute 1e-5; NaN equals NaN. */
function same(a: number, b: number): boolean {
  return (
    Object.is(a, b) || a === b || (Number.isNaN(a) && Number.isNaN(b)) || Math.abs(a - b) <= 1e-5 + 1e-4 * Math.abs(b)
  );
}

describe("random calls agree with tfjs cpu", () => {
  beforeAll(async () => {
    await tf.ready();
    // Its advice to install tfjs-node
    await tf.setBackend("cpu");
  });
  const names = Object.keys(generators);
  const share = Math.ceil(CASES / names.length);
  test.each(names)(`%s, ${share} times`, async (name) => {
    for (let i = 0; i < share; i++) {
      const c = generators[name]!(new Draw(`${name}/${i}`));
      const call = `${name} #${i} (${c.operands.map((o) => `${o.dtype}[${o.shape}]`).join(", ")}) ${c.what}`;
      const expected = await evaluate("cpu", c);
      const actual = await evaluate("onnxruntime", c);
      if (expected instanceof Error) {
        expect(actual, `${call}: tfjs says ${expected.message}`).toBeInstanceOf(Error);
        continue;
      }
      if (actual instanceof Error) expect.fail(`${call}: ${actual.message}`);
      expect(
        actual.map(({ shape, dtype }) => ({ shape, dtype })),
        call,
      ).toEqual(expected.map(({ shape, dtype }) => ({ shape, dtype })));
      expected.forEach(({ data }, n) => {
        for (let k = 0; k < data.length; k++) {
          if (!same(actual[n]!.data[k]!, data[k]!)) {
            const given = c.operands.map((o) => JSON.stringify(o.data.slice(0, 40).map(String))).join(" ");
            expect.fail(`${call} result ${n}[${k}] = ${actual[n]!.data[k]}, tfjs ${data[k]}; operands ${given}`);
          }
        }
      });
    }
  });
});
