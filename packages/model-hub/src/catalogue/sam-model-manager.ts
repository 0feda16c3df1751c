import { lstat, readdir, readFile, rename, rm, stat, symlink } from "node:fs/promises";
import { join, relative } from "node:path";
import { z } from "zod";
import type { CacheFolder } from "../cache/cache-folder.js";
import { freeBytesOf } from "../download/downloader.js";
import { importBlob, readPieces } from "../download/import-blob.js";
import { digestOfFiles, fetchResolution, type Installed, type InstallOptions } from "../download/install-model.js";
import { isTextFile } from "../download/unexpected-content.js";
import { HubError } from "../errors.js";
import type { ModelHub } from "../hub.js";
import { redact } from "../internal/redact.js";
import { SingleFlight } from "../internal/single-flight.js";
import { temporaryBeside, writeFileAtomic } from "../internal/write-file.js";
import { assertLicence } from "../licence/assert-licence.js";
import type { ModelSource, Resolution, ResolvedFile } from "../sources/types.js";
import type { ObjectStore } from "../stores/object-store.js";
import { blobKey } from "../stores/object-store.js";
import { catalogue } from "./catalogue.js";
import { ensureRuntime, type RuntimeOptions, type RuntimeReport } from "./ensure-runtime.js";
import { type SimulateOptions, type Simulation, simulateFineTune } from "./simulate-fine-tune.js";
import type { CatalogueEntry, CatalogueFile, CatalogueRole } from "./types.js";

/** Bytes of the native publication, or of the repository for transformers-style loaders: never the same. */
export type LoaderFormat = "native" | "transformers";

/** A source that did not serve a model, and why. */
export interface FailedStep {
  /** `native`, `hf`, `mirror`, `store` or `local`, with its address. */
  readonly source: string;
  readonly code: string;
  readonly message: string;
}

/** What the manager reports while it fetches: a source tried, one that failed, bytes that were wrong. */
export type ManagerEvent =
  | { readonly type: "step"; readonly id: string; readonly source: string }
  | { readonly type: "failed"; readonly id: string; readonly step: FailedStep }
  | { readonly type: "integrity_mismatch"; readonly id: string; readonly step: FailedStep }
  | { readonly type: "warning"; readonly id: string; readonly message: string };

/** Which source of a model is tried first, and what happens when one fails. */
export interface EnsureOptions extends InstallOptions {
  /** Which bytes to try first. @defaultValue "native" */
  readonly prefer?: LoaderFormat;
  /** Throw at the first source whose bytes are wrong, instead of trying the next. @defaultValue false */
  readonly strictIntegrity?: boolean;
  readonly onEvent?: (event: ManagerEvent) => void;
  /** A file of this machine, the last resort. */
  readonly localPath?: string;
}

/** A model that is on disk and verified, and how it is loaded. */
export interface EnsuredModel extends Installed {
  readonly entry: CatalogueEntry;
  /** Decides the loader. */
  readonly format: LoaderFormat;
  /** Where the bytes came from. */
  readonly origin: string;
  readonly fallbacksTried: readonly FailedStep[];
}

/** Whether one catalogued model is on disk and whole. */
export interface ModelStatus {
  readonly id: string;
  readonly state: "absent" | "partial" | "installed" | "corrupt";
  readonly path: string | null;
  readonly bytes: number;
  readonly verifiedAt: string | null;
  readonly origin: string | null;
  readonly licence: string;
  readonly fallbacksTried: readonly FailedStep[];
  readonly format: LoaderFormat | null;
}
/** All catalogued models and what is free and used on disk, in bytes. */
export interface ManagerStatus {
  readonly models: readonly ModelStatus[];
  readonly diskFree: number;
  readonly cacheBytes: number;
}

/** How a model was installed, kept beside the caches. */
const recordSchema = z.object({
  id: z.string(),
  format: z.enum(["native", "transformers"]),
  origin: z.string(),
  revision: z.string(),
  path: z.string(),
  files: z.array(z.object({ name: z.string(), path: z.string(), bytes: z.number(), sha256: z.string() })),
  licence: z.string(),
  verifiedAt: z.string(),
  fallbacksTried: z.array(z.object({ source: z.string(), code: z.string(), message: z.string() })),
});
type InstallRecord = z.infer<typeof recordSchema>;

