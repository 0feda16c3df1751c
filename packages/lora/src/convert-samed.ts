import type { StateTensor } from "@seg/nn";
import { UnsupportedAdapterError } from "./errors.js";

/** A PEFT adapter made of a foreign one. */
export interface ConvertedAdapter {
  /** Content for `adapter_config.json`. */
  readonly config: Readonly<Record<string, unknown>>;
  /** Tensors for `adapter_model.safetensors`. */
  readonly tensors: ReadonlyMap<string, StateTensor>;
}

/**
 * Adapters of SAMed and micro-sam as PEFT ones on `vision_encoder.layers.N.attn.qkv`. They adapt q and v apart and without alpha / r; fused
 * into one product: A = [Aq; Av] (2r x C), B = [Bq 0; 0 0; 0 Bv] (3C x 2r), rank 2r, alpha 2r.
 *
 * @param dict - keys `w_a_000`, `w_b_000`, ...: even q, odd v of consecutive blocks; other keys are returned in `rest`
 * @throws UnsupportedAdapterError when pairs are incomplete or shapes do not fit each other
 */
export function convertSamedAdapter(
  dict: ReadonlyMap<string, StateTensor>,
): ConvertedAdapter & { readonly rest: readonly string[] } {
  const fail = (reason: string): never => {
    throw new UnsupportedAdapterError({ field: "SAMed", reason });
  };
  const numbered = new Map<string, StateTensor>();
  const rest: string[] = [];
  for (const [key, tensor] of dict) {
    const found = /^(?:.*\.)?w_([ab])_(\d+)(?:\.weight)?$/.exec(key);
    if (found) numbered.set(`${found[1]}${Number(found[2])}`, tensor);
    else rest.push(key);
  }
  if (numbered.size === 0) return fail("no keys w_a_000, w_b_000, ...");
  if (numbered.size % 4 !== 0) return fail(`${numbered.size} tensors, expected four per block`);
  const tensors = new Map<string, StateTensor>();
  const paths: string[] = [];
  let rank = 0;
  for (let block = 0; block < numbered.size / 4; block++) {
    const [aq, av, bq, bv] = [`a${2 * block}`, `a${2 * block + 1}`, `b${2 * block}`, `b${2 * block + 1}`].map(
      (name) => numbered.get(name) ?? fail(`block ${block} lacks w_${name[0]}_${name.slice(1).padStart(3, "0")}`),
    ) as [StateTensor, StateTensor, StateTensor, StateTensor];
    const [r = 0, width = 0] = aq.shape;
    const fits = (tensor: StateTensor, shape: readonly number[]) =>
      tensor.dtype === "F32" && tensor.shape.length === 2 && tensor.shape.every((size, i) => size === shape[i]);
    if (r === 0 || !fits(aq, [r, width]) || !fits(av, [r, width]) || !fits(bq, [width, r]) || !fits(bv, [width, r])) {
      return fail(`block ${block} has shapes [${aq.shape}], [${av.shape}], [${bq.shape}], [${bv.shape}]`);
    }
    if (rank !== 0 && rank !== 2 * r) return fail(`block ${block} has rank ${r}, the ones before ${rank / 2}`);
    rank = 2 * r;
    const a = new Float32Array(rank * width);
    a.set(aq.data as Float32Array);
    a.set(av.data as Float32Array, r * width);
    const b = new Float32Array(3 * width * rank);
    for (let row = 0; row < width; row++) {
      for (let k = 0; k < r; k++) {
        b[row * rank + k] = bq.data[row * r + k] as number;
        b[(2 * width + row) * rank + r + k] = bv.data[row * r + k] as number;
      }
    }
    const path = `vision_encoder.layers.${block}.attn.qkv`;
    paths.push(path);
    tensors.set(`base_model.model.${path}.lora_A.weight`, { dtype: "F32", shape: [rank, width], data: a });
    tensors.set(`base_model.model.${path}.lora_B.weight`, { dtype: "F32", shape: [3 * width, rank], data: b });
  }
  const config = {
    peft_type: "LORA",
    task_type: "FEATURE_EXTRACTION",
    r: rank,
    lora_alpha: rank,
    target_modules: paths.sort(),
  };
  return { config, tensors, rest };
}
