import { z } from "zod";
import { isTextFile } from "../download/unexpected-content.js";
import { HubError } from "../errors.js";
import type { HttpClient } from "../internal/http-client.js";
import { assertSafeRelativePath } from "../internal/safe-path.js";
import type { ModelRef } from "./model-ref.js";
import type {
  HitFile,
  ModelHit,
  ModelInfo,
  ModelKind,
  ModelSource,
  Resolution,
  ResolvedFile,
  SearchQuery,
  SortKey,
  SourceOptions,
} from "./types.js";

/** Largest page that the hub gives. */
const PAGE = 500;
/** Filters that the hub cannot apply are applied here; a search that still found too little after so many pages stops. */
const MAX_PAGES = 20;

const SORT: Readonly<Record<SortKey, string | null>> = {
  relevance: null,
  downloads: "downloads",
  likes: "likes",
  updated: "lastModified",
  created: "createdAt",
};

const modelSchema = z.looseObject({
  id: z.string().optional(),
  modelId: z.string().optional(),
  name: z.string().optional(),
  sha: z.string().optional(),
  author: z.string().optional(),
  gated: z.union([z.boolean(), z.string()]).optional(),
  downloads: z.number().optional(),
  likes: z.number().optional(),
  pipeline_tag: z.string().optional(),
  library_name: z.string().optional(),
  tags: z.array(z.string()).default([]),
  cardData: z.looseObject({ license: z.union([z.string(), z.array(z.string())]).optional() }).nullish(),
  lastModified: z.string().optional(),
  createdAt: z.string().optional(),
  siblings: z.array(z.looseObject({ rfilename: z.string() })).optional(),
});
type Model = z.infer<typeof modelSchema>;

const treeSchema = z.array(
  z.looseObject({
    type: z.string(),
    path: z.string(),
    oid: z.string(),
    size: z.int().min(0),
    lfs: z.looseObject({ oid: z.string(), size: z.int().min(0) }).optional(),
    xetHash: z.string().optional(),
  }),
);

/** Kind of a model by its tags and library, as Hugging Face's own filters understand them. */
export function kindOfHuggingFace(tags: readonly string[], library: string | null): ModelKind {
  const has = (tag: string) => tags.includes(tag);
  if (has("lora") || has("adapter") || library === "peft" || tags.some((tag) => tag.startsWith("base_model:adapter:")))
    return "lora";
  if (has("textual-inversion") || has("textual_inversion")) return "textual_inversion";
  if (has("embedding")) return "embedding";
  return "checkpoint";
}

/** Models of huggingface.co or a mirror that speaks its API. */
export class HuggingFaceSource implements ModelSource {
  readonly name = "hf";
  readonly #http: HttpClient;
  readonly #endpoint: string;
  readonly #token: string | null;
  readonly #headersTimeoutMs: number;

  constructor({
    http,
    endpoint = "https://huggingface.co",
    token = null,
    headersTimeoutMs = 10_000,
  }: {
    http: HttpClient;
    endpoint?: string;
    token?: string | null;
    headersTimeoutMs?: number;
  }) {
    this.#http = http;
    this.#endpoint = endpoint.replace(/\/+$/, "");
    this.#token = token;
    this.#headersTimeoutMs = headersTimeoutMs;
  }

  token(): string | null {
    return this.#token;
  }

  async *search(query: SearchQuery, { signal }: SourceOptions = {}): AsyncIterable<ModelHit> {
    const url = new URL(`${this.#endpoint}/api/models`);
    const set = (name: string, value: string | undefined) => value !== undefined && url.searchParams.set(name, value);
    const filter = (value: string) => url.searchParams.append("filter", value);
    set("search", query.text);
    set("author", query.owner);
    set("pipeline_tag", query.task);
    for (const tag of query.tags ?? []) filter(tag);
    if (query.library !== undefined) filter(query.library);
    if (query.format !== undefined) filter(query.format);
    if (query.baseModel !== undefined) filter(`base_model:${query.baseModel}`);
    if (query.licence !== undefined) filter(`license:${query.licence.toLowerCase()}`);
    const sort = SORT[query.sort];
    if (sort !== null) {
      set("sort", sort);
      set("direction", "-1");
    }
    set("limit", String(Math.min(PAGE, query.limit)));
    set("full", "true");
    let next: string | null = url.href;
    for (let page = 0; next !== null && page < MAX_PAGES; page++) {
      const { value, headers } = await this.#json(next, signal);
      for (const item of z.array(modelSchema).parse(value)) yield this.#hit(item);
      next = nextLink(headers.get("link"), next);
    }
  }

