import { createHash } from "node:crypto";
import { fileURLToPath } from "node:url";
import type { CacheFolder } from "../cache/cache-folder.js";
import type { HubCache } from "../cache/hub-cache.js";
import type { Tree } from "../cache/tree.js";
import { HubError } from "../errors.js";
import type { HubClock } from "../internal/clock.js";
import { selectPaths } from "../internal/globs.js";
import { mapConcurrent } from "../internal/map-concurrent.js";
import { assertLicence, type LicencePolicy } from "../licence/assert-licence.js";
import type { LicenceLedgerPort } from "../registry/types.js";
import { isPickle } from "../sources/hugging-face-source.js";
import type { ModelRef, SourceName } from "../sources/model-ref.js";
import type { ModelSource, Resolution, ResolvedFile } from "../sources/types.js";
import type { Downloader, FetchedBlob, VerifyMode } from "./downloader.js";
import { type DownloadProgress, ProgressMeter } from "./progress.js";

/** Files of one snapshot that download side by side. */
const PARALLEL = 4;

/** Which files of a model are fetched, under which terms, and who hears of the progress. */
export interface InstallOptions extends LicencePolicy {
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: DownloadProgress) => void) | undefined;
  /** Shell patterns of wanted paths. */
  readonly allow?: readonly string[] | undefined;
  readonly ignore?: readonly string[] | undefined;
  /** Use the cache only. */
  readonly offline?: boolean | undefined;
  /** @defaultValue "require" */
  readonly verify?: VerifyMode | undefined;
  /** Take pickles from CivitAI whose scan succeeded. @defaultValue false */
  readonly allowPickle?: boolean | undefined;
  /** Who agreed to the licence; goes to the ledger. */
  readonly acceptedBy?: string | undefined;
  /** Compute MD5 too. */
  readonly md5?: boolean | undefined;
}

export interface InstalledFile {
  readonly name: string;
  /** Absolute, in the snapshot. */
  readonly path: string;
  readonly sha256: string;
  readonly md5: string | null;
  readonly bytes: number;
  readonly verified: boolean;
}

/** A model on this machine. */
export interface Installed {
  readonly id: string;
  /** The file, if it is one, else the folder of the snapshot. */
  readonly path: string;
  /** Digest of the file; of several, the SHA-256 of the sorted lines `{sha256}  {name}\n`, as `sha256sum` prints them. */
  readonly sha256: string;
  readonly md5?: string;
  readonly bytes: number;
  readonly source: SourceName;
  readonly revision: string;
  readonly licence: string;
  /** Digests that were known beforehand prove every byte. */
  readonly verified: boolean;
  /** Everything was in the cache. */
  readonly wasCached: boolean;
  readonly files: readonly InstalledFile[];
  readonly warnings: readonly string[];
}

export interface InstallWorld {
  readonly cache: HubCache;
  readonly downloader: Downloader;
  readonly ledger: LicenceLedgerPort | null;
  readonly clock: HubClock;
}

/**
 * Brings a model into the cache: resolve once to a commit, check licence and formats, fetch every file by that commit, link, note tree and
 * ref, in this order. A network failure with a complete cached copy of the same ref falls back to it, with a warning.
 *
 * @throws {@link HubError} nothing was published then that was not verified
 */
export async function installModel(
  world: InstallWorld,
  source: ModelSource,
  ref: ModelRef,
  options: InstallOptions = {},
): Promise<Installed> {
  if (options.offline === true) return fromCache(world, ref, options, []);
  options.onProgress?.({ ...IDLE, phase: "resolving" });
  let resolution: Resolution;
  try {
    resolution = await source.resolve(ref, { signal: options.signal });
  } catch (error) {
    options.signal?.throwIfAborted();
    if (HubError.isInstance(error) && error.code === "NOT_FOUND") await noteMissing(world, ref, error);
    if (!HubError.isInstance(error) || error.code !== "SOURCE_UNAVAILABLE") throw error;
    // Without a complete copy the failure of the network is what the caller must hear of.
    return fromCache(world, ref, options, [
      `the source could not be reached (${error.message}); this is the cached copy`,
    ]).catch(() => {
      throw error;
    });
  }
  return ref.source === "local" ? referenceLocal(resolution) : fetchResolution(world, source, resolution, options);
}

