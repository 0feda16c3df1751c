import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Module, Parameter, readSafetensors } from "@seg/nn";
import {
  adam,
  adamw,
  clipGradNorm,
  dampedSgd,
  Ema,
  type Optimizer,
  type ParameterGroup,
  rmsprop,
  schedule,
  sgd,
  warmup,
} from "@seg/train";
import type { Check } from "../check.js";
import { type Attributes, compareClose } from "./fixture-case.js";

// fixtures/losses-optim/README.md.
const TRACE = { rtol: 1e-5, atol: 1e-7 };

/** Our optimiser for PyTorch's class and arguments; null where there is none. */
function optimizerOf(attributes: Attributes): Optimizer | null {
  const {
    class: kind,
    betas,
    eps,
    amsgrad,
    momentum = 0,
    nesterov,
    dampening = 0,
    alpha,
  } = attributes as {
    class: string;
    betas?: [number, number];
    eps?: number;
    weight_decay?: number;
    amsgrad?: boolean;
    momentum?: number;
    nesterov?: boolean;
    dampening?: number;
    alpha?: number;
  };
  const decay = attributes["weight_decay"] as number | undefined;
  const moments = { ...(betas ? { betas } : {}), ...(eps === undefined ? {} : { eps }) };
  switch (kind) {
    case "AdamW": {
      const weightDecay = decay ?? 0.01;
      if (amsgrad) return adam({ ...moments, weightDecay, amsgrad, decay: "decoupled" });
      return adamw({ ...moments, weightDecay });
    }
    case "Adam":
      return adam({ ...moments, weightDecay: decay ?? 0, amsgrad: amsgrad ?? false });
    case "SGD":
      if (dampening !== 0) return dampedSgd({ momentum, dampening, weightDecay: decay ?? 0 });
      return sgd({ momentum, nesterov: nesterov ?? false, weightDecay: decay ?? 0 });
    case "RMSprop":
      return rmsprop({
        ...(alpha === undefined ? {} : { alpha }),
        ...(eps === undefined ? {} : { eps }),
        momentum,
        weightDecay: decay ?? 0,
      });
    default:
      return null;
  }
}

/** Parameters after every recorded step of every optimiser; `p` is in a group with decay, `b` in one without. */
export function compareTraces(dir: string, optimizers: Readonly<Record<string, Attributes>>, check: Check): void {
  const file = readSafetensors(join(dir, "traces.safetensors"));
  const read = (key: string) => file.tensor(key).data as Float32Array;
  const groups: ParameterGroup[] = [
    { name: "bias", decay: false, parameters: new Map([["b", undefined as never]]) },
    { name: "weight", decay: true, parameters: new Map([["p", undefined as never]]) },
  ];
  for (const [name, attributes] of Object.entries(optimizers)) {
    const optimizer = optimizerOf(attributes);
    if (optimizer === null) {
      check.skip(`optim/${name}`, `no optimiser of class ${String(attributes["class"])}`);
      continue;
    }
    let params = new Map(["p", "b"].map((key) => [key, { data: read(`${key}0`) }]));
    const state = optimizer.init(params);
    for (let step = 0; file.has(`grad${step}.p`); step++) {
      const grads = new Map(["p", "b"].map((key) => [key, read(`grad${step}.${key}`)]));
      const next = optimizer.update({ params, grads, state, groups, lr: () => attributes["lr"] as number });
      params = new Map([...next].map(([key, data]) => [key, { data }]));
      for (const key of ["p", "b"]) {
        const expected = `${name}.step${step}.${key}`;
        compareClose(check, `optim/${expected}`, next.get(key)!, read(expected), TRACE);
      }
    }
  }
}

export function compareClipping(dir: string, check: Check): void {
  const cases = JSON.parse(readFileSync(join(dir, "clip.json"), "utf8")) as {
    max_norm: number;
    norm_type: number | "inf";
    total_norm: number;
  }[];
  const file = readSafetensors(join(dir, "clip.safetensors"));
  for (const [i, { max_norm, norm_type, total_norm }] of cases.entries()) {
    const grads = new Map<string, Float32Array>();
    for (let k = 0; file.has(`case${i}.grad${k}`); k++) {
      grads.set(String(k), Float32Array.from(file.tensor(`case${i}.grad${k}`).data as Float32Array));
    }
    const normType = norm_type === "inf" ? Number.POSITIVE_INFINITY : norm_type;
    const norm = clipGradNorm(grads, { maxNorm: max_norm, normType });
    compareClose(check, `optim/clip${i}.norm`, [norm], [total_norm], { rtol: 1e-6, atol: 0 });
    for (const [k, grad] of grads) {
      const expected = file.tensor(`case${i}.clipped${k}`).data as Float32Array;
      compareClose(check, `optim/clip${i}.grad${k}`, grad, expected, { rtol: 1e-5, atol: 1e-6 });
    }
  }
}

