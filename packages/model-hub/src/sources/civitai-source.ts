import { z } from "zod";
import { HubError } from "../errors.js";
import type { HttpClient } from "../internal/http-client.js";
import { assertSafeRelativePath } from "../internal/safe-path.js";
import { isPickle, isSafeFormat } from "./hugging-face-source.js";
import { formatAir, type ModelRef } from "./model-ref.js";
import type {
  ModelHit,
  ModelInfo,
  ModelKind,
  ModelSource,
  Resolution,
  SearchQuery,
  SortKey,
  SourceOptions,
} from "./types.js";

/** Largest page of the API. */
const PAGE = 100;
const MAX_PAGES = 20;
/** Largest batch of `POST /model-versions/by-hash`. */
const MAX_HASHES = 100;

/** CivitAI's types -> kinds, the first being the main one. Segmentation and detection weights live only in Detection and Other. */
const KINDS: Readonly<Record<string, readonly ModelKind[]>> = {
  Checkpoint: ["checkpoint"],
  LORA: ["lora"],
  LoCon: ["lora"],
  DoRA: ["lora"],
  TextualInversion: ["textual_inversion", "embedding"],
  Controlnet: ["control"],
  VAE: ["other"],
  Hypernetwork: ["other"],
  AestheticGradient: ["other"],
  Upscaler: ["other"],
  MotionModule: ["other"],
  Poses: ["other"],
  Wildcards: ["other"],
  Workflows: ["other"],
  Detection: ["other"],
  Other: ["other"],
};

const SORT: Readonly<Record<SortKey, string | null>> = {
  relevance: null,
  downloads: "Most Downloaded",
  likes: "Most Liked",
  updated: "Newest",
  created: "Newest",
};

const fileSchema = z.looseObject({
  id: z.number(),
  name: z.string(),
  sizeKB: z.number().nullish(),
  primary: z.boolean().nullish(),
  pickleScanResult: z.string().nullish(),
  metadata: z.looseObject({ format: z.string().nullish() }).nullish(),
  hashes: z.looseObject({ SHA256: z.string().nullish() }).nullish(),
});
const versionSchema = z.looseObject({
  id: z.number(),
  modelId: z.number().nullish(),
  name: z.string(),
  baseModel: z.string().nullish(),
  createdAt: z.string().nullish(),
  publishedAt: z.string().nullish(),
  earlyAccessEndsAt: z.string().nullish(),
  files: z.array(fileSchema).default([]),
  model: z
    .looseObject({
      name: z.string(),
      type: z.string(),
      nsfw: z.boolean().nullish(),
      mode: z.string().nullish(),
    })
    .nullish(),
});
const modelSchema = z.looseObject({
  id: z.number(),
  name: z.string(),
  type: z.string(),
  nsfw: z.boolean().nullish(),
  mode: z.string().nullish(),
  tags: z.array(z.string()).default([]),
  creator: z.looseObject({ username: z.string().nullish() }).nullish(),
  stats: z
    .looseObject({
      downloadCount: z.number().nullish(),
      thumbsUpCount: z.number().nullish(),
      rating: z.number().nullish(),
      ratingCount: z.number().nullish(),
    })
    .nullish(),
  modelVersions: z.array(versionSchema).default([]),
});
const listSchema = z.looseObject({
  items: z.array(modelSchema),
  metadata: z.looseObject({ nextCursor: z.union([z.string(), z.number()]).nullish() }).nullish(),
});
type Model = z.infer<typeof modelSchema>;
type Version = z.infer<typeof versionSchema>;

/** Models of civitai.com. */
export class CivitaiSource implements ModelSource {
  readonly name = "civitai";
  readonly #http: HttpClient;
  readonly #api: string;
  readonly #token: string | null;

  /** @param api - base of the API, `https://civitai.com/api/v1` */
  constructor({
    http,
    api = "https://civitai.com/api/v1",
    token = null,
  }: {
    http: HttpClient;
    api?: string;
    token?: string | null;
  }) {
    this.#http = http;
    this.#api = api.replace(/\/+$/, "");
    this.#token = token;
  }

  token(): string | null {
    return this.#token;
  }