/** A local model stays where it is: hashed, not copied. */
function referenceLocal({ id, revision, files: resolved, ref }: Resolution): Installed {
  const files = resolved.map(({ path: name, url, sha256, bytes }) => ({
    name,
    path: fileURLToPath(url),
    sha256: sha256 ?? "",
    md5: null,
    bytes: bytes ?? 0,
    verified: false,
  }));
  return {
    id,
    path: ref.source === "local" ? ref.path : "",
    sha256: digestOfFiles(files),
    bytes: files.reduce((sum, { bytes }) => sum + bytes, 0),
    source: "local",
    revision,
    licence: "unknown",
    verified: false,
    wasCached: true,
    files,
    warnings: ["a local model is hashed as it is; nothing says what its digest should be"],
  };
}

const IDLE: DownloadProgress = {
  phase: "resolving",
  file: null,
  doneBytes: 0,
  totalBytes: null,
  filesDone: 0,
  filesTotal: 0,
  bytesPerS: null,
  etaS: null,
};

/** Fetches what a resolution lists. */
export async function fetchResolution(
  { cache, downloader, ledger, clock }: InstallWorld,
  source: Pick<ModelSource, "token">,
  resolution: Resolution,
  options: InstallOptions,
): Promise<Installed> {
  const { id, revision, licence, gated, ref } = resolution;
  const { signal, verify = "require" } = options;
  if (ref.source !== "local") assertLicence({ id, licence, isGated: gated }, options);
  const files = chooseFiles(resolution, options);
  for (const file of files) assertFormat(file, resolution, options.allowPickle === true);
  // A version's file was known by a digest before: CivitAI's scanner can rewrite a header in place.
  const folder = cache.folder(ref.source === "civitai" && ref.model === null ? asModel(resolution) : ref);
  const known = await folder.readTree(revision);
  for (const file of files) assertUnchanged(file, known, id, revision);
  const meter = new ProgressMeter({
    clock,
    listen: options.onProgress,
    sizes: new Map(files.map(({ path, bytes }) => [path, bytes])),
  });
  const fetched = await mapConcurrent(files, PARALLEL, async (file) => {
    try {
      const blob = await downloader.fetch({
        url: file.url,
        token: source.token(),
        folder,
        name: file.path,
        etag: file.sha256 ?? file.gitSha1,
        stem: stemOf(file.url, revision),
        expected: { bytes: file.bytes, sha256: file.sha256, gitSha1: file.gitSha1, md5: file.md5 },
        withMd5: options.md5 === true,
        isText: file.isText,
        verify,
        signal,
        onBytes: ({ phase, doneBytes }) => {
          if (phase === "downloading") meter.moved(file.path, doneBytes);
        },
      });
      meter.finished(file.path, blob.bytes);
      return blob;
    } catch (error) {
      throw explain(error, resolution);
    }
  });
  meter.phase("linking");
  const installed: InstalledFile[] = [];
  for (const [i, blob] of fetched.entries()) {
    const { path: name } = files[i]!;
    installed.push({ ...fileOf(name, blob), path: await folder.link(revision, name, blob.etag) });
  }
  await folder.writeTree(revision, treeOf(resolution, files, fetched));
  if (resolution.refName !== null) await folder.writeRef(resolution.refName, revision);
  const warnings = [...resolution.warnings];
  const unverified = installed.filter((file) => !file.verified).map(({ name }) => name);
  if (unverified.length > 0)
    warnings.push(`no digest was known for ${unverified.join(", ")}: what came was recorded, not verified`);
  const result = summarise({
    folder,
    resolution,
    files: installed,
    warnings,
    wasCached: fetched.every((blob) => blob.wasCached),
  });
  if (!result.wasCached) {
    await ledger?.append({
      id: result.id,
      sha256: result.sha256,
      licence: result.licence,
      accepted_by: options.acceptedBy ?? null,
    });
  }
  meter.phase("done");
  return result;
}

const stemOf = (url: string, revision: string): string =>
  createHash("sha256").update(`${url}\n${revision}`).digest("hex").slice(0, 40);

