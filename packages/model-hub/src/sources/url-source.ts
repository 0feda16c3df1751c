import { createHash } from "node:crypto";
import { isTextFile } from "../download/unexpected-content.js";
import { HubError } from "../errors.js";
import { errorOfAnswer, type HttpClient } from "../internal/http-client.js";
import { isSafeRelativePath } from "../internal/safe-path.js";
import type { ModelRef } from "./model-ref.js";
import type { ModelHit, ModelInfo, ModelSource, Resolution, SourceOptions } from "./types.js";

/**
 * One file at a plain URL. A digest may follow as a fragment, as pip has it: `https://host/model.onnx#sha256=<64 hex>`; the fragment is
 * never sent. The revision is the SHA-1 of what the server says about the content (ETag, time, length).
 */
export class UrlSource implements ModelSource {
  readonly name = "url";
  readonly #http: HttpClient;
  constructor({ http }: { http: HttpClient }) {
    this.#http = http;
  }

  token(): string | null {
    return null;
  }

  /** URLs cannot be searched. */
  async *search(): AsyncIterable<ModelHit> {}

  async info(ref: ModelRef, options: SourceOptions = {}): Promise<ModelInfo> {
    const resolution = await this.resolve(ref, options);
    const file = resolution.files[0]!;
    return {
      source: "url",
      id: resolution.id,
      name: file.path,
      kind: file.path.endsWith(".onnx") ? "onnx" : "checkpoint",
      kinds: [file.path.endsWith(".onnx") ? "onnx" : "checkpoint"],
      task: null,
      baseModel: null,
      licence: null,
      downloads: null,
      likes: null,
      rating: null,
      createdAt: null,
      updatedAt: null,
      gated: false,
      owner: new URL(file.url).host,
      library: null,
      files: [{ path: file.path, bytes: file.bytes, sha256: file.sha256 }],
      tags: [],
      safety: { nsfw: false, safeFormat: null, pickleScan: null },
      air: null,
      origins: [],
      revision: resolution.revision,
      page: null,
    };
  }

  async resolve(ref: ModelRef, { signal }: SourceOptions = {}): Promise<Resolution> {
    if (ref.source !== "url")
      throw new HubError({ code: "INVALID_REQUEST", message: `${ref.source} references are no URLs.` });
    const { url, sha256 } = splitDigest(ref.url);
    // Some servers refuse HEAD; the first byte tells the same.
    let answer = await this.#http.request(url, { method: "HEAD", signal, accept: [400, 403, 404, 405, 501] });
    if (!answer.response.ok) {
      answer = await this.#http.request(url, {
        signal,
        headers: { range: "bytes=0-0", "accept-encoding": "identity" },
      });
      await answer.response.body?.cancel().catch(() => {});
    }
    const { headers, status } = answer.response;
    if (status >= 400) throw await errorOfAnswer(answer, null);
    const total = /\/(\d+)$/.exec(headers.get("content-range") ?? "")?.[1] ?? headers.get("content-length");
    const bytes = total !== null && headers.get("content-encoding") === null ? Number(total) : null;
    const revision = createHash("sha1")
      .update(JSON.stringify([headers.get("etag"), headers.get("last-modified"), bytes]))
      .digest("hex");
    const path = fileNameOf(url);
    return {
      id: `url:${url}`,
      ref,
      revision,
      refName: "main",
      licence: null,
      gated: false,
      files: [{ path, url, bytes, sha256, gitSha1: null, md5: null, isText: isTextFile(path) && path.includes(".") }],
      isCompleteListing: true,
      denied: null,
      warnings: [],
    };
  }
}

/** Separates `#sha256=` from a URL. Other fragments are dropped. */
export function splitDigest(href: string): { url: string; sha256: string | null } {
  const url = new URL(href);
  const sha256 = /^#sha256=([0-9a-fA-F]{64})$/.exec(url.hash)?.[1]?.toLowerCase() ?? null;
  url.hash = "";
  return { url: url.href, sha256 };
}

/** Last part of the path as a file name; `model` where there is none that is safe. */
export function fileNameOf(url: string): string {
  let name = "";
  try {
    name = decodeURIComponent(new URL(url).pathname.split("/").at(-1) ?? "");
  } catch {
    // A malformed escape.
  }
  return isSafeRelativePath(name) && !name.includes("/") ? name : "model";
}
