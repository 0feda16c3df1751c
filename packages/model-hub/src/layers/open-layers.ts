import { join } from "node:path";
import { VerificationRecords } from "../cache/verification-records.js";
import type { ModelHub } from "../hub.js";
import type { LicenceLedgerPort } from "../registry/types.js";
import type { ObjectStore } from "../stores/object-store.js";
import { readLayers } from "./layer-config.js";
import { LayerStore } from "./layer-store.js";

/**
 * The layers of the hub in the folder `root`: those of `<root>/layers.yaml` beside the built-in ones, verified copies in `<root>/layers`.
 * @throws {@link HubError} INVALID_REQUEST for a `layers.yaml` that cannot be used
 */
export async function openLayers({
  root,
  store,
  hub,
  ledger = hub.ledger,
}: {
  root: string;
  store: ObjectStore;
  hub: ModelHub;
  ledger?: LicenceLedgerPort | null;
}): Promise<LayerStore> {
  return new LayerStore({
    layers: await readLayers(join(root, "layers.yaml")),
    store,
    directory: join(root, "layers"),
    records: new VerificationRecords({ directory: join(root, "verified") }),
    ledger,
    clock: hub.clock,
  });
}