const fileOf = (name: string, blob: FetchedBlob): InstalledFile => ({
  name,
  path: blob.path,
  sha256: blob.sha256,
  md5: blob.md5,
  bytes: blob.bytes,
  verified: blob.verified,
});

function asModel(resolution: Resolution): ModelRef {
  return { source: "civitai", model: resolution.id.replace("civitai:", ""), version: resolution.revision, file: null };
}

function chooseFiles(resolution: Resolution, { allow, ignore }: InstallOptions): readonly ResolvedFile[] {
  const { files, ref, id } = resolution;
  const only = ref.source === "hf" && ref.path !== null ? [ref.path] : null;
  const chosen = new Set(
    only === null
      ? selectPaths(
          files.map(({ path }) => path),
          { allow, ignore },
        )
      : selectPaths(
          files.map(({ path }) => path),
          { allow: only.map((path) => path.replace(/[[*?]/g, "[$&]")) },
        ),
  );
  if (chosen.size === 0) {
    throw new HubError({
      code: "NOT_FOUND",
      message: `${id} has no file that ${allow?.join(", ") ?? "is wanted"} matches. Files: ${files
        .slice(0, 10)
        .map(({ path }) => path)
        .join(", ")}.`,
      details: { id, allow, ignore },
    });
  }
  return files.filter(({ path }) => chosen.has(path));
}

function assertFormat(file: ResolvedFile, { id, ref }: Resolution, allowPickle: boolean): void {
  if (ref.source !== "civitai" || !isPickle(file.path)) return;
  if (file.pickleScan === "Success" && allowPickle) return;
  throw new HubError({
    code: "UNSUPPORTED_TYPE",
    message:
      file.pickleScan === "Success"
        ? `${id} is a pickle (${file.path}), which runs code when Python loads it. Pass allowPickle to store it, or choose a safetensors file.`
        : `${id} is a pickle (${file.path}) whose scan says "${file.pickleScan ?? "nothing"}". It is not taken.`,
    details: { id, file: file.path, pickleScan: file.pickleScan ?? null },
  });
}

function assertUnchanged(file: ResolvedFile, known: Tree | null, id: string, revision: string): void {
  const before = known?.[file.path]?.lfs_sha256;
  if (before === undefined || file.sha256 === null || before === file.sha256) return;
  throw new HubError({
    code: "UPSTREAM_CHANGED",
    message: `${id}@${revision} ${file.path} had SHA-256 ${before} when it was installed; the source now says ${file.sha256}. Nothing was replaced. Remove the model first if the change is legitimate.`,
    details: { id, revision, file: file.path, before, now: file.sha256 },
  });
}

/** A refusal in the words of the source: gated, early access, log in. */
function explain(error: unknown, { denied }: Resolution): unknown {
  const isRefusal = HubError.isInstance(error) && ["AUTH_REQUIRED", "FORBIDDEN", "GATED"].includes(error.code);
  if (!isRefusal || denied === null) return error;
  return new HubError({ ...denied, cause: error, details: { ...denied.details, status: error.details["status"] } });
}

async function noteMissing({ cache }: InstallWorld, ref: ModelRef, error: HubError): Promise<void> {
  const { path, revision, hubCode } = error.details;
  if (ref.source !== "hf" || hubCode !== "EntryNotFound" || typeof path !== "string" || typeof revision !== "string")
    return;
  const folder = cache.folder(ref);
  // Beside a snapshot only: a folder without one is damage to Python's scan.
  if ((await folder.revisions()).length > 0) await folder.markMissing(revision, path).catch(() => {});
}

/** Python keeps the whole listing of a commit; of other sources the tree holds what was fetched, which is also the pin. */
function treeOf(resolution: Resolution, files: readonly ResolvedFile[], fetched: readonly FetchedBlob[]): Tree {
  const actual = new Map(files.map((file, i) => [file.path, fetched[i]!]));
  const listed = resolution.isCompleteListing ? resolution.files : files;
  return Object.fromEntries(
    listed.map((file) => {
      const blob = actual.get(file.path);
      const sha256 = file.sha256 ?? (file.gitSha1 === null ? (blob?.sha256 ?? null) : null);
      const size = file.bytes ?? blob?.bytes ?? 0;
      return [
        file.path,
        {
          size,
          blob_id: file.gitSha1 ?? sha256?.slice(0, 40) ?? "",
          ...(sha256 === null ? {} : { lfs_sha256: sha256, lfs_size: size }),
          ...(file.xetHash ? { xet_hash: file.xetHash } : {}),
        },
      ];
    }),
  );
}

export function digestOfFiles(files: readonly { name: string; sha256: string }[]): string {
  if (files.length === 1) return files[0]!.sha256;
  const lines = files.map(({ name, sha256 }) => `${sha256}  ${name}\n`).sort();
  return createHash("sha256").update(lines.join("")).digest("hex");
}

function summarise({
  folder,
  resolution,
  files,
  warnings,
  wasCached,
}: {
  folder: CacheFolder;
  resolution: Pick<Resolution, "id" | "revision" | "licence" | "ref">;
  files: readonly InstalledFile[];
  warnings: readonly string[];
  wasCached: boolean;
}): Installed {
  const [only] = files;
  const isOne = files.length === 1 && only !== undefined;
  return {
    id: resolution.id,
    path: isOne ? only.path : folder.snapshotPath(resolution.revision),
    sha256: digestOfFiles(files),
    ...(isOne && only.md5 !== null ? { md5: only.md5 } : {}),
    bytes: files.reduce((sum, { bytes }) => sum + bytes, 0),
    source: resolution.ref.source,
    revision: resolution.revision,
    licence: resolution.licence ?? "unknown",
    verified: files.every((file) => file.verified),
    wasCached,
    files,
    warnings,
  };
}

/**
 * The cached copy of a reference, checked against the tree of its commit and verified.
 * @throws {@link HubError} `SOURCE_UNAVAILABLE` when the ref was never fetched, `INCOMPLETE_SNAPSHOT` when files are missing
 */
async function fromCache(
  { cache, downloader }: InstallWorld,
  ref: ModelRef,
  options: InstallOptions,
  warnings: readonly string[],
): Promise<Installed> {
  const folder = cache.folder(ref);
  const asked = ref.source === "hf" ? ref.revision : ref.source === "civitai" ? ref.version : null;
  const revisions = await folder.revisions();
  const revision = asked !== null && revisions.includes(asked) ? asked : await folder.readRef(asked ?? "main");
  if (revision === null) {
    throw new HubError({
      code: "SOURCE_UNAVAILABLE",
      message: `${folder.name} (${asked ?? "main"}) is not in the cache ${folder.root}, and offline mode keeps the network closed.`,
      details: { folder: folder.name, revision: asked ?? "main", reason: "offline" },
    });
  }
  const tree = await folder.readTree(revision);
  const present = (await folder.files(revision)).filter((file) => file.exists);
  const paths = tree === null ? present.map(({ path }) => path) : Object.keys(tree);
  const only = ref.source === "hf" && ref.path !== null ? [ref.path] : null;
  const wanted = only ?? selectPaths(paths, options);
  const missing = wanted.filter((path) => !present.some((file) => file.path === path));
  if (missing.length > 0 || wanted.length === 0) {
    throw new HubError({
      code: "INCOMPLETE_SNAPSHOT",
      message: `${folder.name} at ${revision} lacks ${missing.slice(0, 5).join(", ") || "every wanted file"} in the cache. Download it once with the network open.`,
      details: { folder: folder.name, revision, missing },
    });
  }
  const files: InstalledFile[] = [];
  for (const name of wanted) {
    const file = present.find(({ path }) => path === name)!;
    const entry = tree?.[name];
    files.push(
      await downloader.check({
        name,
        path: file.blob,
        visible: folder.filePath(revision, name),
        entry,
        md5: options.md5 === true,
      }),
    );
  }
  const id = ref.source === "hf" ? `hf:${ref.repo}` : folder.name.replace("--", ":");
  const all =
    tree === null ? [...warnings, "the commit's listing is not cached, so completeness is not known"] : warnings;
  return summarise({ folder, resolution: { id, revision, licence: null, ref }, files, warnings: all, wasCached: true });
}
