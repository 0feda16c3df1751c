import { freemem } from "node:os";
import { Contestant, type Standing, takeTurns } from "./contestant.js";
import { adapterOverhead } from "./lora-step/adapter-overhead.js";
import type { BenchResult } from "./result.js";

/** A model of which a step is measured: `lora-step/<name>.ts` on this engine, `lora-step/<python>.py` on PyTorch. */
interface Model {
  /** Key of lora-step-child.ts. */
  readonly name: string;
  readonly python: string;
  readonly title: string;
  /** Images of the step that is timed. */
  readonly images: number;
  /** Height and width at which memory is compared; null: those of the timed step. */
  readonly memorySize: readonly [number, number] | null;
  /** Free memory below which full fine-tuning of one image is not tried, in bytes. */
  readonly fullNeeds: number;
}

const MODELS: readonly Model[] = [
  {
    name: "sam-decoder",
    python: "sam_decoder.py",
    title: "SAM-B decoder LoRA r 8 (32 modules), cached embeddings, one box per image",
    images: 16,
    memorySize: null,
    fullNeeds: 14e9,
  },
  {
    name: "grounding-dino-decoder",
    python: "grounding_dino_decoder.py",
    title: "Grounding DINO-T decoder LoRA r 16 (24 modules), cached encoder, 5 boxes, auxiliary losses",
    images: 1,
    // From 800 x 1066 pixels every activation of the network is above 17 GB.
    memorySize: [256, 320],
    fullNeeds: 10e9,
  },
];

/** Frozen weights become constants of the graph with the fourth step. */
const WARM_UP = 4;
const ROUNDS = 3;

const describe = ({ wallMs, spread, peakMB }: Standing): string =>
  `wall ${wallMs.toFixed(0)} ms, CPU ${spread.map((ms) => ms.toFixed(0)).join("-")} ms, peak ${peakMB.toFixed(0)} MB`;

/**
 * A LoRA training step on random full-size weights, one thread: CPU time and peak memory in turns with PyTorch and peft, and the memory of full fine-tuning of
 * the same network beside it (one image each, every process its own peak). Each row comes as soon as it is measured: full fine-tuning takes minutes.
 */
export async function* loraStep({ withPeer }: { withPeer: boolean }): AsyncGenerator<BenchResult> {
  for (const model of MODELS) {
    yield await timed(model, withPeer);
    yield await memory(model);
  }
  yield* adapterOverhead();
}

async function timed({ name, python, title, images }: Model, withPeer: boolean): Promise<BenchResult> {
  const own = Contestant.node("lora-step-child.ts", name, "lora", String(images));
  const peer = withPeer ? await Contestant.python(`lora-step/${python}`, "lora", String(images)) : null;
  try {
    for (let i = 0; i < WARM_UP; i++) await own.call();
    if (peer !== null) await peer.call();
    const contestants: Record<string, Contestant> = peer === null ? { own } : { own, peer };
    const standings = await takeTurns(contestants, { warmUp: 0, rounds: ROUNDS });
    const mine = standings["own"]!;
    const base = { bench: "lora-step", case: `${title}, batch ${images}` };
    const note = `${describe(mine)}, ${mine.last["trainable"]} trainable, 1 thread`;
    if (peer === null) {
      const missing = withPeer ? "peer not available (Python with transformers and peft), " : "";
      return { ...base, value: mine.cpuMs, unit: "CPU-ms", note: missing + note };
    }
    const theirs = standings["peer"]!;
    return {
      ...base,
      value: mine.cpuMs,
      unit: "CPU-ms",
      peer: "torch + peft",
      peerValue: theirs.cpuMs,
      ratio: mine.cpuMs / theirs.cpuMs,
      note: `${note}; peer ${describe(theirs)}, ${theirs.last["trainable"]} trainable`,
    };
  } finally {
    own.close();
    peer?.close();
  }
}

/** Peak of two steps on one image, adapters beside every weight. */
async function memory({ name, title, memorySize, fullNeeds }: Model): Promise<BenchResult> {
  const peak = async (mode: "lora" | "full"): Promise<number> => {
    const contestant = Contestant.node("lora-step-child.ts", name, mode, "1", ...(memorySize ?? []).map(String));
    try {
      await contestant.call();
      return (await contestant.call()).peakMB;
    } finally {
      contestant.close();
    }
  };
  const lora = await peak("lora");
  const result = {
    bench: "lora-step",
    case: `${title}, peak memory of batch 1${memorySize === null ? "" : ` at ${memorySize.join(" x ")}`}`,
    value: lora,
    unit: "MB",
  };
  if (freemem() < fullNeeds) {
    return {
      ...result,
      note: `full fine-tuning not measured: ${(freemem() / 1e9).toFixed(1)} GB free, needs ${fullNeeds / 1e9} GB`,
    };
  }
  const full = await peak("full");
  return { ...result, peer: "full fine-tuning from pixels", peerValue: full, ratio: lora / full };
}