  async info(ref: ModelRef, { signal }: SourceOptions = {}): Promise<ModelInfo> {
    const { repo, revision } = asHf(ref);
    const suffix = revision === null ? "" : `/revision/${encodeURIComponent(revision)}`;
    const { value } = await this.#json(`${this.#endpoint}/api/models/${repo}${suffix}`, signal);
    const model = modelSchema.parse(value);
    if (model.sha === undefined || !/^[0-9a-f]{40}$/.test(model.sha)) {
      throw new HubError({
        code: "UNEXPECTED_CONTENT",
        message: `${repo} states no commit for ${revision ?? "main"}.`,
      });
    }
    return { ...this.#hit(model), revision: model.sha, page: `${this.#endpoint}/${repo}` };
  }

  async resolve(ref: ModelRef, options: SourceOptions = {}): Promise<Resolution> {
    const { repo, revision, path } = asHf(ref);
    const info = await this.info(ref, options);
    const files = await this.#tree(repo, info.revision, options.signal);
    const chosen = path === null ? files : files.filter((file) => file.path === path);
    if (path !== null && chosen.length === 0) {
      throw new HubError({
        code: "NOT_FOUND",
        message: `hf:${repo} has no file "${path}" at ${info.revision}. Files: ${files
          .slice(0, 10)
          .map((file) => file.path)
          .join(", ")}.`,
        details: { repo, path, revision: info.revision, hubCode: "EntryNotFound" },
      });
    }
    const isCommit = revision !== null && revision === info.revision;
    return {
      id: `hf:${repo}`,
      ref,
      revision: info.revision,
      refName: isCommit ? null : (revision ?? "main"),
      licence: info.licence,
      gated: info.gated,
      files,
      isCompleteListing: true,
      denied: info.gated
        ? {
            code: "GATED",
            message: `hf:${repo} is gated: accept its conditions at ${this.#endpoint}/${repo}, then set HF_TOKEN to a token of that account.`,
            details: { acceptanceUrl: `${this.#endpoint}/${repo}` },
          }
        : null,
      warnings: [],
    };
  }

  async #tree(repo: string, revision: string, signal: AbortSignal | undefined): Promise<ResolvedFile[]> {
    const files: ResolvedFile[] = [];
    let next: string | null = `${this.#endpoint}/api/models/${repo}/tree/${revision}?recursive=true`;
    // Repositories have at most some 100,000 files, a hundred pages.
    for (let page = 0; next !== null && page < 1000; page++) {
      const { value, headers } = await this.#json(next, signal);
      for (const { type, path, oid, size, lfs, xetHash } of treeSchema.parse(value)) {
        if (type !== "file") continue;
        assertSafeRelativePath(path, `hf:${repo}`);
        files.push({
          path,
          url: `${this.#endpoint}/${repo}/resolve/${revision}/${path.split("/").map(encodeURIComponent).join("/")}`,
          bytes: lfs?.size ?? size,
          sha256: lfs?.oid ?? null,
          gitSha1: lfs === undefined ? oid : null,
          md5: null,
          xetHash: xetHash ?? null,
          isText: isTextFile(path),
        });
      }
      next = nextLink(headers.get("link"), next);
    }
    return files;
  }

  #json(url: string, signal: AbortSignal | undefined): Promise<{ value: unknown; headers: Headers }> {
    // A `next` link of another host must not receive the token.
    const token = url.startsWith(`${this.#endpoint}/`) ? this.#token : null;
    return this.#http.json(url, { token, signal, headersTimeoutMs: this.#headersTimeoutMs });
  }

  #hit(model: Model): ModelHit {
    // `id` is a database id in some listings; the repository is what looks like one.
    const repo =
      [model.modelId, model.name, model.id].find((name) => name?.includes("/")) ?? model.modelId ?? model.id ?? "";
    const library = model.library_name ?? null;
    const kind = kindOfHuggingFace(model.tags, library);
    const stated = model.cardData?.license ?? model.tags.find((tag) => tag.startsWith("license:"))?.slice(8) ?? null;
    const files: HitFile[] | null =
      model.siblings?.map(({ rfilename }) => ({ path: rfilename, bytes: null, sha256: null })) ?? null;
    const base = model.tags.find((tag) => /^base_model:[^:]+$/.test(tag))?.slice("base_model:".length) ?? null;
    return {
      source: "hf",
      id: `hf:${repo}`,
      name: repo,
      kind,
      kinds: [kind],
      task: model.pipeline_tag ?? null,
      baseModel: base,
      licence: Array.isArray(stated) ? (stated[0] ?? null) : stated,
      downloads: model.downloads ?? null,
      likes: model.likes ?? null,
      rating: null,
      createdAt: model.createdAt ?? null,
      updatedAt: model.lastModified ?? null,
      gated: model.gated !== undefined && model.gated !== false,
      owner: model.author ?? (repo.includes("/") ? repo.split("/")[0]! : null),
      library,
      files,
      tags: model.tags,
      safety: {
        nsfw: model.tags.includes("not-for-all-audiences"),
        safeFormat: files === null ? null : isSafeFormat(files.map(({ path }) => path)),
        pickleScan: null,
      },
      air: null,
      origins: [],
    };
  }
}

const PICKLE = /\.(pt|pth|bin|ckpt|pkl)$/i;

/** Formats that execute code when Python unpickles them. This package stores them as bytes and never opens them. */
export const isPickle = (path: string): boolean => PICKLE.test(path);

/** Whether the weights are safetensors or ONNX; null when no file looks like weights. */
export function isSafeFormat(paths: readonly string[]): boolean | null {
  if (paths.some((path) => /\.(safetensors|onnx)$/i.test(path))) return true;
  return paths.some(isPickle) ? false : null;
}

function asHf(ref: ModelRef): Extract<ModelRef, { source: "hf" }> {
  if (ref.source === "hf") return ref;
  throw new HubError({ code: "INVALID_REQUEST", message: `${ref.source} references are not Hugging Face's.` });
}

/** Target of `rel="next"` in a Link header, resolved against the page it came with. */
export function nextLink(link: string | null, base: string): string | null {
  const target = /<([^>]+)>\s*;\s*rel="?next"?/.exec(link ?? "")?.[1];
  return target === undefined ? null : new URL(target, base).href;
}
