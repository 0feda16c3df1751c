import { readdir, stat } from "node:fs/promises";
import { basename, join, relative, sep } from "node:path";
import { pathToFileURL } from "node:url";
import { listFiles } from "../cache/cache-folder.js";
import { hashFile } from "../download/hash-file.js";
import { isTextFile } from "../download/unexpected-content.js";
import { HubError } from "../errors.js";
import { isSafeFormat } from "./hugging-face-source.js";
import type { ModelRef } from "./model-ref.js";
import type { ModelHit, ModelInfo, ModelKind, ModelSource, Resolution, SearchQuery, SourceOptions } from "./types.js";

const WEIGHTS = /\.(safetensors|onnx|pt|pth|bin|ckpt|pkl|gguf)$/i;

/** Files and folders of this machine. A file is a model of one file, a folder one of all its files. */
export class LocalSource implements ModelSource {
  readonly name = "local";
  readonly #roots: readonly string[];

  /** @param roots - folders that a search looks through */
  constructor({ roots = [] }: { roots?: readonly string[] } = {}) {
    this.#roots = roots;
  }

  token(): string | null {
    return null;
  }

  async *search(query: SearchQuery): AsyncIterable<ModelHit> {
    for (const root of this.#roots) {
      for (const path of await listFiles(root)) {
        if (!WEIGHTS.test(path)) continue;
        if (query.text !== undefined && !path.toLowerCase().includes(query.text.toLowerCase())) continue;
        yield await hitOf(join(root, path));
      }
    }
  }

  async info(ref: ModelRef, options: SourceOptions = {}): Promise<ModelInfo> {
    const resolution = await this.resolve(ref, options);
    return { ...(await hitOf(asLocal(ref).path)), revision: resolution.revision, page: null };
  }

  async resolve(ref: ModelRef, { signal }: SourceOptions = {}): Promise<Resolution> {
    const { path } = asLocal(ref);
    const found = await stat(path).catch(() => null);
    if (found === null)
      throw new HubError({ code: "NOT_FOUND", message: `${path} does not exist.`, details: { path } });
    const paths = found.isDirectory() ? (await listFiles(path)).map((name) => join(path, name)) : [path];
    const files = [];
    for (const file of paths) {
      const { sha256, bytes } = await hashFile({ path: file, signal });
      const name = found.isDirectory() ? relative(path, file).split(sep).join("/") : basename(file);
      files.push({
        path: name,
        url: pathToFileURL(file).href,
        bytes,
        sha256,
        gitSha1: null,
        md5: null,
        isText: isTextFile(name),
      });
    }
    return {
      id: `local:${path}`,
      ref,
      // Content decides: the digest of the only file, or of the first of several, names the state that was read.
      revision: (files[0]?.sha256 ?? "0".repeat(64)).slice(0, 40),
      refName: "main",
      licence: null,
      gated: false,
      files,
      isCompleteListing: true,
      denied: null,
      warnings: [],
    };
  }
}

function asLocal(ref: ModelRef): Extract<ModelRef, { source: "local" }> {
  if (ref.source === "local") return ref;
  throw new HubError({ code: "INVALID_REQUEST", message: `${ref.source} references are not local.` });
}

/** An adapter folder has its configuration beside the weights. */
async function hitOf(path: string): Promise<ModelHit> {
  const found = await stat(path);
  const folder = found.isDirectory() ? path : join(path, "..");
  const isAdapter = (await readdir(folder)).includes("adapter_config.json");
  const kind: ModelKind = isAdapter ? "lora" : path.endsWith(".onnx") ? "onnx" : "checkpoint";
  return {
    source: "local",
    id: `local:${path}`,
    name: basename(path),
    kind,
    kinds: [kind],
    task: null,
    baseModel: null,
    licence: null,
    downloads: null,
    likes: null,
    rating: null,
    createdAt: null,
    updatedAt: found.mtime.toISOString(),
    gated: false,
    owner: null,
    library: null,
    files: [{ path: basename(path), bytes: found.isDirectory() ? null : found.size, sha256: null }],
    tags: [],
    safety: { nsfw: false, safeFormat: isSafeFormat([path]), pickleScan: null },
    air: null,
    origins: [],
  };
}
