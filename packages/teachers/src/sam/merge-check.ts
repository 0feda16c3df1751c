import { MergeError, mergeAdapter, unmergeAdapter, withAdaptersDisabled } from "@seg/lora";
import type { SamItem } from "./evaluate.js";
import { type InstanceMasks, predictInstanceMasks } from "./predict.js";
import type { Sam } from "./sam.js";

/** Largest differences of mask logits on one image. */
export interface MergeCheck {
  /** Adapters beside the layers against adapters added to the weights. */
  readonly adapterVsMerged: number;
  /** Adapters against none: zero would mean that training changed nothing. */
  readonly adapterVsBase: number;
  /** Largest magnitude of a logit. */
  readonly scale: number;
}

/**
 * Proves on one image that merging changes nothing and that the adapters change something. Adapters are unmerged afterwards.
 * @throws MergeError when merged and unmerged logits differ by more than 1e-4 of their scale, or adapters have no effect
 */
export async function checkMerge(sam: Sam, { image, instances }: SamItem): Promise<MergeCheck> {
  const boxes = instances.slice(0, 4).map(({ box }) => box);
  const predict = () => predictInstanceMasks({ sam, image, boxes });
  const adapted = await predict();
  const base = await withAdaptersDisabled(sam, predict);
  mergeAdapter(sam);
  let merged: InstanceMasks;
  try {
    merged = await predict();
  } finally {
    unmergeAdapter(sam);
  }
  const scale = adapted.logits.reduce((most, row) => row.reduce((m, v) => Math.max(m, Math.abs(v)), most), 0);
  const check = { adapterVsMerged: distance(adapted, merged), adapterVsBase: distance(adapted, base), scale };
  if (!(check.adapterVsMerged <= 1e-4 * Math.max(1, scale))) {
    throw new MergeError({
      reason: `Merged masks differ by ${check.adapterVsMerged} at logit scale ${scale}`,
      paths: [],
    });
  }
  if (!(check.adapterVsBase > 0)) {
    throw new MergeError({ reason: "The trained adapters have no effect on the masks", paths: [] });
  }
  return check;
}

function distance(a: InstanceMasks, b: InstanceMasks): number {
  let most = 0;
  for (const [i, row] of a.logits.entries()) {
    for (let k = 0; k < row.length; k++) most = Math.max(most, Math.abs(row[k]! - b.logits[i]![k]!));
  }
  return most;
}
