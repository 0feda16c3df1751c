import { kernels as commonKernels, type VectorKernels } from "./kernels/kernels.js";
import type { ParameterGroup } from "./param-groups.js";

/**
 * Slots keyed `<slot>/<parameter>` (for example `exp_avg/model.0.conv.weight`): the names under `optim/` in a checkpoint. A slot is as
 * long as its parameter, except `step/<parameter>`, one element that counts the updates of that parameter (exact up to 2^24).
 */
export type OptimizerState = Map<string, Float32Array>;

/** Current values by name; arrays are read only. */
export type ParameterValues = ReadonlyMap<string, { readonly data: Float32Array }>;

/** Operands of {@link Optimizer.update}. */
export interface UpdateInput {
  readonly params: ParameterValues;
  /** By parameter name. Parameters without an entry keep value and slots. Never written to: engines may share arrays. */
  readonly grads: ReadonlyMap<string, Float32Array>;
  /** Written in place. */
  readonly state: OptimizerState;
  readonly groups: readonly ParameterGroup[];
  readonly lr: (group: ParameterGroup) => number;
  /** Factor on every gradient (the clipping coefficient). @defaultValue 1 */
  readonly gradScale?: number;
  /** Replaces the momentum (SGD) or beta1 (AdamW) for this update. */
  readonly momentum?: number;
  /** Where new values go; must not be the array given in `params`. @defaultValue a fresh array */
  readonly target?: (name: string, length: number) => Float32Array;
  /** What computes; arrays in the memory of these kernels are worked on in place. @defaultValue kernels without memory */
  readonly kernels?: VectorKernels;
}

/** An optimiser as two functions; all its memory is the state. Arithmetic is in fp64, stored as fp32. */
export interface Optimizer {
  readonly kind: "adam" | "adamw" | "rmsprop" | "sgd";
  /** Hyper-parameters under their names in configuration files. */
  readonly options: Readonly<Record<string, number | boolean | readonly number[]>>;
  /**
   * Zeroed slots.
   * @param allocate - gives zeroed arrays @defaultValue ordinary memory
   */
  init(params: ParameterValues, allocate?: (length: number) => Float32Array): OptimizerState;
  /** New values of the parameters that have a gradient. */
  update(input: UpdateInput): Map<string, Float32Array>;
}

const ordinary = (length: number): Float32Array => new Float32Array(length);

/** The slot `<name>/<parameter>`, made if there is none. @throws RangeError when it has another length */
export function slot(
  state: OptimizerState,
  name: string,
  parameter: string,
  length: number,
  allocate = ordinary,
): Float32Array {
  const key = `${name}/${parameter}`;
  let values = state.get(key);
  if (values === undefined) {
    values = allocate(length);
    state.set(key, values);
  }
  if (values.length !== length) {
    throw new RangeError(`Optimiser slot "${key}" has ${values.length} elements, expected ${length}.`);
  }
  return values;
}

type Kernel = (input: {
  readonly name: string;
  readonly value: Float32Array;
  readonly grad: Float32Array;
  readonly next: Float32Array;
  readonly lr: number;
  readonly decay: number;
}) => void;

/** Walks groups and parameters in order and checks the operands of every kernel call. */
export function forEachParameter(
  { params, grads, groups, lr, target }: UpdateInput,
  weightDecay: number,
  kernel: Kernel,
) {
  const result = new Map<string, Float32Array>();
  for (const group of groups) {
    const rate = lr(group);
    for (const name of group.parameters.keys()) {
      const grad = grads.get(name);
      if (grad === undefined) continue;
      const value = params.get(name)?.data;
      if (value === undefined)
        throw new RangeError(`Parameter "${name}" of group "${group.name}" has no value in params.`);
      if (grad.length !== value.length) {
        throw new RangeError(`The gradient of "${name}" has ${grad.length} elements, the parameter ${value.length}.`);
      }
      const next = target ? target(name, value.length) : new Float32Array(value.length);
      if (next === value) throw new RangeError(`The target of "${name}" is the array that is being read.`);
      kernel({ name, value, grad, next, lr: rate, decay: group.decay ? weightDecay : 0 });
      result.set(name, next);
    }
  }
  return result;
}

