import { join } from "node:path";
import {
  injectLora,
  type LoraConfigInput,
  type LoraHandle,
  quantizeFrozen,
  saveAdapter,
  verifyFreezing,
} from "@seg/lora";
import { type Parameter, stateDict, writeFileAtomic, writeSafetensors } from "@seg/nn";
import { type ParameterGroup, paramGroups } from "@seg/train";
import { samConfigJson } from "./config.js";
import type { Sam } from "./sam.js";

/** `lora`: adapters beside a frozen base. `qlora`: the same, with the base in 4 bits while training. `full`: every weight. */
export type TrainingMethod = "lora" | "qlora" | "full";

/** What a method trains of a network, and how that is kept. */
export interface SamTrainable {
  /** The adapters; null for `full`. */
  readonly handle: LoraHandle | null;
  readonly parameters: ReadonlyMap<string, Parameter>;
  readonly groups: readonly ParameterGroup[];
  readonly counts: { readonly trainable: number; readonly frozen: number };
  /** Whether image embeddings change while training. */
  readonly trainsEncoder: boolean;
  /** Memory figure of a base in 4 bits. */
  readonly quantization: string | null;
  /** Writes the adapter (PEFT files), or weights and configuration of the whole network. */
  save(directory: string): void;
}

/**
 * Makes a network ready for training by a method.
 * @throws FreezingError, LoraTargetError
 */
export function prepareTraining(
  sam: Sam,
  {
    method,
    lora,
    seed,
    maxTrainableRatio,
  }: { method: TrainingMethod; lora: LoraConfigInput; seed: number; maxTrainableRatio: number },
): SamTrainable {
  const reachesEncoder = (names: Iterable<string>) => [...names].some((name) => name.startsWith("vision_encoder."));
  if (method === "full") {
    const parameters = sam.namedParameters();
    const trainable = [...parameters.values()].reduce((sum, { size }) => sum + size, 0);
    return {
      handle: null,
      parameters,
      // Weight decay on matrices only.
      groups: paramGroups(sam),
      counts: { trainable, frozen: 0 },
      trainsEncoder: reachesEncoder(parameters.keys()),
      quantization: null,
      save(directory) {
        writeSafetensors(join(directory, "model.safetensors"), stateDict(sam), { metadata: { format: "pt" } });
        const json = `${JSON.stringify(samConfigJson(sam.config), null, 2)}\n`;
        writeFileAtomic(join(directory, "config.json"), [new TextEncoder().encode(json)]);
      },
    };
  }
  const handle = injectLora(sam, lora, { seed });
  const parameters = handle.trainableParameters();
  const { trainable, frozen } = verifyFreezing(sam, {
    maxRatio: maxTrainableRatio,
    allow: handle.allow,
    optimised: parameters.values(),
  });
  return {
    handle,
    parameters,
    groups: [{ name: "lora", parameters, decay: true }],
    counts: { trainable, frozen },
    trainsEncoder: reachesEncoder(parameters.keys()),
    // Behind the verification: quantised weights are no parameters any more.
    quantization: method === "qlora" ? quantizeFrozen(sam, { bits: 4 }).summary : null,
    save: (directory) => saveAdapter(handle, directory),
  };
}
