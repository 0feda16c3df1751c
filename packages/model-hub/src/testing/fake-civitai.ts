import { createHash } from "node:crypto";
import type { ServerResponse } from "node:http";

export interface CivitaiFile {
  readonly id: number;
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly primary?: boolean;
  readonly pickleScanResult?: string;
}

export interface CivitaiVersion {
  readonly id: number;
  readonly name: string;
  readonly baseModel: string;
  readonly files: readonly CivitaiFile[];
  readonly createdAt?: string;
  /** ISO time; downloads answer 401 before it. */
  readonly earlyAccessEndsAt?: string;
}

export interface CivitaiModel {
  readonly id: number;
  readonly name: string;
  /** CivitAI's own word: `LORA`, `Checkpoint`, `TextualInversion`, ... */
  readonly type: string;
  readonly versions: readonly CivitaiVersion[];
  readonly mode?: "Archived" | "TakenDown";
  readonly nsfw?: boolean;
  readonly tags?: readonly string[];
  readonly creator?: string;
  readonly downloads?: number;
  readonly likes?: number;
  readonly requiresToken?: boolean;
}

const describeVersion = (model: CivitaiModel, version: CivitaiVersion, base: string): Record<string, unknown> => ({
  id: version.id,
  modelId: model.id,
  name: version.name,
  baseModel: version.baseModel,
  createdAt: version.createdAt ?? "2024-05-01T00:00:00.000Z",
  earlyAccessEndsAt: version.earlyAccessEndsAt ?? null,
  model: { name: model.name, type: model.type, nsfw: model.nsfw ?? false, mode: model.mode ?? null },
  files:
    model.mode !== undefined
      ? []
      : version.files.map((file) => {
          const sha256 = createHash("sha256").update(file.bytes).digest("hex").toUpperCase();
          return {
            id: file.id,
            name: file.name,
            // A float: KiB.
            sizeKB: file.bytes.length / 1024,
            type: "Model",
            primary: file.primary ?? false,
            pickleScanResult: file.pickleScanResult ?? "Success",
            virusScanResult: "Success",
            metadata: { format: file.name.endsWith(".safetensors") ? "SafeTensor" : "PickleTensor", fp: "fp16" },
            hashes: { SHA256: sha256, AutoV2: sha256.slice(0, 10) },
            // As the real service: a form that may answer 404.
            downloadUrl: `${base}/api/download/models/${version.id}?type=Model&format=SafeTensor`,
          };
        }),
});

const describeModel = (model: CivitaiModel, base: string): Record<string, unknown> => ({
  id: model.id,
  name: model.name,
  type: model.type,
  nsfw: model.nsfw ?? false,
  mode: model.mode ?? null,
  tags: model.tags ?? [],
  creator: { username: model.creator ?? "someone" },
  stats: { downloadCount: model.downloads ?? 0, thumbsUpCount: model.likes ?? 0, ratingCount: 0, rating: 0 },
  modelVersions: model.versions.map((version) => describeVersion(model, version, base)),
});