/** First digest seen of a file that no publication states one for. */
const pinSchema = z.object({ sha256: z.string(), bytes: z.number(), url: z.string(), at: z.string() });

/** Failures that another source would not mend. */
const FINAL: ReadonlySet<string> = new Set(["LICENCE_NOT_ACCEPTED", "NO_SPACE"]);

/**
 * The models of the catalogue on this machine: which are there, bringing them here, removing them. A model is tried from its native
 * publication, then Hugging Face, then mirrors and an object store, then a local path, each fully verified; every failed step is recorded.
 */
export class SamModelManager {
  readonly #hub: ModelHub;
  readonly #modelsDir: string | null;
  readonly #mirrors: readonly string[];
  readonly #store: ObjectStore | null;
  readonly #rewrite: (url: string) => string;
  readonly #flights = new SingleFlight<EnsuredModel>();

  /**
   * @param modelsDir - folder for `<file name>` links to native checkpoints, as training scripts expect; null makes none
   * @param mirrors - bases of URLs that serve the catalogue's files under their names
   * @param store - object store that holds blobs by SHA-256
   * @param rewriteUrl - where a published URL is really fetched; for tests and proxies
   */
  constructor({
    hub,
    modelsDir = null,
    mirrors = [],
    store = null,
    rewriteUrl = (url) => url,
  }: {
    hub: ModelHub;
    modelsDir?: string | null;
    mirrors?: readonly string[];
    store?: ObjectStore | null;
    rewriteUrl?: (url: string) => string;
  }) {
    this.#hub = hub;
    this.#modelsDir = modelsDir;
    this.#mirrors = mirrors;
    this.#store = store;
    this.#rewrite = rewriteUrl;
  }

  async list({
    installed,
    role,
  }: {
    installed?: boolean | undefined;
    role?: CatalogueRole | undefined;
  } = {}): Promise<readonly (CatalogueEntry & { installed: boolean })[]> {
    const entries = await Promise.all(
      catalogue.list({ role }).map(async (entry) => ({ ...entry, installed: (await this.#intact(entry.id)) !== null })),
    );
    return installed === undefined ? entries : entries.filter((entry) => entry.installed === installed);
  }

  /** The dual record: repository for a transformers-style loader, family and variant of the native checkpoint, description. */
  config(id: string): Pick<CatalogueEntry, "hf_id" | "manager_family" | "manager_variant" | "description"> {
    const { hf_id, manager_family, manager_variant, description } = catalogue.get(id);
    return { hf_id, manager_family, manager_variant, description };
  }

  /** State of one model or of all, without the network. `verify` hashes every file again. */
  async status(id?: string, { verify = false }: { verify?: boolean } = {}): Promise<ManagerStatus> {
    const entries = id === undefined ? catalogue.entries : [catalogue.get(id)];
    const models: ModelStatus[] = [];
    for (const entry of entries) models.push(await this.#statusOf(entry, verify));
    const { segHome } = this.#hub.environment;
    return {
      models,
      diskFree: await freeBytesOf(await nearestFolder(segHome)),
      cacheBytes: await this.#hub.cache.bytes(),
    };
  }

  async #statusOf(entry: CatalogueEntry, verify: boolean): Promise<ModelStatus> {
    const record = await this.#readRecord(entry.id);
    const base = { id: entry.id, licence: entry.licence };
    if (record === null) {
      const partial = await this.#partialBytes(entry);
      return {
        ...base,
        state: partial > 0 ? "partial" : "absent",
        path: null,
        bytes: partial,
        verifiedAt: null,
        origin: null,
        fallbacksTried: [],
        format: null,
      };
    }
    const damage = await this.#damage(record, verify);
    const { path, origin, verifiedAt, fallbacksTried, format } = record;
    const bytes = record.files.reduce((sum, file) => sum + file.bytes, 0);
    const state = damage === "none" ? "installed" : damage === "missing" ? "partial" : "corrupt";
    return { ...base, state, path, bytes, verifiedAt, origin, fallbacksTried, format };
  }

  /** `missing`: a file is gone; `corrupt`: its length or content is another. */
  async #damage(record: InstallRecord, verify: boolean): Promise<"none" | "missing" | "corrupt"> {
    for (const { name, path, bytes, sha256 } of record.files) {
      const found = await stat(path).catch(() => null);
      if (found === null) return "missing";
      if (found.size !== bytes) return "corrupt";
      if (!verify) continue;
      try {
        await this.#hub.downloader.check({
          name,
          path,
          visible: path,
          md5: false,
          fresh: true,
          entry: { size: bytes, blob_id: "", lfs_sha256: sha256, lfs_size: bytes },
        });
      } catch (error) {
        if (HubError.isInstance(error) && error.code === "INTEGRITY") return "corrupt";
        throw error;
      }
    }
    return "none";
  }

  async #partialBytes(entry: CatalogueEntry): Promise<number> {
    let sum = 0;
    for (const file of entry.files) {
      for (const url of file.urls) {
        const { blobs } = this.#folderOf(this.#rewrite(url));
        for (const name of await readdir(blobs).catch(() => [] as string[])) {
          if (name.endsWith(".incomplete"))
            sum += await stat(join(blobs, name)).then(
              ({ size }) => size,
              () => 0,
            );
        }
      }
    }
    return sum;
  }