export function compareEma(dir: string, check: Check): void {
  const file = readSafetensors(join(dir, "ema.safetensors"));
  const read = (key: string) => file.tensor(key).data as Float32Array;
  class Net extends Module {
    p = new Parameter({ data: Float32Array.from(read("step1.model")), shape: [...file.info("step1.model").shape] });
  }
  const net = new Net();
  const ema = new Ema(net);
  // The fixture does not hold the model before training, which the first average starts from.
  ema.load({ state: new Map([["p", file.tensor("step1.ema")]]), updates: 1 });
  for (let step = 2; file.has(`step${step}.ema`); step++) {
    net.p.assign(read(`step${step}.model`));
    ema.update();
    const average = ema.state().get("p")!.data as Float32Array;
    compareClose(check, `optim/ema.step${step}`, average, read(`step${step}.ema`), { rtol: 1e-5, atol: 1e-6 });
  }
  net.dispose();
}

interface RecordedSchedule {
  readonly base_lr: number;
  readonly lr_at_step: readonly number[];
  readonly warmup?: number;
  readonly total?: number;
  readonly [key: string]: unknown;
}

/** Our learning rate for a recorded schedule, and how many of its steps are within the schedule; null where there is none. */
function rateOf(name: string, recorded: RecordedSchedule): { rate: (step: number) => number; steps: number } | null {
  const { base_lr: baseLr, lr_at_step: rates, warmup: warmupSteps = 0, total = rates.length } = recorded;
  const numeric = (key: string) => recorded[key] as number;
  const epochs = (recorded["T_max"] ?? recorded["epochs"] ?? total) as number;
  const base = { epochs, stepsPerEpoch: 1, baseLr };
  const times = (factor: (step: number) => number) => ({
    rate: (step: number) => baseLr * factor(step),
    steps: rates.length,
  });
  if (name.startsWith("hf_")) {
    const warm = warmup({ ...base, warmupSteps, warmupRatio: 0, byEpoch: false });
    const descent = name.includes("cosine")
      ? schedule({ ...base, minLr: 0, warmupEpochs: warmupSteps, per: "step" })
      : schedule({
          ...base,
          kind: "polynomial",
          minLr: (recorded["lr_end"] as number | undefined) ?? 0,
          power: (recorded["power"] as number | undefined) ?? 1,
          warmupEpochs: warmupSteps,
          per: "step",
        });
    // Beyond its last step the reference's cosine rises again; ours stays at the minimum.
    return {
      ...times((step) => descent(step) * warm(step)),
      steps: name.includes("cosine") ? total + 1 : rates.length,
    };
  }
  switch (name) {
    case "torch_cosine":
      return { ...times(schedule({ ...base, minLr: numeric("eta_min") })), steps: epochs + 1 };
    case "torch_multistep":
      return times(
        schedule({
          ...base,
          kind: "multistep",
          milestones: recorded["milestones"] as number[],
          gamma: numeric("gamma"),
        }),
      );
    case "torch_linear": {
      const options = { warmupSteps: numeric("total_iters"), warmupRatio: numeric("start_factor"), byEpoch: false };
      const warm = warmup({ ...base, epochs: epochs + numeric("total_iters"), ...options });
      return times((step) => warm(step) * numeric("end_factor"));
    }
    case "lambda_linear_to_lrf":
      return times(schedule({ ...base, kind: "linear", lrf: numeric("lrf") }));
    case "lambda_one_cycle_cosine":
      return { ...times(schedule({ ...base, minLr: numeric("lrf") * baseLr })), steps: epochs + 1 };
    default:
      return null;
  }
}

export function compareSchedules(dir: string, check: Check): void {
  const file = join(dir, "schedules.json");
  if (!existsSync(file)) {
    check.skip("optim/schedules", "no schedules.json");
    return;
  }
  const all = JSON.parse(readFileSync(file, "utf8")) as Readonly<Record<string, RecordedSchedule>>;
  for (const [name, recorded] of Object.entries(all)) {
    const ours = rateOf(name, recorded);
    if (ours === null) {
      check.skip(`optim/schedule ${name}`, "no such schedule");
      continue;
    }
    const expected = recorded.lr_at_step.slice(0, ours.steps);
    const actual = expected.map((_, step) => ours.rate(step));
    compareClose(check, `optim/schedule ${name}`, actual, expected, { atol: 1e-12, rtol: 1e-12 });
  }
}
