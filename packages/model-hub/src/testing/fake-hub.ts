import { createHash } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { type CivitaiModel, serveCivitai } from "./fake-civitai.js";
import { type Fault, Faults } from "./faults.js";
import { bodyOf, listen } from "./listen.js";
import { serveBody } from "./serve-body.js";

/** A repository as the fake Hugging Face keeps it. */
export interface FakeRepo {
  /** `owner/name` */
  readonly id: string;
  readonly files: Readonly<Record<string, Uint8Array | string>>;
  /** Paths that are stored as LFS. @defaultValue binary extensions */
  readonly lfs?: readonly string[];
  /** Needs a token that `tokens` lists. */
  readonly gated?: boolean;
  readonly licence?: string;
  readonly tags?: readonly string[];
  readonly task?: string;
  readonly library?: string;
  readonly downloads?: number;
  readonly likes?: number;
  readonly lastModified?: string;
  readonly createdAt?: string;
}

/** A request as it arrived. */
export interface SeenRequest {
  readonly server: "hub" | "cdn";
  readonly method: string;
  /** Path and query. */
  readonly path: string;
  readonly authorization: string | null;
  readonly range: string | null;
}

/** A Hugging Face and CivitAI double on loopback, for tests. */
export interface FakeHub {
  /** Base of Hugging Face's API and pages, and of CivitAI's. */
  readonly url: string;
  /** Another origin: where bytes come from, and whatever is in `files`. */
  readonly cdnUrl: string;
  readonly requests: SeenRequest[];
  fault(fault: Fault): void;
  clearFaults(): void;
  /** Moves `main` of a repository to new files. @returns its commit */
  push(repo: FakeRepo): string;
  commitOf(id: string): string;
  close(): Promise<void>;
}

interface StoredFile {
  readonly bytes: Buffer;
  readonly oid: string;
  readonly sha256: string;
  readonly isLfs: boolean;
}
interface Commit {
  readonly sha: string;
  readonly repo: FakeRepo;
  readonly files: ReadonlyMap<string, StoredFile>;
}

const BINARY = /\.(safetensors|bin|pt|pth|onnx|onnx_data|ckpt|pkl|npz|gguf|h5)$/;
const sha1 = (...parts: (string | Uint8Array)[]): string => {
  const hash = createHash("sha1");
  for (const part of parts) hash.update(part);
  return hash.digest("hex");
};

/**
 * Hugging Face and CivitAI on loopback, as far as the hub uses them: listings with pages, revisions, trees, LFS digests, redirects to a
 * storage host with signed URLs, ranges, gates and tokens, and faults on demand.
 */