  async *search(query: SearchQuery, { signal }: SourceOptions = {}): AsyncIterable<ModelHit> {
    const parameters = new URLSearchParams();
    const types =
      query.kinds === undefined
        ? []
        : Object.keys(KINDS).filter((t) => KINDS[t]!.some((k) => query.kinds!.includes(k)));
    // No type of CivitAI is of that kind: unknown parameters are ignored silently there, so nothing may be asked.
    if (query.kinds !== undefined && types.length === 0) return;
    for (const type of types) parameters.append("types", type);
    if (query.baseModel !== undefined) parameters.append("baseModels", query.baseModel);
    if (query.text !== undefined) parameters.set("query", query.text);
    if (query.owner !== undefined) parameters.set("username", query.owner);
    if (query.tags?.[0] !== undefined) parameters.set("tag", query.tags[0]);
    const sort = SORT[query.sort];
    if (sort !== null) parameters.set("sort", sort);
    parameters.set("nsfw", String(query.nsfw));
    parameters.set("limit", String(Math.min(PAGE, query.limit)));
    for (let page = 0; page < MAX_PAGES; page++) {
      const list = listSchema.parse(await this.#get(`models?${parameters}`, signal));
      for (const model of list.items) {
        const version = model.modelVersions[0];
        if (version !== undefined) yield hitOf(model, version);
      }
      const cursor = list.metadata?.nextCursor;
      if (cursor === null || cursor === undefined) return;
      parameters.set("cursor", String(cursor));
    }
  }

  async info(ref: ModelRef, options: SourceOptions = {}): Promise<ModelInfo> {
    const { model, version } = await this.#find(ref, options);
    return {
      ...hitOf(model, version),
      revision: String(version.id),
      page: `${new URL(this.#api).origin}/models/${model.id}`,
    };
  }

  async resolve(ref: ModelRef, options: SourceOptions = {}): Promise<Resolution> {
    const { model, version } = await this.#find(ref, options);
    const mode = model.mode ?? version.model?.mode ?? null;
    if (mode === "Archived" || mode === "TakenDown") {
      throw new HubError({
        code: "GONE",
        message: `civitai:${model.id} is ${mode === "Archived" ? "archived" : "taken down"}; its files are no longer served.`,
        details: { model: model.id, mode },
      });
    }
    const wanted = ref.source === "civitai" ? ref.file : null;
    const primary = version.files.find((file) => file.primary === true) ?? version.files[0];
    const chosen = wanted === null ? primary : version.files.find((file) => String(file.id) === wanted);
    if (chosen === undefined) {
      throw new HubError({
        code: "NOT_FOUND",
        message: `civitai:${model.id}@${version.id} has no file ${wanted ?? ""}. Files: ${version.files.map((file) => `${file.id} ${file.name}`).join(", ") || "none"}.`,
        details: { model: model.id, version: version.id },
      });
    }
    const origin = new URL(this.#api).origin;
    const bytes = (chosen.sizeKB ?? Number.NaN) * 1024;
    const others = version.files.filter((file) => file !== chosen).map((file) => `${file.id} (${file.name})`);
    const early = version.earlyAccessEndsAt ?? null;
    const isEarly = early !== null && Date.parse(early) > this.#http.world.clock.now();
    return {
      id: `civitai:${model.id}`,
      ref,
      revision: String(version.id),
      refName: ref.source === "civitai" && ref.version === null ? "main" : null,
      // CivitAI states permissions, not a licence, and a licence is never inferred.
      licence: null,
      gated: false,
      files: [
        {
          path: assertSafeRelativePath(chosen.name, `civitai:${model.id}`),
          // The link of the API itself (`type`, `format`, `fp`) can answer 404.
          url: `${origin}/api/download/models/${version.id}?fileId=${chosen.id}`,
          // KiB as a float: exact for files below 2^53 bytes, unless it was rounded.
          bytes: Math.abs(bytes - Math.round(bytes)) < 1e-3 ? Math.round(bytes) : null,
          sha256: chosen.hashes?.SHA256?.toLowerCase() ?? null,
          gitSha1: null,
          md5: null,
          pickleScan: isPickle(chosen.name) ? (chosen.pickleScanResult ?? "unknown") : null,
          isText: false,
        },
      ],
      isCompleteListing: others.length === 0,
      denied: isEarly
        ? {
            code: "EARLY_ACCESS",
            message: `civitai:${model.id}@${version.id} is in early access until ${early}.`,
            details: { earlyAccessEndsAt: early },
          }
        : {
            code: "AUTH_REQUIRED",
            message: `civitai:${model.id} needs a logged-in account: set CIVITAI_TOKEN.`,
            details: { model: model.id },
          },
      warnings:
        others.length === 0 ? [] : [`further files of this version: ${others.join(", ")}; name one with +<file id>`],
    };
  }

  /** Versions that hold files of these SHA-256 digests, in batches of 100. */
  async findByHashes(hashes: readonly string[], { signal }: SourceOptions = {}): Promise<ModelInfo[]> {
    const found: ModelInfo[] = [];
    for (let at = 0; at < hashes.length; at += MAX_HASHES) {
      const { value } = await this.#http.json(`${this.#api}/model-versions/by-hash`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(hashes.slice(at, at + MAX_HASHES)),
        token: this.#token,
        signal,
      });
      for (const version of z.array(versionSchema).parse(value)) {
        const model = modelOfVersion(version);
        found.push({ ...hitOf(model, version), revision: String(version.id), page: null });
      }
    }
    return found;
  }