/** CivitAI's public API over `models`, with its known quirks. */
export function serveCivitai({
  models,
  url,
  body,
  response,
  isAllowed,
  cdnUrl,
  storage,
  now,
}: {
  models: readonly CivitaiModel[];
  url: URL;
  body: Buffer | null;
  response: ServerResponse;
  isAllowed: boolean;
  cdnUrl: string;
  storage: Map<string, Buffer>;
  now: () => number;
}): ServerResponse {
  const send = (status: number, value: unknown, headers: Record<string, string> = {}): ServerResponse =>
    response.writeHead(status, { "content-type": "application/json", ...headers }).end(JSON.stringify(value));
  const parameters = url.searchParams;
  const route = url.pathname.replace(/^\/api\/(v1\/)?/, "");
  const versions = models.flatMap((model) => model.versions.map((version) => ({ model, version })));
  if (route === "models") {
    const limit = Number(parameters.get("limit") ?? 100);
    if (limit < 1 || limit > 100) return send(400, { error: "limit" });
    if (parameters.has("query") && parameters.has("page")) return send(400, { error: "query needs cursor" });
    if (Number(parameters.get("page") ?? 1) * limit > 1000) return send(429, { error: "use cursor" });
    const types = parameters.getAll("types");
    const bases = parameters.getAll("baseModels");
    const text = parameters.get("query")?.toLowerCase();
    const found = models.filter(
      (model) =>
        (types.length === 0 || types.includes(model.type)) &&
        (bases.length === 0 || model.versions.some(({ baseModel }) => bases.includes(baseModel))) &&
        (text === undefined || model.name.toLowerCase().includes(text)) &&
        (!parameters.has("username") || model.creator === parameters.get("username")) &&
        (!parameters.has("tag") || (model.tags ?? []).includes(parameters.get("tag")!)) &&
        (parameters.get("nsfw") === "true" || model.nsfw !== true),
    );
    if (parameters.get("sort") === "Most Downloaded") found.sort((a, b) => (b.downloads ?? 0) - (a.downloads ?? 0));
    const from = Number(parameters.get("cursor") ?? 0);
    const more = from + limit < found.length;
    return send(200, {
      items: found.slice(from, from + limit).map((model) => describeModel(model, url.origin)),
      metadata: { pageSize: limit, ...(more ? { nextCursor: String(from + limit) } : {}) },
    });
  }
  const byModel = /^models\/(\d+)$/.exec(route);
  if (byModel !== null) {
    const model = models.find(({ id }) => id === Number(byModel[1]));
    return model ? send(200, describeModel(model, url.origin)) : send(404, { error: "No model" });
  }
  const byVersion = /^model-versions\/(\d+)$/.exec(route);
  if (byVersion !== null) {
    const found = versions.find(({ version }) => version.id === Number(byVersion[1]));
    return found
      ? send(200, describeVersion(found.model, found.version, url.origin))
      : send(404, { error: "No version" });
  }
  const sha256Of = (file: CivitaiFile) => createHash("sha256").update(file.bytes).digest("hex");
  /** SHA-256 of the tensors of a safetensors file. */
  const tensorsSha256Of = ({ bytes, name }: CivitaiFile) =>
    name.endsWith(".safetensors") && bytes.length > 8
      ? createHash("sha256")
          .update(bytes.subarray(8 + Number(Buffer.from(bytes).readBigUInt64LE(0))))
          .digest("hex")
      : null;
  const withHash = (hash: string) =>
    versions.find(({ version }) =>
      version.files.some(
        (file) =>
          sha256Of(file).startsWith(hash.toLowerCase()) || tensorsSha256Of(file)?.startsWith(hash.toLowerCase()),
      ),
    );
  const byHash = /^model-versions\/by-hash\/([0-9A-Fa-f]+)$/.exec(route);
  if (byHash !== null) {
    const found = withHash(byHash[1]!);
    return found
      ? send(200, describeVersion(found.model, found.version, url.origin))
      : send(404, { error: "No version" });
  }
  if (route === "model-versions/by-hash" && body !== null) {
    const hashes = JSON.parse(body.toString()) as string[];
    if (hashes.length > 100) return send(400, { error: "too many" });
    const found = hashes.map(withHash).filter((item) => item !== undefined);
    return send(
      200,
      found.map(({ model, version }) => describeVersion(model, version, url.origin)),
    );
  }
  if (route === "enums")
    return send(200, { ModelType: ["Checkpoint", "LORA", "TextualInversion"], BaseModel: ["SD 1.5", "SDXL 1.0"] });
  const download = /^download\/models\/(\d+)$/.exec(route);
  if (download !== null) {
    const found = versions.find(({ version }) => version.id === Number(download[1]));
    const file = found?.version.files.find(({ id }) => String(id) === parameters.get("fileId"));
    // The type/format/fp form of the API's own links, and versions without files.
    if (found === undefined || file === undefined || found.model.mode !== undefined)
      return send(404, { error: "No file" });
    const isEarly =
      found.version.earlyAccessEndsAt !== undefined && now() < Date.parse(found.version.earlyAccessEndsAt);
    if ((found.model.requiresToken === true || isEarly) && (!isAllowed || isEarly))
      return send(401, { error: "Unauthorized", message: "The creator of this asset requires you to be logged in" });
    const key = `/civitai/${sha256Of(file)}`;
    storage.set(key, Buffer.from(file.bytes));
    return response.writeHead(307, { location: `${cdnUrl}${key}?X-Amz-Signature=presigned` }).end();
  }
  return send(404, { error: "Not found" });
}