export async function startFakeHub({
  repos = [],
  civitai = [],
  files = {},
  tokens = [],
  pageSize = 500,
  now = () => Date.now(),
}: {
  repos?: readonly FakeRepo[];
  civitai?: readonly CivitaiModel[];
  /** Path on the storage host -> bytes, for plain URLs. */
  files?: Readonly<Record<string, Uint8Array>>;
  /** Accepted bearer tokens. */
  tokens?: readonly string[];
  pageSize?: number;
  now?: () => number;
} = {}): Promise<FakeHub> {
  const faults = new Faults();
  const requests: SeenRequest[] = [];
  const commits = new Map<string, Commit>();
  const heads = new Map<string, string>();
  const storage = new Map<string, Buffer>();
  for (const [path, bytes] of Object.entries(files)) storage.set(path, Buffer.from(bytes));

  const push = (repo: FakeRepo): string => {
    const stored = new Map<string, StoredFile>();
    for (const [path, content] of Object.entries(repo.files)) {
      const bytes = Buffer.from(content);
      const sha256 = createHash("sha256").update(bytes).digest("hex");
      const isLfs = repo.lfs?.includes(path) ?? BINARY.test(path);
      const pointer = `version https://git-lfs.github.com/spec/v1\noid sha256:${sha256}\nsize ${bytes.length}\n`;
      const content_ = isLfs ? Buffer.from(pointer) : bytes;
      stored.set(path, { bytes, sha256, isLfs, oid: sha1(`blob ${content_.length}\0`, content_) });
      if (isLfs) storage.set(`/lfs/${repo.id}/${sha256}`, bytes);
    }
    const sha = sha1(repo.id, JSON.stringify([...stored].map(([path, { oid }]) => [path, oid])), String(commits.size));
    commits.set(`${repo.id}@${sha}`, { sha, repo, files: stored });
    heads.set(repo.id, sha);
    return sha;
  };
  for (const repo of repos) push(repo);

  const isAllowed = (request: IncomingMessage): boolean =>
    tokens.includes((request.headers.authorization ?? "").replace(/^Bearer /, ""));
  const note = (server: "hub" | "cdn", request: IncomingMessage): string => {
    const path = request.url ?? "/";
    requests.push({
      server,
      method: request.method ?? "GET",
      path,
      authorization: request.headers.authorization ?? null,
      range: request.headers.range ?? null,
    });
    return path;
  };
  /** @returns true when the fault is the whole answer */
  const answerFault = (fault: Fault | null, response: ServerResponse): boolean => {
    switch (fault?.kind) {
      case "status":
        response.writeHead(fault.status, { "content-type": "application/json", ...fault.headers });
        response.end(fault.body ?? JSON.stringify({ error: `fault ${fault.status}` }));
        return true;
      case "html":
        response.writeHead(200, { "content-type": "text/html; charset=utf-8" });
        response.end("<!doctype html><title>Sign in</title>");
        return true;
      case "json":
        response.writeHead(200, { "content-type": "application/octet-stream" });
        response.end('{"error":"Too many downloads"}');
        return true;
      case "redirect":
        response.writeHead(302, { location: fault.location }).end();
        return true;
      default:
        return false;
    }
  };
  const json = (response: ServerResponse, value: unknown, headers: Record<string, string> = {}): void => {
    response.writeHead(200, { "content-type": "application/json", ...headers });
    response.end(JSON.stringify(value));
  };
  const refuse = (response: ServerResponse, status: number, code: string, message: string): void => {
    response.writeHead(status, {
      "content-type": "application/json",
      "x-error-code": code,
      "x-error-message": message,
    });
    response.end(JSON.stringify({ error: message }));
  };

  const cdn = await listen(async (request, response) => {
    const path = note("cdn", request);
    const fault = faults.take(path, request.method ?? "GET");
    if (answerFault(fault, response)) return;
    const key = decodeURIComponent(new URL(path, "http://cdn").pathname);
    const bytes = storage.get(key);
    if (bytes === undefined) {
      response.writeHead(404, { "content-type": "application/xml" }).end("<Error/>");
      return;
    }
    await serveBody({ request, response, bytes, etag: createHash("md5").update(bytes).digest("hex"), fault });
  });

  const describe = (commit: Commit): Record<string, unknown> => {
    const { repo, sha, files: stored } = commit;
    return {
      _id: sha1(repo.id).slice(0, 24),
      id: repo.id,
      modelId: repo.id,
      author: repo.id.split("/")[0],
      sha,
      gated: repo.gated === true ? "manual" : false,
      private: false,
      downloads: repo.downloads ?? 0,
      likes: repo.likes ?? 0,
      pipeline_tag: repo.task,
      library_name: repo.library,
      tags: [...(repo.tags ?? []), ...(repo.licence === undefined ? [] : [`license:${repo.licence}`])],
      cardData: repo.licence === undefined ? {} : { license: repo.licence },
      lastModified: repo.lastModified ?? "2025-01-01T00:00:00.000Z",
      createdAt: repo.createdAt ?? "2024-01-01T00:00:00.000Z",
      siblings: [...stored.keys()].map((rfilename) => ({ rfilename })),
    };
  };

  const list = (url: URL, response: ServerResponse): void => {
    const text = url.searchParams.get("search")?.toLowerCase();
    const author = url.searchParams.get("author");
    const filters = url.searchParams.getAll("filter");
    const task = url.searchParams.get("pipeline_tag");
    const sort = url.searchParams.get("sort");
    const all = [...heads]
      .map(([id, sha]) => describe(commits.get(`${id}@${sha}`)!))
      .filter(
        (item) =>
          (text === undefined || String(item["id"]).toLowerCase().includes(text)) &&
          (author === null || item["author"] === author) &&
          (task === null || item["pipeline_tag"] === task) &&
          filters.every((f) => (item["tags"] as string[]).includes(f) || item["library_name"] === f),
      );
    if (sort !== null)
      all.sort((a, b) => {
        const [x, y] = [a[sort], b[sort]] as [string | number, string | number];
        return x < y ? 1 : x > y ? -1 : 0;
      });
    const size = Math.min(pageSize, Number(url.searchParams.get("limit") ?? pageSize));
    const from = Number(url.searchParams.get("cursor") ?? 0);
    const more = from + size < all.length;
    const next = new URL(url);
    next.searchParams.set("cursor", String(from + size));
    json(response, all.slice(from, from + size), more ? { link: `<${next.href}>; rel="next"` } : {});
  };

  const hub = await listen(async (request, response) => {
    const path = note("hub", request);
    const fault = faults.take(path, request.method ?? "GET");
    if (answerFault(fault, response)) return;
    const url = new URL(path, hub.url);
    const pathname = decodeURIComponent(url.pathname);
    if (pathname.startsWith("/api/v1/") || pathname.startsWith("/api/download/")) {
      const body = request.method === "POST" ? await bodyOf(request) : null;
      serveCivitai({
        models: civitai,
        url,
        body,
        response,
        isAllowed: isAllowed(request),
        cdnUrl: cdn.url,
        storage,
        now,
      });
      return;
    }
    if (pathname === "/api/models") {
      list(url, response);
      return;
    }
    const api = /^\/api\/models\/(.+?)(?:\/(revision|tree|paths-info)\/(.+))?$/.exec(pathname);
    const file = /^\/([^/]+(?:\/[^/]+)?)\/resolve\/([^/]+)\/(.+)$/.exec(pathname);
    const id = api?.[1] ?? file?.[1] ?? "";
    const head = heads.get(id);
    if (head === undefined) {
      refuse(response, 401, "RepoNotFound", "Repository not found");
      return;
    }
    const find = (revision: string): Commit | undefined =>
      commits.get(`${id}@${revision === "main" ? head : decodeURIComponent(revision)}`);
    if (api !== null) {
      const rest = api[3] ?? "main";
      const [revision = "main", ...folder] = rest.split("/");
      const commit = find(revision);
      if (commit === undefined) {
        refuse(response, 404, "RevisionNotFound", "Invalid rev id");
        return;
      }
      if (api[2] === "tree" || api[2] === "paths-info") {
        const prefix = folder.join("/");
        const wanted =
          api[2] === "tree" ? null : (JSON.parse((await bodyOf(request)).toString()) as { paths: string[] }).paths;
        const entries = [...commit.files]
          .filter(([name]) => (wanted === null ? name.startsWith(prefix) : wanted.includes(name)))
          .map(([name, { bytes, oid, sha256, isLfs }]) => ({
            type: "file",
            oid,
            size: bytes.length,
            path: name,
            ...(isLfs
              ? {
                  lfs: { oid: sha256, size: bytes.length, pointerSize: 134 },
                  xetHash: sha256.split("").reverse().join(""),
                }
              : {}),
          }));
        const from = Number(url.searchParams.get("cursor") ?? 0);
        const next = new URL(url);
        next.searchParams.set("cursor", String(from + pageSize));
        const more = from + pageSize < entries.length;
        json(response, entries.slice(from, from + pageSize), more ? { link: `<${next.href}>; rel="next"` } : {});
        return;
      }
      json(response, describe(commit));
      return;
    }
    const [, , revision = "main", name = ""] = file!;
    const commit = find(revision);
    const stored = commit?.files.get(name);
    if (commit === undefined || stored === undefined) {
      response.setHeader("x-repo-commit", commit?.sha ?? "");
      refuse(response, 404, commit === undefined ? "RevisionNotFound" : "EntryNotFound", "Not found");
      return;
    }
    if (commit.repo.gated === true && !isAllowed(request)) {
      refuse(
        response,
        request.headers.authorization === undefined ? 401 : 403,
        "GatedRepo",
        `Access to ${id} is restricted`,
      );
      return;
    }
    response.setHeader("x-repo-commit", commit.sha);
    if (stored.isLfs) {
      response.setHeader("x-linked-size", stored.bytes.length);
      response.setHeader("x-linked-etag", `"${stored.sha256}"`);
      response
        .writeHead(302, { location: `${cdn.url}/lfs/${id}/${stored.sha256}?X-Amz-Signature=secret-signature` })
        .end();
      return;
    }
    await serveBody({
      request,
      response,
      bytes: stored.bytes,
      etag: stored.oid,
      fault,
      headers: { "content-type": name.endsWith(".json") ? "application/json" : "text/plain" },
    });
  });

  return {
    url: hub.url,
    cdnUrl: cdn.url,
    requests,
    fault: (fault) => faults.add(fault),
    clearFaults: () => faults.clear(),
    push,
    commitOf: (id) => heads.get(id)!,
    close: async () => {
      await Promise.all([hub.close(), cdn.close()]);
    },
  };
}