/**
 * AdamW (Loshchilov & Hutter, "Decoupled weight decay regularization", 2019; PyTorch's arithmetic):
 * p *= 1 - lr wd; m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g^2; p -= lr mhat / (sqrt(vhat) + eps). Slots: exp_avg, exp_avg_sq, step.
 */
export function adamw({
  betas = [0.9, 0.999],
  eps = 1e-8,
  weightDecay = 0.01,
}: {
  /** @defaultValue [0.9, 0.999] */
  betas?: readonly [number, number];
  /** @defaultValue 1e-8 */
  eps?: number;
  /** Applied to groups with `decay`. @defaultValue 0.01 */
  weightDecay?: number;
} = {}): Optimizer {
  return {
    kind: "adamw",
    options: { betas, eps, weight_decay: weightDecay },
    init(params, allocate) {
      const state: OptimizerState = new Map();
      for (const [name, { data }] of params) {
        slot(state, "exp_avg", name, data.length, allocate);
        slot(state, "exp_avg_sq", name, data.length, allocate);
        slot(state, "step", name, 1);
      }
      return state;
    },
    update(input) {
      const { kernels = commonKernels } = input;
      const scale = input.gradScale ?? 1;
      const beta1 = input.momentum ?? betas[0];
      const beta2 = betas[1];
      return forEachParameter(input, weightDecay, ({ name, value, grad, next, lr, decay }) => {
        const m = slot(input.state, "exp_avg", name, value.length);
        const v = slot(input.state, "exp_avg_sq", name, value.length);
        const count = slot(input.state, "step", name, 1);
        const step = count[0]! + 1;
        count[0] = step;
        const stepSize = lr / (1 - beta1 ** step);
        const inverseRoot = 1 / Math.sqrt(1 - beta2 ** step);
        const keep = 1 - lr * decay;
        kernels.adamw({ value, grad, m, v, next, scale, beta1, beta2, keep, stepSize, inverseRoot, eps });
      });
    },
  };
}

/**
 * Stochastic gradient descent, PyTorch's arithmetic: d = g + wd p; buf = d on the first update of a parameter, then mu buf + d;
 * p -= lr buf, or lr (d + mu buf) with `nesterov`. Slots: momentum_buffer, step; none without momentum.
 */
export function sgd({
  momentum = 0,
  nesterov = false,
  weightDecay = 0,
}: {
  /** @defaultValue 0 */
  momentum?: number;
  /** @defaultValue false */
  nesterov?: boolean;
  /** Applied to groups with `decay`. @defaultValue 0 */
  weightDecay?: number;
} = {}): Optimizer {
  if (nesterov && momentum === 0) throw new RangeError("sgd({ nesterov: true }) needs a momentum above 0.");
  return {
    kind: "sgd",
    options: { momentum, nesterov, weight_decay: weightDecay },
    init(params, allocate) {
      const state: OptimizerState = new Map();
      if (momentum === 0) return state;
      for (const [name, { data }] of params) {
        slot(state, "momentum_buffer", name, data.length, allocate);
        slot(state, "step", name, 1);
      }
      return state;
    },
    update(input) {
      const { kernels = commonKernels } = input;
      const scale = input.gradScale ?? 1;
      // A warm-up may lead the momentum to its value; whether buffers exist is decided by the configured one.
      const mu = input.momentum ?? momentum;
      return forEachParameter(input, weightDecay, ({ name, value, grad, next, lr, decay }) => {
        let buffer: Float32Array | null = null;
        let carry = 0;
        if (momentum !== 0) {
          buffer = slot(input.state, "momentum_buffer", name, value.length);
          const count = slot(input.state, "step", name, 1);
          carry = count[0] === 0 ? 0 : mu;
          count[0] = count[0]! + 1;
        }
        kernels.sgd({ value, grad, buffer, next, scale, decay, carry, mu, lr, nesterov });
      });
    },
  };
}
