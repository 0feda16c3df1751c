import type { Model } from "../model.js";
import { cancelTransposes } from "./cancel-transposes.js";
import { dedupeInitializers } from "./dedupe-initializers.js";
import { foldBatchNorm } from "./fold-batch-norm.js";
import { foldConstants } from "./fold-constants.js";
import { nameNodes } from "./name-nodes.js";
import type { Pass, PassResult } from "./pass.js";
import { pruneOpsets } from "./prune-opsets.js";
import { removeDead } from "./remove-dead.js";
import { removeIdentities } from "./remove-identities.js";
import { topoSort } from "./topo-sort.js";

const repeated: readonly Pass[] = [
  foldConstants,
  removeIdentities,
  cancelTransposes,
  foldBatchNorm,
  dedupeInitializers,
  removeDead,
];

/** Every round must remove something; more rounds than this mean that two passes undo each other. */
const MAX_ROUNDS = 100;

/** Sorts, then folds and removes until nothing changes any more, then names nodes and prunes opset imports. */
export function optimizeModel(model: Model): PassResult {
  let current = topoSort(model).model;
  for (let round = 0; ; round++) {
    const before = current;
    for (const pass of repeated) current = pass(current).model;
    if (current === before) break;
    if (round === MAX_ROUNDS)
      throw new Error(`optimizeModel: passes still change the model after ${MAX_ROUNDS} rounds.`);
  }
  current = pruneOpsets(nameNodes(current).model).model;
  return { model: current, changed: current !== model };
}
