import { join } from "node:path";
import { HubCache } from "./cache/hub-cache.js";
import { type Environment, type HubEnvironment, readHubEnvironment } from "./cache/hub-environment.js";
import { VerificationRecords } from "./cache/verification-records.js";
import { catalogueSource } from "./catalogue/catalogue-source.js";
import { Downloader } from "./download/downloader.js";
import { type Installed, type InstallOptions, installModel } from "./download/install-model.js";
import type { OpenFile } from "./download/partial-file.js";
import { HubError } from "./errors.js";
import { type HubClock, systemClock } from "./internal/clock.js";
import { fetchFile } from "./internal/fetch-file.js";
import { type Fetch, HttpClient } from "./internal/http-client.js";
import { jitter } from "./internal/jitter.js";
import { storageError } from "./internal/storage-error.js";
import { JsonlLicenceLedger } from "./licence/jsonl-licence-ledger.js";
import type { LicenceLedgerPort } from "./registry/types.js";
import { CivitaiSource } from "./sources/civitai-source.js";
import { HuggingFaceSource } from "./sources/hugging-face-source.js";
import { LocalSource } from "./sources/local-source.js";
import { type ModelRef, parseModelRef } from "./sources/model-ref.js";
import { type SearchResult, searchModels } from "./sources/search-models.js";
import type { ModelInfo, ModelSource, SearchQueryInput } from "./sources/types.js";
import { UrlSource } from "./sources/url-source.js";

/** Everything that reaches outside is a parameter; what is left out comes from the environment and the machine. */
export interface HubConfig {
  readonly env?: Environment;
  /** Overrides of what the environment says. */
  readonly environment?: Partial<HubEnvironment>;
  readonly fetch?: Fetch;
  readonly clock?: HubClock;
  readonly random?: () => number;
  readonly sources?: readonly ModelSource[];
  /** Folders that a search for local models looks through. */
  readonly localRoots?: readonly string[];
  readonly ledger?: LicenceLedgerPort | null;
  readonly freeBytes?: (directory: string) => Promise<number>;
  readonly open?: OpenFile;
  /** Files of this length and more are written past the page cache. @defaultValue 64 MiB */
  readonly bypassFromBytes?: number;
}

/** Search, download and cache over all sources. */
export interface ModelHub {
  readonly environment: HubEnvironment;
  readonly http: HttpClient;
  readonly clock: HubClock;
  readonly sources: readonly ModelSource[];
  readonly cache: HubCache;
  readonly downloader: Downloader;
  readonly ledger: LicenceLedgerPort | null;
  search(query: SearchQueryInput, options?: { signal?: AbortSignal }): Promise<SearchResult>;
  info(ref: ModelRef | string, options?: { signal?: AbortSignal }): Promise<ModelInfo>;
  /** Fetches a model, or returns the cached one. */
  download(ref: ModelRef | string, options?: InstallOptions): Promise<Installed>;
}

/**
 * A hub from the environment.
 * @example
 * const hub = createHub();
 * const { path } = await hub.download("hf:facebook/sam-vit-base", { allow: ["*.safetensors", "*.json"] });
 */
export function createHub({
  env = process.env,
  environment: overrides = {},
  fetch: givenFetch,
  clock = systemClock,
  random = jitter,
  sources: givenSources,
  localRoots = [],
  ledger: givenLedger,
  freeBytes,
  open,
  bypassFromBytes,
}: HubConfig = {}): ModelHub {
  const environment: HubEnvironment = { ...readHubEnvironment({ env }), ...overrides };
  const fetch = givenFetch ?? (globalThis.fetch as Fetch);
  const http = new HttpClient({ fetch, fetchFile: givenFetch ?? fetchFile(env), clock, random });
  const sources = givenSources ?? [
    catalogueSource,
    new HuggingFaceSource({
      http,
      endpoint: environment.hfEndpoint,
      token: environment.hfToken,
      headersTimeoutMs: environment.metadataTimeoutMs,
    }),
    new CivitaiSource({
      http,
      token: environment.civitaiToken,
      api: `${environment.civitaiEndpoint}/api/v1`,
    }),
    new UrlSource({ http }),
    new LocalSource({ roots: localRoots }),
  ];
  const cache = new HubCache({
    hfRoot: environment.hfCache,
    segRoot: environment.segHome,
    useSymlinks: !environment.isWithoutSymlinks,
    now: () => clock.now(),
  });
  const downloader = new Downloader({
    http,
    records: new VerificationRecords({ directory: join(environment.segHome, "verified") }),
    headersTimeoutMs: environment.metadataTimeoutMs,
    idleTimeoutMs: environment.idleTimeoutMs,
    ...(freeBytes === undefined ? {} : { freeBytes }),
    ...(open === undefined ? {} : { open }),
    ...(bypassFromBytes === undefined ? {} : { bypassFromBytes }),
  });
  const ledger =
    givenLedger === undefined
      ? new JsonlLicenceLedger({ path: join(environment.segHome, "licences.jsonl"), clock })
      : givenLedger;
  const parse = (ref: ModelRef | string): ModelRef => (typeof ref === "string" ? parseModelRef(ref) : ref);
  const sourceOf = (ref: ModelRef): ModelSource => {
    const source = sources.find(({ name }) => name === ref.source);
    if (source !== undefined) return source;
    throw new HubError({ code: "INVALID_REQUEST", message: `No source "${ref.source}" is configured.` });
  };
  return {
    environment,
    http,
    clock,
    sources,
    cache,
    downloader,
    ledger,
    search: (query, options = {}) => searchModels({ sources, query, ...options }),
    info: (ref, options = {}) => sourceOf(parse(ref)).info(parse(ref), options),
    download: async (ref, options = {}) => {
      const parsed = parse(ref);
      if (parsed.source === "catalogue") {
        throw new HubError({
          code: "INVALID_REQUEST",
          message: `"${parsed.id}" is a catalogue id: install it with SamModelManager.ensure (seg-hub models install ${parsed.id}), which knows its sources and fallbacks.`,
        });
      }
      const offline = options.offline ?? environment.isOffline;
      const root = parsed.source === "hf" ? environment.hfCache : environment.segHome;
      try {
        return await installModel({ cache, downloader, ledger, clock }, sourceOf(parsed), parsed, {
          ...options,
          offline,
        });
      } catch (error) {
        throw storageError(error, root);
      }
    },
  };
}
