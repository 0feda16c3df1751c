import { createHash } from "node:crypto";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { HubError } from "../errors.js";
import { createHub } from "../hub.js";
import { decodeSafetensors, encodeSafetensors, type FloatTensor } from "../internal/safetensors.js";
import { writeFileAtomic } from "../internal/write-file.js";
import { renderModelCard } from "../model-card/render-model-card.js";
import type { CatalogueEntry } from "./types.js";

/** Channels of the stand-in's projections: small enough to print, large enough for a rank below them. */
const WIDTH = 16;
const RANK = 4;
const ALPHA = 8;
const LEARNING_RATE = 0.3;
const TARGETS = ["q_proj", "v_proj"] as const;
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

/** Steps of a simulation, in order. */
export type SimulationStep = "cache" | "download" | "load" | "adapter" | "train" | "save";

/** Progress of a simulation. */
export interface SimulationEvent {
  readonly step: SimulationStep;
  /** One line for people. */
  readonly message: string;
  readonly data: Readonly<Record<string, unknown>>;
}

/** What a simulated fine-tuning writes. */
export interface SimulateOptions {
  /** @defaultValue "lora" */
  readonly method?: "lora" | "qlora";
  /** Name of the data set, for the folder's name. @defaultValue "simulated" */
  readonly dataset?: string;
  /** @defaultValue 8 */
  readonly epochs?: number;
  /** Where the folder `finetuned-{model}-{method}-{dataset}` goes. @defaultValue the working folder */
  readonly outputDirectory?: string;
  readonly signal?: AbortSignal | undefined;
  readonly onStep?: ((event: SimulationEvent) => void) | undefined;
}

/** A finished simulation: a folder as a real fine-tuning would leave it, marked as simulated. */
export interface Simulation {
  readonly id: string;
  /** The folder that was written. */
  readonly path: string;
  readonly files: readonly string[];
  /** After each epoch, the start first; falls. */
  readonly losses: readonly number[];
  readonly steps: readonly SimulationEvent[];
}

/**
 * Walks the whole fine-tuning of a model on a stand-in of two 16 x 16 projections: download through the real pipeline from a source in
 * memory, load, adapter, training (gradient descent on |W + (alpha/r) B A - W'|^2 for a W' of rank 4 away from W), PEFT folder. No network,
 * no engine, under a second; the same result each time.
 *
 * @param state - of the real model on this machine, for the first step
 * @throws {@link HubError} INVALID_REQUEST
 */