  /**
   * The model on this machine. Installed and intact: returns at once, whatever the network does. Concurrent calls share one download.
   * @throws {@link HubError} `ALL_SOURCES_FAILED` listing every cause, `LICENCE_NOT_ACCEPTED`, `NOT_FOUND`, `INTEGRITY` (strict)
   */
  ensure(id: string, options: EnsureOptions = {}): Promise<EnsuredModel> {
    const entry = catalogue.get(id);
    if (entry.availability === "none") {
      if (entry.replacedBy === null)
        throw new HubError({ code: "NOT_FOUND", message: `${id} has no published weights.`, details: { id } });
      options.onEvent?.({
        type: "warning",
        id,
        message: `${id} has no official weights; ${entry.replacedBy} does the same work and is used instead.`,
      });
      return this.ensure(entry.replacedBy, options);
    }
    return this.#flights.run(`${entry.id} ${options.prefer ?? "native"}`, () => this.#ensure(entry, options));
  }

  async #ensure(entry: CatalogueEntry, options: EnsureOptions): Promise<EnsuredModel> {
    const { signal, onEvent } = options;
    const intact = await this.#intact(entry.id);
    if (intact !== null && (options.prefer === undefined || intact.format === options.prefer)) {
      await this.#linkModels(intact);
      return this.#asEnsured(entry, intact);
    }
    const licence = entry.licence === "unknown" ? null : entry.licence;
    assertLicence({ id: entry.id, licence, isGated: entry.availability === "gated" }, options);
    const offline = options.offline ?? this.#hub.environment.isOffline;
    const failed: FailedStep[] = [];
    for (const step of this.#steps(entry, { ...options, acceptLicence: true, offline })) {
      signal?.throwIfAborted();
      onEvent?.({ type: "step", id: entry.id, source: step.source });
      try {
        const installed = await step.run();
        return await this.#finish(entry, installed, step, failed);
      } catch (error) {
        signal?.throwIfAborted();
        if (!HubError.isInstance(error) || FINAL.has(error.code)) throw error;
        const failure = { source: step.source, code: error.code, message: redact(error.message) };
        failed.push(failure);
        onEvent?.({ type: "failed", id: entry.id, step: failure });
        if (error.code === "INTEGRITY") {
          onEvent?.({ type: "integrity_mismatch", id: entry.id, step: failure });
          if (options.strictIntegrity === true) throw error;
        }
      }
    }
    const causes = failed.map(({ source, code, message }) => `\n  ${source}: ${code} ${message}`).join("");
    const hint =
      entry.availability === "manual"
        ? ` Its publisher offers it by hand only: fetch ${entry.files[0]?.name} and pass localPath (--from FILE).`
        : "";
    throw new HubError({
      code: "ALL_SOURCES_FAILED",
      message: `${entry.id} could not be installed from any source.${hint}${causes}`,
      details: { id: entry.id, fallbacksTried: failed },
    });
  }

  /** The ways to get a model, in order of trial. */
  #steps(entry: CatalogueEntry, options: EnsureOptions & { offline: boolean }): Step[] {
    const { localPath, offline } = options;
    const native: Step[] = [];
    const isComplete = entry.files.length > 0 && entry.files.every(({ urls }) => urls.length > 0);
    if (isComplete && !offline) {
      native.push({
        source: `native ${new URL(entry.files[0]!.urls[0]!).host}`,
        format: "native",
        run: () => this.#fromUrls(entry, (file) => file.urls[0]!, options),
      });
    }
    const hf: Step[] = [];
    if (entry.hf_id !== null) {
      const ref = `hf:${entry.hf_id}`;
      hf.push({
        source: `hf ${entry.hf_id}`,
        format: "transformers",
        run: () => this.#hub.download(ref, { ...options, allow: options.allow ?? entry.hf_allow }),
      });
    }
    const steps = options.prefer === "transformers" ? [...hf, ...native] : [...native, ...hf];
    if (entry.files.length > 0 && !offline) {
      for (const mirror of this.#mirrors) {
        steps.push({
          source: `mirror ${redact(mirror)}`,
          format: "native",
          run: () => this.#fromUrls(entry, (file) => `${mirror.replace(/\/+$/, "")}/${file.name}`, options),
        });
      }
    }
    const store = this.#store;
    if (store !== null && entry.files.length > 0 && entry.files.every(({ sha256 }) => sha256 !== null)) {
      steps.push({
        source: `store ${store.describe()}`,
        format: "native",
        run: () => this.#import(entry, options, async (file) => (await store.get(blobKey(file.sha256!))).body),
      });
    }
    if (localPath !== undefined && entry.files.length > 0) {
      steps.push({
        source: `local ${localPath}`,
        format: "native",
        run: () => this.#import(entry, options, async (file) => readPieces(await fileWithin(localPath, file.name))),
      });
    }
    return steps;
  }

  #folderOf(url: string): CacheFolder {
    return this.#hub.cache.folder({ source: "url", url });
  }

  /** Expected content of a file: its catalogue digests, else the pin of the first fetch. */
  async #expected(
    entry: CatalogueEntry,
    file: CatalogueFile,
  ): Promise<{ sha256: string | null; bytes: number | null }> {
    if (file.sha256 !== null || file.md5 !== null) return { sha256: file.sha256, bytes: file.bytes };
    const pin = await readJson(this.#pinPath(entry, file), pinSchema);
    return { sha256: pin?.sha256 ?? null, bytes: pin?.bytes ?? file.bytes };
  }

  #pinPath(entry: CatalogueEntry, file: CatalogueFile): string {
    return join(this.#hub.environment.segHome, "pins", entry.id, `${file.name}.json`);
  }

  async #pin(entry: CatalogueEntry, file: CatalogueFile, sha256: string, bytes: number, url: string): Promise<void> {
    if (file.sha256 !== null || file.md5 !== null) return;
    const at = new Date(this.#hub.clock.now()).toISOString();
    await writeFileAtomic(this.#pinPath(entry, file), JSON.stringify({ sha256, bytes, url: redact(url), at }), {
      ifAbsent: true,
    });
  }

  async #fromUrls(
    entry: CatalogueEntry,
    urlOf: (file: CatalogueFile) => string,
    options: EnsureOptions,
  ): Promise<Installed> {
    const hub = this.#hub;
    const parts: Installed[] = [];
    for (const file of entry.files) {
      const published = urlOf(file);
      const url = this.#rewrite(published);
      const { sha256, bytes } = await this.#expected(entry, file);
      const resolved: ResolvedFile = {
        path: file.name,
        url,
        bytes,
        sha256,
        gitSha1: null,
        md5: file.md5,
        isText: isTextFile(file.name) && file.name.includes("."),
      };
      const resolution: Resolution = {
        id: `catalogue:${entry.id}`,
        ref: { source: "url", url },
        revision: (sha256 ?? file.md5 ?? "first-fetch").slice(0, 40),
        refName: "main",
        licence: entry.licence === "unknown" ? null : entry.licence,
        gated: entry.availability === "gated",
        files: [resolved],
        isCompleteListing: true,
        denied:
          entry.availability === "gated" && entry.hf_id !== null
            ? {
                code: "GATED",
                message: `${entry.id} is gated: accept its conditions at https://huggingface.co/${entry.hf_id}, then set HF_TOKEN.`,
                details: { acceptanceUrl: `https://huggingface.co/${entry.hf_id}` },
              }
            : null,
        warnings: [],
      };
      const isHf = published.startsWith("https://huggingface.co/");
      const source: Pick<ModelSource, "token"> = { token: () => (isHf ? hub.environment.hfToken : null) };
      const verify = sha256 === null && file.md5 === null ? "pin" : "require";
      const installed = await fetchResolution(hub, source, resolution, {
        ...options,
        allow: undefined,
        ignore: undefined,
        verify,
      });
      const only = installed.files[0]!;
      await this.#pin(entry, file, only.sha256, only.bytes, published);
      parts.push(installed);
    }
    return joinParts(entry, parts);
  }

  async #import(
    entry: CatalogueEntry,
    options: EnsureOptions,
    open: (file: CatalogueFile) => Promise<AsyncIterable<Uint8Array>>,
  ): Promise<Installed> {
    const parts: Installed[] = [];
    for (const file of entry.files) {
      const address = file.urls[0] ?? `https://catalogue.invalid/${entry.id}/${file.name}`;
      const folder = this.#folderOf(this.#rewrite(address));
      const { sha256, bytes } = await this.#expected(entry, file);
      const blob = await importBlob({
        content: await open(file),
        name: file.name,
        folder,
        expected: { sha256, bytes, md5: file.md5, gitSha1: null },
        clock: this.#hub.clock,
        signal: options.signal,
      });
      const revision = (sha256 ?? file.md5 ?? "first-fetch").slice(0, 40);
      const path = await folder.link(revision, file.name, blob.etag);
      await folder.writeTree(revision, {
        [file.name]: {
          size: blob.bytes,
          blob_id: blob.etag.slice(0, 40),
          lfs_sha256: blob.sha256,
          lfs_size: blob.bytes,
        },
      });
      await folder.writeRef("main", revision);
      await this.#pin(entry, file, blob.sha256, blob.bytes, address);
      const licence = entry.licence;
      const installedFile = {
        name: file.name,
        path,
        sha256: blob.sha256,
        md5: blob.md5,
        bytes: blob.bytes,
        verified: sha256 !== null || file.md5 !== null,
      };
      await this.#hub.ledger?.append({
        id: `catalogue:${entry.id}`,
        sha256: blob.sha256,
        licence,
        accepted_by: options.acceptedBy ?? null,
      });
      parts.push({
        id: entry.id,
        path,
        sha256: blob.sha256,
        bytes: blob.bytes,
        source: "local",
        revision,
        licence,
        verified: installedFile.verified,
        wasCached: false,
        files: [installedFile],
        warnings: [],
      });
    }
    return joinParts(entry, parts);
  }

  async #finish(
    entry: CatalogueEntry,
    installed: Installed,
    step: Step,
    failed: readonly FailedStep[],
  ): Promise<EnsuredModel> {
    const record: InstallRecord = {
      id: entry.id,
      format: step.format,
      origin: step.source,
      revision: installed.revision,
      path: installed.path,
      files: installed.files.map(({ name, path, bytes, sha256 }) => ({ name, path, bytes, sha256 })),
      licence: entry.licence,
      verifiedAt: new Date(this.#hub.clock.now()).toISOString(),
      fallbacksTried: [...failed],
    };
    await writeFileAtomic(this.#recordPath(entry.id), `${JSON.stringify(record, null, 2)}\n`);
    await this.#linkModels(record);
    return { ...installed, entry, format: step.format, origin: step.source, fallbacksTried: failed };
  }

  #recordPath(id: string): string {
    return join(this.#hub.environment.segHome, "installed", `${id}.json`);
  }

  #readRecord(id: string): Promise<InstallRecord | null> {
    return readJson(this.#recordPath(id), recordSchema);
  }

  async #intact(id: string): Promise<InstallRecord | null> {
    const record = await this.#readRecord(id);
    return record !== null && (await this.#damage(record, false)) === "none" ? record : null;
  }

  #asEnsured(entry: CatalogueEntry, record: InstallRecord): EnsuredModel {
    const files = record.files.map((file) => ({ ...file, md5: null, verified: true }));
    return {
      id: `catalogue:${entry.id}`,
      path: record.path,
      sha256: digestOfFiles(files),
      bytes: files.reduce((sum, { bytes }) => sum + bytes, 0),
      source: record.format === "native" ? "url" : "hf",
      revision: record.revision,
      licence: record.licence,
      verified: true,
      wasCached: true,
      files,
      warnings: [],
      entry,
      format: record.format,
      origin: record.origin,
      fallbacksTried: record.fallbacksTried,
    };
  }

  /** `models/<file name>` -> the cached file, for scripts that look there. */
  async #linkModels({ format, files }: InstallRecord): Promise<void> {
    if (this.#modelsDir === null || format !== "native") return;
    for (const { name, path } of files) {
      const link = join(this.#modelsDir, name);
      const target = relative(this.#modelsDir, path);
      const found = await lstat(link).catch(() => null);
      // A real file of that name is the user's.
      if (found !== null && !found.isSymbolicLink()) continue;
      await writeFileAtomic(
        join(this.#modelsDir, ".seg-models"),
        "Links to checkpoints in the cache of @seg/model-hub.\n",
        { ifAbsent: true },
      );
      const temporary = temporaryBeside(link);
      await symlink(target, temporary);
      await rename(temporary, link);
    }
  }

  /** Whether the packages that load the model can be imported; see {@link ensureRuntime}. */
  ensureRuntime(id: string, options: RuntimeOptions = {}): Promise<RuntimeReport> {
    return ensureRuntime(id, options);
  }

  /** The whole fine-tuning on a stand-in, without network and engine; see {@link simulateFineTune}. */
  async simulate(id: string, options: SimulateOptions = {}): Promise<Simulation> {
    const entry = catalogue.get(id);
    const { state } = await this.#statusOf(entry, false);
    return simulateFineTune({ entry, state }, options);
  }

  /** Removes the files of a model, its link and its record; the licence ledger and a pin stay. */
  async remove(id: string): Promise<{ freedBytes: number }> {
    const entry = catalogue.get(id);
    const record = await this.#readRecord(entry.id);
    let freedBytes = 0;
    const folders =
      record?.format === "transformers" && entry.hf_id !== null
        ? [this.#hub.cache.folder({ source: "hf", repo: entry.hf_id, revision: null, path: null })]
        : entry.files.flatMap((file) => file.urls.map((url) => this.#folderOf(this.#rewrite(url))));
    for (const folder of folders) {
      for (const revision of await folder.revisions()) freedBytes += (await folder.removeRevision(revision)).freedBytes;
    }
    for (const { name } of record?.files ?? []) {
      if (this.#modelsDir === null) break;
      const link = join(this.#modelsDir, name);
      if ((await lstat(link).catch(() => null))?.isSymbolicLink()) await rm(link, { force: true });
    }
    await rm(this.#recordPath(entry.id), { force: true });
    return { freedBytes };
  }
}

interface Step {
  readonly source: string;
  readonly format: LoaderFormat;
  run(): Promise<Installed>;
}

function joinParts(entry: CatalogueEntry, parts: readonly Installed[]): Installed {
  const [first] = parts;
  const files = parts.flatMap((part) => part.files);
  return {
    ...first!,
    id: `catalogue:${entry.id}`,
    sha256: digestOfFiles(files),
    bytes: files.reduce((sum, { bytes }) => sum + bytes, 0),
    verified: parts.every(({ verified }) => verified),
    wasCached: parts.every(({ wasCached }) => wasCached),
    files,
    warnings: parts.flatMap(({ warnings }) => warnings),
  };
}

async function readJson<T>(path: string, schema: z.ZodType<T>): Promise<T | null> {
  try {
    const parsed = schema.safeParse(JSON.parse(await readFile(path, "utf8")));
    return parsed.success ? parsed.data : null;
  } catch {
    return null;
  }
}

/** `path` itself if it is a file, else the file of that name in it. */
async function fileWithin(path: string, name: string): Promise<string> {
  const found = await stat(path).catch(() => null);
  if (found === null) throw new HubError({ code: "NOT_FOUND", message: `${path} does not exist.`, details: { path } });
  return found.isDirectory() ? join(path, name) : path;
}

/** The folder, or the nearest one above it that exists. */
async function nearestFolder(path: string): Promise<string> {
  for (let at = path; ; at = join(at, ".."))
    if (
      await stat(at).then(
        () => true,
        () => false,
      )
    )
      return at;
}