  /** The version that holds a file of this hash (SHA-256, AutoV1, AutoV2, AutoV3, BLAKE3 or CRC32, hex), or null. */
  async findByHash(hash: string, { signal }: SourceOptions = {}): Promise<ModelInfo | null> {
    if (!/^[0-9a-f]{8,64}$/i.test(hash)) {
      throw new HubError({ code: "INVALID_REQUEST", message: `"${hash}" is no hash: 8 to 64 hexadecimal digits.` });
    }
    try {
      const version = versionSchema.parse(await this.#get(`model-versions/by-hash/${hash}`, signal));
      return { ...hitOf(modelOfVersion(version), version), revision: String(version.id), page: null };
    } catch (error) {
      if (HubError.isInstance(error) && error.code === "NOT_FOUND") return null;
      throw error;
    }
  }

  async #find(ref: ModelRef, { signal }: SourceOptions): Promise<{ model: Model; version: Version }> {
    if (ref.source !== "civitai")
      throw new HubError({ code: "INVALID_REQUEST", message: `${ref.source} references are not CivitAI's.` });
    if (ref.model === null || ref.version !== null) {
      const version = versionSchema.parse(await this.#get(`model-versions/${ref.version}`, signal));
      const model = modelOfVersion(version);
      if (ref.model !== null && String(model.id) !== ref.model) {
        throw new HubError({
          code: "NOT_FOUND",
          message: `Version ${ref.version} belongs to civitai:${model.id}, not to civitai:${ref.model}.`,
        });
      }
      return { model, version };
    }
    const model = modelSchema.parse(await this.#get(`models/${ref.model}`, signal));
    const version = model.modelVersions[0];
    if (version === undefined)
      throw new HubError({ code: "NOT_FOUND", message: `civitai:${ref.model} has no published version.` });
    return { model, version };
  }

  async #get(path: string, signal: AbortSignal | undefined): Promise<unknown> {
    return (await this.#http.json(`${this.#api}/${path}`, { token: this.#token, signal })).value;
  }
}

const modelOfVersion = (version: Version): Model => ({
  id: version.modelId ?? 0,
  name: version.model?.name ?? version.name,
  type: version.model?.type ?? "Other",
  nsfw: version.model?.nsfw ?? null,
  mode: version.model?.mode ?? null,
  tags: [],
  creator: null,
  stats: null,
  modelVersions: [],
});

function hitOf(model: Model, version: Version): ModelHit {
  const kinds = KINDS[model.type] ?? ["other"];
  const primary = version.files.find((file) => file.primary === true) ?? version.files[0];
  const { stats } = model;
  return {
    source: "civitai",
    id: `civitai:${model.id}@${version.id}`,
    name: model.name,
    kind: kinds[0]!,
    kinds,
    task: null,
    baseModel: version.baseModel ?? null,
    licence: null,
    downloads: stats?.downloadCount ?? null,
    likes: stats?.thumbsUpCount ?? null,
    rating: (stats?.ratingCount ?? 0) > 0 ? (stats?.rating ?? null) : null,
    createdAt: version.createdAt ?? null,
    updatedAt: version.publishedAt ?? version.createdAt ?? null,
    gated: false,
    owner: model.creator?.username ?? null,
    library: null,
    files: version.files.map((file) => ({
      path: file.name,
      bytes: file.sizeKB == null ? null : Math.round(file.sizeKB * 1024),
      sha256: file.hashes?.SHA256?.toLowerCase() ?? null,
    })),
    tags: model.tags,
    safety: {
      nsfw: model.nsfw ?? false,
      safeFormat: isSafeFormat(version.files.map((file) => file.name)),
      pickleScan: primary?.pickleScanResult ?? null,
    },
    air: formatAir({
      ecosystem: version.baseModel ?? "other",
      type: model.type,
      model: String(model.id),
      version: String(version.id),
    }),
    origins: [],
  };
}
