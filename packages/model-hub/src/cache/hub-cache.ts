import { createHash } from "node:crypto";
import { lstat, readdir, rm, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { findMismatch } from "../download/expectation.js";
import { hashFile } from "../download/hash-file.js";
import { ABANDONED_AFTER_MS } from "../download/partial-file.js";
import { HubError } from "../errors.js";
import type { ModelRef } from "../sources/model-ref.js";
import { splitDigest } from "../sources/url-source.js";
import { CacheFolder, listFiles, listNames, type SnapshotFile, TEMPORARY } from "./cache-folder.js";

export interface ScannedRevision {
  readonly revision: string;
  readonly refs: readonly string[];
  readonly files: readonly SnapshotFile[];
  /** Each blob once. */
  readonly bytes: number;
}
export interface ScannedModel {
  /** `hf:owner/name`, `civitai:1234`, or the folder's name where it cannot be turned back. */
  readonly id: string;
  readonly folder: CacheFolder;
  readonly revisions: readonly ScannedRevision[];
  readonly bytes: number;
  readonly incompleteBytes: number;
}

/** `extra`: a file that the commit does not have, or a blob that no snapshot uses. `unverifiable`: nothing says what it should be. */
export interface VerifyFinding {
  readonly kind: "mismatch" | "missing" | "extra" | "unverifiable";
  readonly model: string;
  readonly path: string;
  readonly expected: string | null;
  readonly actual: string | null;
}
export interface VerifyReport {
  readonly files: number;
  readonly bytes: number;
  readonly findings: readonly VerifyFinding[];
  /** No mismatch and nothing missing. */
  readonly ok: boolean;
}

export interface PruneReport {
  readonly dryRun: boolean;
  readonly removed: readonly { readonly path: string; readonly bytes: number }[];
  readonly freedBytes: number;
}

/** A blob written this recently may belong to a download that links it in a moment. */
const DEFAULT_PRUNE_AGE_S = 3600;

/**
 * The caches of this machine: Hugging Face's, shared with Python, and ours of the same shape for other sources.
 */
export class HubCache {
  readonly hfRoot: string;
  readonly segRoot: string;
  readonly #useSymlinks: boolean;
  readonly #now: () => number;

  constructor({
    hfRoot,
    segRoot,
    useSymlinks = true,
    now = () => Date.now(),
  }: {
    hfRoot: string;
    segRoot: string;
    useSymlinks?: boolean;
    now?: () => number;
  }) {
    this.hfRoot = hfRoot;
    this.segRoot = segRoot;
    this.#useSymlinks = useSymlinks;
    this.#now = now;
  }

  /** Folder of a model, existing or not. */
  folder(ref: ModelRef): CacheFolder {
    const short = (text: string) => createHash("sha256").update(text).digest("hex").slice(0, 16);
    const make = (root: string, name: string) => new CacheFolder({ root, name, useSymlinks: this.#useSymlinks });
    switch (ref.source) {
      case "hf":
        return make(this.hfRoot, `models--${ref.repo.replaceAll("/", "--")}`);
      case "civitai":
        if (ref.model === null) break;
        return make(this.segRoot, `civitai--${ref.model}`);
      case "url":
        return make(this.segRoot, `url--${short(splitDigest(ref.url).url)}`);
      case "local":
        return make(this.segRoot, `local--${short(ref.path)}`);
    }
    throw new HubError({
      code: "INVALID_REQUEST",
      message: `A ${ref.source} reference has no cache folder of its own.`,
    });
  }

  /** Every model in both caches with its revisions, refs and sizes. */
  async scan(): Promise<ScannedModel[]> {
    const models: ScannedModel[] = [];
    for (const [root, pattern] of [
      [this.hfRoot, /^(models)--/],
      [this.segRoot, /^(civitai|url|local)--/],
    ] as const) {
      for (const name of (await listNames(root)).sort()) {
        if (pattern.test(name)) models.push(await this.#scanFolder(root, name));
      }
    }
    return models;
  }

  async #scanFolder(root: string, name: string): Promise<ScannedModel> {
    const folder = new CacheFolder({ root, name, useSymlinks: this.#useSymlinks });
    const refs = await folder.refs();
    const sizes = new Map<string, number>();
    const revisions: ScannedRevision[] = [];
    for (const revision of await folder.revisions()) {
      const files = await folder.files(revision);
      const blobs = new Set(files.map(({ blob }) => blob));
      let bytes = 0;
      for (const blob of blobs) {
        const size = await sizeOf(blob);
        sizes.set(blob, size);
        bytes += size;
      }
      const names = [...refs].filter(([, at]) => at === revision).map(([ref]) => ref);
      revisions.push({ revision, refs: names, files, bytes });
    }
    let incompleteBytes = 0;
    for (const entry of await listNames(folder.blobs)) {
      if (entry.endsWith(".incomplete")) incompleteBytes += await sizeOf(join(folder.blobs, entry));
    }
    const [kind, ...rest] = name.split("--");
    const id = kind === "models" ? `hf:${rest.join("/")}` : kind === "civitai" ? `civitai:${rest[0]}` : name;
    return { id, folder, revisions, bytes: [...sizes.values()].reduce((sum, n) => sum + n, 0), incompleteBytes };
  }

  /**
   * Hashes every file again and compares it with the tree of its commit, else with the digest in its blob's name.
   * @param complete - also report files of the tree that were never downloaded
   */
  async verify({
    models,
    complete = false,
    signal,
  }: {
    models?: readonly string[] | undefined;
    complete?: boolean;
    signal?: AbortSignal | undefined;
  } = {}): Promise<VerifyReport> {
    const findings: VerifyFinding[] = [];
    let files = 0;
    let bytes = 0;
    for (const { id, folder, revisions } of await this.scan()) {
      if (models !== undefined && !models.includes(id)) continue;
      const used = new Set<string>();
      const hashed = new Map<string, { sha256: string; md5: null; gitSha1: string | null; bytes: number }>();
      for (const { revision, files: present } of revisions) {
        const tree = await folder.readTree(revision);
        for (const file of present) {
          const path = `${revision}/${file.path}`;
          const report = (kind: VerifyFinding["kind"], expected: string | null, actual: string | null = null) =>
            findings.push({ kind, model: id, path, expected, actual });
          used.add(file.blob);
          if (!file.exists) {
            report("missing", basename(file.blob));
            continue;
          }
          const entry = tree?.[file.path];
          if (tree !== null && entry === undefined) report("extra", null);
          const name = file.isLink ? basename(file.blob) : "";
          const sha256 = entry?.lfs_sha256 ?? (/^[0-9a-f]{64}$/.test(name) ? name : null);
          const gitSha1 = sha256 !== null ? null : (entry?.blob_id ?? (/^[0-9a-f]{40}$/.test(name) ? name : null));
          if (sha256 === null && gitSha1 === null) {
            report("unverifiable", null);
            continue;
          }
          let actual = hashed.get(file.blob);
          if (actual === undefined || (gitSha1 !== null && actual.gitSha1 === null)) {
            const digests = await hashFile({ path: file.blob, gitSha1: gitSha1 !== null, signal });
            actual = { ...digests, md5: null };
            hashed.set(file.blob, actual);
            files++;
            bytes += digests.bytes;
          }
          const mismatch = findMismatch(
            { bytes: entry?.lfs_size ?? entry?.size ?? null, sha256, gitSha1, md5: null },
            actual,
          );
          if (mismatch !== null) report("mismatch", String(mismatch.expected), String(mismatch.actual));
        }
        const paths = new Set(present.map(({ path }) => path));
        for (const path of complete ? Object.keys(tree ?? {}) : []) {
          if (!paths.has(path))
            findings.push({ kind: "missing", model: id, path: `${revision}/${path}`, expected: null, actual: null });
        }
      }
      for (const entry of await listNames(folder.blobs)) {
        const blob = join(folder.blobs, entry);
        if (!entry.endsWith(".incomplete") && !used.has(blob))
          findings.push({ kind: "extra", model: id, path: `blobs/${entry}`, expected: null, actual: null });
      }
    }
    return { files, bytes, findings, ok: !findings.some(({ kind }) => kind === "mismatch" || kind === "missing") };
  }

  /**
   * Removes blobs that no snapshot uses, and what interrupted writers left: partial and temporary files.
   * @param olderThanS - seconds since the last change, at least 60
   * @param keep - whether a blob is needed elsewhere (the registry, a lease), by its name
   */
  async prune({
    dryRun = false,
    olderThanS = DEFAULT_PRUNE_AGE_S,
    keep = () => false,
  }: {
    dryRun?: boolean;
    olderThanS?: number;
    keep?: (blob: { name: string; path: string }) => boolean | Promise<boolean>;
  } = {}): Promise<PruneReport> {
    const removed: { path: string; bytes: number }[] = [];
    const youngest = this.#now() - Math.max(olderThanS * 1000, ABANDONED_AFTER_MS);
    for (const { folder, revisions } of await this.scan()) {
      const used = new Set(revisions.flatMap(({ files }) => files.map(({ blob }) => blob)));
      const blobs = (await listNames(folder.blobs)).map((name) => ({ name, path: join(folder.blobs, name) }));
      const temporary = (await listNames(folder.locks)).filter((name) => name.endsWith(TEMPORARY));
      for (const { name, path } of [...blobs, ...temporary.map((name) => ({ name, path: join(folder.locks, name) }))]) {
        if (used.has(path) || (await keep({ name, path }))) continue;
        const found = await lstat(path).catch(() => null);
        if (found === null || found.mtimeMs > youngest) continue;
        removed.push({ path, bytes: found.size });
        if (!dryRun) await rm(path, { force: true });
      }
    }
    return { dryRun, removed, freedBytes: removed.reduce((sum, { bytes }) => sum + bytes, 0) };
  }

  /** Bytes that both caches take, each file once. */
  async bytes(): Promise<number> {
    let sum = 0;
    for (const { folder } of await this.scan()) {
      for (const name of await readdir(folder.blobs).catch(() => [] as string[]))
        sum += await sizeOf(join(folder.blobs, name));
    }
    return sum;
  }

  /** Every file below the caches; for tests that nothing was written. */
  async listing(): Promise<string[]> {
    return [...(await listFiles(this.hfRoot)), ...(await listFiles(this.segRoot))];
  }
}

const sizeOf = (path: string): Promise<number> =>
  stat(path).then(
    ({ size }) => size,
    () => 0,
  );
