import { catalogue } from "../catalogue/catalogue.js";
import { SamModelManager } from "../catalogue/sam-model-manager.js";
import type { InstallOptions } from "../download/install-model.js";
import { createHub, type HubConfig, type ModelHub } from "../hub.js";
import type { JobHandler } from "../jobs/types.js";
import type { Json } from "../registry/types.js";
import type { HubPort } from "./ports.js";
import { snakeCase } from "./snake-case.js";

/** Sources with their cache, and the manager of the catalogue's models over them. */
export interface HubParts {
  readonly hub: ModelHub;
  readonly manager: SamModelManager;
}

/** Sources, catalogue and SAM manager for the HTTP API. */
export function hubPort({ hub, manager }: HubParts): HubPort {
  return {
    async search(query, options = {}) {
      const { hits, warnings, cursor } = await hub.search(query, options);
      return { hits, warnings, nextCursor: cursor };
    },
    catalogue: () => catalogue.entries.map((entry) => ({ ...entry })),
    async status(id) {
      const { models, diskFree, cacheBytes } = await manager.status(id);
      return models.map((model) => ({ ...model, diskFree, cacheBytes }));
    },
  };
}

/** Body of `POST /hub/install`, as the job keeps it. */
interface InstallPayload {
  readonly id: string;
  readonly revision?: string;
  readonly allow?: readonly string[];
  readonly ignore?: readonly string[];
  readonly verify?: "require" | "pin" | "warn";
  readonly accept_licence?: boolean;
  readonly allow_pickle?: boolean;
}

/** Runs jobs of kind `install`: catalogue ids through the manager with its fallbacks, other references through the hub. */
export function installHandler({ hub, manager }: HubParts): JobHandler {
  return async ({ job, signal, progress }) => {
    const { id, revision, allow, ignore, verify, accept_licence, allow_pickle } =
      job.payload as unknown as InstallPayload;
    let percent = 0;
    const options: InstallOptions = {
      signal,
      allow,
      ignore,
      verify,
      acceptLicence: accept_licence,
      allowPickle: allow_pickle,
      acceptedBy: job.created_by ?? undefined,
      onProgress({ phase, doneBytes, totalBytes, etaS }) {
        const share = totalBytes === null || totalBytes === 0 ? 0 : (100 * doneBytes) / totalBytes;
        percent = Math.min(100, Math.max(percent, share));
        progress({ phase, epoch: null, epochs: null, step: null, steps: null, percent, metrics: {}, eta_s: etaS });
      },
    };
    const isEntry = catalogue.entries.some((entry) => entry.id === id);
    const installed = isEntry
      ? await manager.ensure(id, options)
      : await hub.download(revision === undefined ? id : `${id}@${revision}`, options);
    return snakeCase(JSON.parse(JSON.stringify(installed))) as { readonly [key: string]: Json };
  };
}

/** Everything that the server needs to search, show and install models. */
export function connectSources(config: HubConfig = {}): {
  readonly parts: HubParts;
  readonly hub: HubPort;
  readonly handlers: { readonly install: JobHandler };
} {
  const hub = createHub(config);
  const parts = { hub, manager: new SamModelManager({ hub }) };
  return { parts, hub: hubPort(parts), handlers: { install: installHandler(parts) } };
}
