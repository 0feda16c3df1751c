import { join, resolve } from "node:path";
import type { HubConfig } from "../hub.js";
import { objectBlobs } from "../registry/object-blobs.js";
import { openObjectStore } from "../stores/open-object-store.js";
import { connectSources } from "./hub-port.js";
import { connectLayers } from "./layers-port.js";
import { type HubServer, type HubServerOptions, openHubServer } from "./open-hub-server.js";

/** {@link HubServerOptions} with what is opened by its address. */
export interface ConnectedHubOptions extends Omit<HubServerOptions, "store"> {
  /** Folder or bucket of the bytes of versions and layers; see `openObjectStore`. @defaultValue `SEG_HUB_STORE`, else `<root>/objects` */
  readonly storeAddress?: string | undefined;
  /** Credentials, tokens, caches. @defaultValue `process.env` */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** The rest of the sources' world; for tests. */
  readonly sources?: Omit<HubConfig, "env">;
}

/**
 * A hub with everything around it: object store by address (made if absent), sources of models, the layers of `<root>/layers.yaml`.
 * @throws HubError INVALID_REQUEST for an address or a `layers.yaml` that cannot be used, and what {@link openHubServer} throws
 */
export async function openConnectedHub({
  root: folder,
  storeAddress,
  env = process.env,
  sources: world = {},
  handlers = {},
  app = {},
  ...options
}: ConnectedHubOptions): Promise<HubServer> {
  const root = resolve(folder);
  const { store, init, close } = await openObjectStore({
    address: storeAddress ?? env["SEG_HUB_STORE"] ?? join(root, "objects"),
    env,
  });
  try {
    await init();
    const sources = connectSources({ ...world, env });
    const layers = await connectLayers({ root, store, parts: sources.parts });
    const hub = await openHubServer({
      ...options,
      root,
      store: objectBlobs(store),
      handlers: { ...sources.handlers, ...layers.handlers, ...handlers },
      app: { hub: sources.hub, layers: layers.layers, ...app },
    });
    return {
      ...hub,
      async close() {
        await hub.close();
        close();
      },
    };
  } catch (error) {
    close();
    throw error;
  }
}
