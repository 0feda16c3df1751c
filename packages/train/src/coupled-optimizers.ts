import { forEachParameter, type Optimizer, type OptimizerState, slot } from "./optimizer.js";

/** Zeroed slots of every parameter, and its counter. */
function initSlots(names: readonly string[]): Optimizer["init"] {
  return (params, allocate) => {
    const state: OptimizerState = new Map();
    for (const [name, { data }] of params) {
      for (const kind of names) slot(state, kind, name, data.length, allocate);
      slot(state, "step", name, 1);
    }
    return state;
  };
}

/** Counts an update of a parameter and returns how many there were. */
function countUpdate(state: OptimizerState, name: string): number {
  const count = slot(state, "step", name, 1);
  count[0] = count[0]! + 1;
  return count[0]!;
}

/**
 * Adam (Kingma & Ba, 2015; PyTorch's arithmetic): `adamw` with the two variants that it leaves out. Coupled decay adds wd p to the gradient
 * instead of shrinking p; AMSGrad (Reddi et al., 2018) divides by the largest v so far. Slots: exp_avg, exp_avg_sq, step, max_exp_avg_sq.
 *
 * @param options.decay - "coupled", or "decoupled" as AdamW has it @defaultValue "coupled"
 */
export function adam({
  betas = [0.9, 0.999],
  eps = 1e-8,
  weightDecay = 0,
  amsgrad = false,
  decay = "coupled",
}: {
  /** @defaultValue [0.9, 0.999] */
  betas?: readonly [number, number];
  /** @defaultValue 1e-8 */
  eps?: number;
  /** Applied to groups with `decay`. @defaultValue 0 */
  weightDecay?: number;
  /** @defaultValue false */
  amsgrad?: boolean;
  decay?: "coupled" | "decoupled";
} = {}): Optimizer {
  const isCoupled = decay === "coupled";
  return {
    kind: isCoupled ? "adam" : "adamw",
    options: { betas, eps, weight_decay: weightDecay, amsgrad },
    init: initSlots(amsgrad ? ["exp_avg", "exp_avg_sq", "max_exp_avg_sq"] : ["exp_avg", "exp_avg_sq"]),
    update(input) {
      const { state, gradScale = 1 } = input;
      const beta1 = input.momentum ?? betas[0];
      const beta2 = betas[1];
      return forEachParameter(input, weightDecay, ({ name, value, grad, next, lr, decay: rate }) => {
        const m = slot(state, "exp_avg", name, value.length);
        const v = slot(state, "exp_avg_sq", name, value.length);
        const most = amsgrad ? slot(state, "max_exp_avg_sq", name, value.length) : v;
        const step = countUpdate(state, name);
        const stepSize = lr / (1 - beta1 ** step);
        const root = Math.sqrt(1 - beta2 ** step);
        for (let i = 0; i < value.length; i++) {
          const p = isCoupled ? value[i]! : value[i]! * (1 - lr * rate);
          const g = grad[i]! * gradScale + (isCoupled ? rate * value[i]! : 0);
          m[i] = beta1 * m[i]! + (1 - beta1) * g;
          v[i] = beta2 * v[i]! + (1 - beta2) * g * g;
          if (amsgrad) most[i] = Math.max(most[i]!, v[i]!);
          next[i] = p - (stepSize * m[i]!) / (Math.sqrt(most[i]!) / root + eps);
        }
      });
    },
  };
}

/**
 * SGD whose momentum buffer takes (1 - dampening) of every gradient after the first, PyTorch's arithmetic: buf = d on the first update of a
 * parameter, then mu buf + (1 - dampening) d; p -= lr buf. Slots: momentum_buffer, step.
 */
export function dampedSgd({
  momentum,
  dampening,
  weightDecay = 0,
}: {
  momentum: number;
  dampening: number;
  /** Applied to groups with `decay`. @defaultValue 0 */
  weightDecay?: number;
}): Optimizer {
  return {
    kind: "sgd",
    options: { momentum, dampening, weight_decay: weightDecay },
    init: initSlots(["momentum_buffer"]),
    update(input) {
      const { state, gradScale = 1, momentum: mu = momentum } = input;
      return forEachParameter(input, weightDecay, ({ name, value, grad, next, lr, decay }) => {
        const buffer = slot(state, "momentum_buffer", name, value.length);
        const isFirst = countUpdate(state, name) === 1;
        for (let i = 0; i < value.length; i++) {
          const d = grad[i]! * gradScale + decay * value[i]!;
          buffer[i] = isFirst ? d : mu * buffer[i]! + (1 - dampening) * d;
          next[i] = value[i]! - lr * buffer[i]!;
        }
      });
    },
  };
}

/**
 * RMSprop (Hinton, 2012; PyTorch's arithmetic): v = alpha v + (1 - alpha) d^2; buf = mu buf + d / (sqrt(v) + eps); p -= lr buf, with d = g + wd p.
 * Slots: square_avg, momentum_buffer, step.
 */
export function rmsprop({
  alpha = 0.99,
  eps = 1e-8,
  momentum = 0,
  weightDecay = 0,
}: {
  /** @defaultValue 0.99 */
  alpha?: number;
  /** @defaultValue 1e-8 */
  eps?: number;
  /** @defaultValue 0 */
  momentum?: number;
  /** Applied to groups with `decay`. @defaultValue 0 */
  weightDecay?: number;
} = {}): Optimizer {
  return {
    kind: "rmsprop",
    options: { alpha, eps, momentum, weight_decay: weightDecay },
    init: initSlots(["square_avg", "momentum_buffer"]),
    update(input) {
      const { state, gradScale = 1, momentum: mu = momentum } = input;
      return forEachParameter(input, weightDecay, ({ name, value, grad, next, lr, decay }) => {
        const v = slot(state, "square_avg", name, value.length);
        const buffer = slot(state, "momentum_buffer", name, value.length);
        countUpdate(state, name);
        for (let i = 0; i < value.length; i++) {
          const d = grad[i]! * gradScale + decay * value[i]!;
          v[i] = alpha * v[i]! + (1 - alpha) * d * d;
          buffer[i] = mu * buffer[i]! + d / (Math.sqrt(v[i]!) + eps);
          next[i] = value[i]! - lr * buffer[i]!;
        }
      });
    },
  };
}