export async function simulateFineTune(
  { entry, state }: { entry: CatalogueEntry; state: string },
  {
    method = "lora",
    dataset = "simulated",
    epochs = 8,
    outputDirectory = process.cwd(),
    signal,
    onStep,
  }: SimulateOptions = {},
): Promise<Simulation> {
  if (!NAME.test(dataset) || !Number.isSafeInteger(epochs) || epochs < 1 || epochs > 10_000) {
    throw new HubError({
      code: "INVALID_REQUEST",
      message: "A simulation needs a data set's name (A-Z a-z 0-9 . _ -) and 1 to 10,000 epochs.",
    });
  }
  const steps: SimulationEvent[] = [];
  const say = (step: SimulationStep, message: string, data: Readonly<Record<string, unknown>> = {}) => {
    signal?.throwIfAborted();
    const event = { step, message, data };
    steps.push(event);
    onStep?.(event);
  };
  const sources = [...entry.files.flatMap(({ urls }) => urls), ...(entry.hf_id === null ? [] : [`hf:${entry.hf_id}`])];
  say(
    "cache",
    `${entry.id} is ${state} on this machine; a real run would try ${sources.join(", then ") || "a file of yours"}`,
    {
      state,
      sources,
    },
  );

  const scratch = await mkdtemp(join(tmpdir(), "seg-simulate-"));
  try {
    const published = encodeSafetensors(
      Object.fromEntries(
        TARGETS.map((target) => [`${target}.weight`, matrix(`${entry.id}/${target}`, WIDTH, WIDTH, 0.25)]),
      ),
    );
    const hub = createHub({
      env: {},
      environment: { hfCache: join(scratch, "hf"), segHome: join(scratch, "seg") },
      fetch: async () =>
        new Response(new Uint8Array(published), { headers: { "content-length": String(published.length) } }),
      ledger: null,
    });
    const installed = await hub.download(`https://simulated.invalid/${entry.id}.safetensors`, {
      verify: "pin",
      acceptLicence: true,
      signal,
    });
    say("download", `${installed.bytes} bytes from a source in memory, SHA-256 ${installed.sha256.slice(0, 12)}...`, {
      bytes: installed.bytes,
      sha256: installed.sha256,
    });
    const base = decodeSafetensors(await readFile(installed.path));
    const parameters = Object.values(base).reduce((sum, { data }) => sum + data.length, 0);
    // Of the published weights: with QLoRA the adapter has to make up for the rounding as well.
    const wanted = TARGETS.map((target) =>
      perturbed(base[`${target}.weight`]!.data, `${entry.id}/${dataset}/${target}`),
    );
    if (method === "qlora") for (const { data } of Object.values(base)) quantise(data);
    say(
      "load",
      `${Object.keys(base).length} tensors, ${parameters} parameters${method === "qlora" ? ", rounded to 4 bits" : ""}`,
      { parameters },
    );

    const frozen = digest(base);
    const adapters = TARGETS.map((target, at) => ({
      target,
      weight: base[`${target}.weight`]!.data,
      wanted: wanted[at]!,
      a: matrix(`${entry.id}/${target}/A`, RANK, WIDTH, 1 / Math.sqrt(WIDTH)),
      b: { shape: [WIDTH, RANK], data: new Float32Array(WIDTH * RANK) } as FloatTensor,
    }));
    const trainable = adapters.reduce((sum, { a, b }) => sum + a.data.length + b.data.length, 0);
    say("adapter", `${method} of rank ${RANK} on ${TARGETS.join(", ")}: ${trainable} trainable, ${parameters} frozen`, {
      method,
      trainable,
      frozen: parameters,
    });

    const losses: number[] = [];
    for (let epoch = 0; epoch <= epochs; epoch++) {
      signal?.throwIfAborted();
      if (epoch > 0) for (const adapter of adapters) descend(adapter);
      const loss = adapters.reduce((sum, adapter) => sum + meanSquare(errorOf(adapter)), 0);
      losses.push(loss);
      say(
        "train",
        epoch === 0 ? `start    loss ${loss.toFixed(4)}` : `epoch ${epoch}/${epochs}  loss ${loss.toFixed(4)}`,
        {
          epoch,
          epochs,
          loss,
        },
      );
    }
    if (digest(base) !== frozen)
      throw new HubError({ code: "INTERNAL", message: "The simulated base did not stay frozen." });

    const path = join(outputDirectory, `finetuned-${entry.id}-${method}-${dataset}`);
    const files = await save(path, { entry, method, dataset, losses, adapters });
    say("save", `${path}: ${files.join(", ")}`, { path, files });
    return { id: entry.id, path, files, losses, steps };
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

interface Adapter {
  readonly target: string;
  /** Frozen, [out, in]. */
  readonly weight: Float32Array;
  /** What the adapted layer should be. */
  readonly wanted: Float32Array;
  /** [r, in] and [out, r], as PEFT has them. */
  readonly a: FloatTensor;
  readonly b: FloatTensor;
}

/** E = W + s B A - W', s = alpha / r. */
function errorOf({ weight, wanted, a: { data: a }, b: { data: b } }: Adapter): Float32Array {
  return weight.map((value, at) => {
    const [i, j] = [Math.floor(at / WIDTH), at % WIDTH];
    let delta = 0;
    for (let k = 0; k < RANK; k++) delta += b[i * RANK + k]! * a[k * WIDTH + j]!;
    return value + (ALPHA / RANK) * delta - wanted[at]!;
  });
}

const meanSquare = (values: Float32Array): number =>
  values.reduce((sum, value) => sum + value * value, 0) / values.length;

/** One step of gradient descent on |E|^2 / 2: dB = s E A^T, dA = s B^T E. */
function descend(adapter: Adapter): void {
  const { data: a } = adapter.a;
  const { data: b } = adapter.b;
  const error = errorOf(adapter);
  const before = b.slice();
  const rate = LEARNING_RATE * (ALPHA / RANK);
  for (let k = 0; k < RANK; k++) {
    for (let i = 0; i < WIDTH; i++) {
      let gradient = 0;
      for (let j = 0; j < WIDTH; j++) gradient += error[i * WIDTH + j]! * a[k * WIDTH + j]!;
      b[i * RANK + k]! -= rate * gradient;
    }
    for (let j = 0; j < WIDTH; j++) {
      let gradient = 0;
      for (let i = 0; i < WIDTH; i++) gradient += before[i * RANK + k]! * error[i * WIDTH + j]!;
      a[k * WIDTH + j]! -= rate * gradient;
    }
  }
}

async function save(
  path: string,
  {
    entry,
    method,
    dataset,
    losses,
    adapters,
  }: {
    entry: CatalogueEntry;
    method: string;
    dataset: string;
    losses: readonly number[];
    adapters: readonly Adapter[];
  },
): Promise<string[]> {
  const weights = encodeSafetensors(
    Object.fromEntries(
      adapters.flatMap(({ target, a, b }) => [
        [`base_model.model.${target}.lora_A.weight`, a],
        [`base_model.model.${target}.lora_B.weight`, b],
      ]),
    ),
  );
  const base = entry.hf_id ?? entry.id;
  const config = {
    peft_type: "LORA",
    base_model_name_or_path: base,
    r: RANK,
    lora_alpha: ALPHA,
    lora_dropout: 0,
    target_modules: TARGETS,
    bias: "none",
    inference_mode: true,
  };
  const json = (value: unknown) => `${JSON.stringify(value, null, 2)}\n`;
  const card = renderModelCard({
    name: `finetuned-${entry.id}-${method}-${dataset}`,
    summary: `A simulated ${method} fine-tuning of ${entry.id}: every step of the real flow on stand-in weights.`,
    licence: entry.licence === "unknown" ? null : entry.licence,
    library: "peft",
    tags: ["simulated", method],
    baseModel: base,
    baseModelRelation: "adapter",
    parents: [{ id: entry.id, licence: entry.licence === "unknown" ? null : entry.licence }],
    files: [
      {
        name: "adapter_model.safetensors",
        bytes: weights.length,
        sha256: createHash("sha256").update(weights).digest("hex"),
        md5: createHash("md5").update(weights).digest("hex"),
      },
    ],
    trainingData: `${losses.length - 1} epochs on made-up targets; loss ${losses[0]!.toFixed(4)} -> ${losses.at(-1)!.toFixed(4)}`,
    limits: "Not usable for anything: the adapted layers are two 16 x 16 matrices, not the model's.",
  });
  const files: Record<string, string | Buffer> = {
    "adapter_config.json": json(config),
    "adapter_model.safetensors": weights,
    "preprocessor_config.json": json({ simulated: true, do_normalize: true, do_resize: true }),
    "README.md": card,
  };
  for (const [name, content] of Object.entries(files)) await writeFileAtomic(join(path, name), content);
  return Object.keys(files);
}

/** Numbers in [-1, 1) by counter: the i-th of a name is always the same. */
function* numbersOf(name: string): Generator<number> {
  for (let block = 0; ; block++) {
    const bytes = createHash("sha256").update(`${name}/${block}`).digest();
    for (let at = 0; at < bytes.length; at += 4) yield bytes.readUInt32LE(at) / 2 ** 31 - 1;
  }
}

function matrix(name: string, rows: number, columns: number, scale: number): FloatTensor {
  const numbers = numbersOf(name);
  const data = Float32Array.from({ length: rows * columns }, () => scale * (numbers.next().value as number));
  return { shape: [rows, columns], data };
}

/** `weight` plus a product of rank 4: what an adapter of that rank can learn. */
function perturbed(weight: Float32Array, name: string): Float32Array {
  const left = matrix(`${name}/left`, WIDTH, RANK, 0.3).data;
  const right = matrix(`${name}/right`, RANK, WIDTH, 0.3).data;
  return weight.map((value, at) => {
    const [i, j] = [Math.floor(at / WIDTH), at % WIDTH];
    let sum = value;
    for (let k = 0; k < RANK; k++) sum += left[i * RANK + k]! * right[k * WIDTH + j]!;
    return sum;
  });
}

/** Rounds in place to 15 levels of each row's largest magnitude. */
function quantise(data: Float32Array): void {
  for (let row = 0; row < data.length; row += WIDTH) {
    const values = data.subarray(row, row + WIDTH);
    const step = values.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0) / 7;
    if (step > 0) for (let i = 0; i < WIDTH; i++) values[i] = Math.round(values[i]! / step) * step;
  }
}

const digest = (tensors: Readonly<Record<string, FloatTensor>>): string =>
  createHash("sha256").update(encodeSafetensors(tensors)).digest("hex");
