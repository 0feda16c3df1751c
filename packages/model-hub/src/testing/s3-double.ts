import { createHash, randomBytes } from "node:crypto";
import type { ServerResponse } from "node:http";
import { type Fault, Faults } from "./faults.js";
import { bodyOf, listen } from "./listen.js";
import { serveBody } from "./serve-body.js";

interface Stored {
  readonly bytes: Buffer;
  readonly etag: string;
  readonly meta: Readonly<Record<string, string>>;
  readonly modified: Date;
}
interface Upload {
  readonly key: string;
  readonly meta: Readonly<Record<string, string>>;
  readonly parts: Map<number, { bytes: Buffer; etag: string }>;
}

/** An S3 double on loopback, for tests. */
export interface S3Double {
  readonly endpoint: string;
  readonly bucket: string;
  readonly credentials: { readonly accessKeyId: string; readonly secretAccessKey: string };
  /** Key -> bytes, as stored. */
  objects(): ReadonlyMap<string, Buffer>;
  /** Uploads in parts that were neither completed nor aborted. */
  openUploads(): number;
  /** Overwrites bytes behind the store's back: bit rot. */
  damage(key: string): void;
  fault(fault: Fault): void;
  clearFaults(): void;
  readonly requests: { readonly method: string; readonly path: string }[];
  close(): Promise<void>;
}

/** What a client says that signs no content; with TLS there is no need. */
const UNSIGNED = "UNSIGNED-PAYLOAD";

const md5 = (bytes: Uint8Array): Buffer => createHash("md5").update(bytes).digest();
const escapeXml = (text: string): string =>
  text.replace(/[<>&]/g, (c) => ({ "<": "&lt;", ">": "&gt;", "&": "&amp;" })[c]!);

/**
 * An S3-compatible server in memory: objects, ranges, listing, copy, multipart with the ETags of the real service (MD5, or MD5 of the
 * parts' MD5s and their number), Content-MD5 and the signed SHA-256 of the content, conditions (412), and a mode that ignores conditions as some servers do. Faults: a status, a
 * connection that is cut (of a GET within the body), bytes that are damaged on their way in or out. Signatures are not checked.
 */
export async function startS3Double({
  bucket = "models",
  honourConditions = true,
}: {
  bucket?: string;
  honourConditions?: boolean;
} = {}): Promise<S3Double> {
  const objects = new Map<string, Stored>();
  const uploads = new Map<string, Upload>();
  const faults = new Faults();
  const requests: { method: string; path: string }[] = [];
  const buckets = new Set([bucket]);

  const xml = (response: ServerResponse, status: number, body: string, headers: Record<string, string> = {}): void => {
    response.writeHead(status, { "content-type": "application/xml", ...headers });
    response.end(`<?xml version="1.0" encoding="UTF-8"?>${body}`);
  };
  const fail = (response: ServerResponse, status: number, code: string): void =>
    xml(response, status, `<Error><Code>${code}</Code><Message>${code}</Message></Error>`);

  const server = await listen(async (request, response) => {
    const method = request.method ?? "GET";
    requests.push({ method, path: request.url ?? "/" });
    const url = new URL(request.url ?? "/", "http://s3");
    const fault = faults.take(request.url ?? "/", method);
    if (fault?.kind === "status") {
      await bodyOf(request);
      return fail(response, fault.status, "SlowDown");
    }
    if (fault?.kind === "cut" && method !== "GET") {
      request.destroy();
      return;
    }
    const [, name = "", ...rest] = decodeURIComponent(url.pathname).split("/");
    const key = rest.join("/");
    const query = url.searchParams;
    const { headers } = request;
    const meta = Object.fromEntries(
      Object.entries(headers)
        .filter(([header]) => header.startsWith("x-amz-meta-"))
        .map(([header, value]) => [header.slice("x-amz-meta-".length), String(value)]),
    );
    if (key === "") {
      if (method === "PUT") {
        buckets.add(name);
        response.writeHead(200).end();
        return;
      }
      if (!buckets.has(name)) return fail(response, 404, "NoSuchBucket");
      if (method === "HEAD") {
        response.writeHead(200).end();
        return;
      }
      const prefix = query.get("prefix") ?? "";
      const after = query.get("continuation-token") ?? "";
      const keys = [...objects.keys()].filter((k) => k.startsWith(prefix) && k > after).sort();
      const page = keys.slice(0, Math.min(1000, Number(query.get("max-keys") ?? 1000)));
      const isTruncated = page.length < keys.length;
      const contents = page.map(
        (k) => `<Contents><Key>${escapeXml(k)}</Key><Size>${objects.get(k)!.bytes.length}</Size></Contents>`,
      );
      return xml(
        response,
        200,
        `<ListBucketResult><IsTruncated>${isTruncated}</IsTruncated>${isTruncated ? `<NextContinuationToken>${escapeXml(page.at(-1)!)}</NextContinuationToken>` : ""}${contents.join("")}</ListBucketResult>`,
      );
    }
    const found = objects.get(key);
    const refusesCondition = (): boolean => {
      if (!honourConditions) return false;
      if (headers["if-none-match"] === "*" && objects.has(key)) return true;
      const match = headers["if-match"];
      return match !== undefined && objects.get(key)?.etag !== match;
    };
    const uploadId = query.get("uploadId");
    if (method === "GET" && uploadId !== null) {
      const upload = uploads.get(uploadId);
      if (upload === undefined) return fail(response, 404, "NoSuchUpload");
      const parts = [...upload.parts]
        .sort(([a], [b]) => a - b)
        .map(
          ([n, part]) =>
            `<Part><PartNumber>${n}</PartNumber><ETag>${part.etag}</ETag><Size>${part.bytes.length}</Size></Part>`,
        );
      return xml(response, 200, `<ListPartsResult><IsTruncated>false</IsTruncated>${parts.join("")}</ListPartsResult>`);
    }
    if (method === "GET" || method === "HEAD") {
      if (found === undefined)
        return method === "HEAD" ? void response.writeHead(404).end() : fail(response, 404, "NoSuchKey");
      const match = headers["if-match"];
      if (honourConditions && match !== undefined && match !== found.etag)
        return fail(response, 412, "PreconditionFailed");
      await serveBody({
        request,
        response,
        bytes: found.bytes,
        etag: found.etag.replaceAll('"', ""),
        fault,
        headers: {
          "last-modified": found.modified.toUTCString(),
          ...Object.fromEntries(Object.entries(found.meta).map(([k, v]) => [`x-amz-meta-${k}`, v])),
        },
      });
      return;
    }
    if (method === "DELETE") {
      if (uploadId === null) objects.delete(key);
      else uploads.delete(uploadId);
      response.writeHead(204).end();
      return;
    }
    if (method === "POST" && query.has("uploads")) {
      const id = randomBytes(12).toString("hex");
      uploads.set(id, { key, meta, parts: new Map() });
      return xml(
        response,
        200,
        `<InitiateMultipartUploadResult><Bucket>${name}</Bucket><Key>${escapeXml(key)}</Key><UploadId>${id}</UploadId></InitiateMultipartUploadResult>`,
      );
    }
    const body = await bodyOf(request);
    // Damaged on its way here.
    if (fault?.kind === "corrupt" && body.length > 0) body[Math.floor((body.length - 1) * fault.at)]! ^= 0xff;
    if (method === "POST" && uploadId !== null) {
      const upload = uploads.get(uploadId);
      if (upload === undefined) return fail(response, 404, "NoSuchUpload");
      if (refusesCondition()) return fail(response, 412, "PreconditionFailed");
      const numbers = [...body.toString().matchAll(/<PartNumber>(\d+)<\/PartNumber>/g)].map(([, n]) => Number(n));
      const parts = numbers.map((n) => upload.parts.get(n));
      if (parts.some((part) => part === undefined)) return fail(response, 400, "InvalidPart");
      const etag = `"${md5(Buffer.concat(parts.map((part) => md5(part!.bytes)))).toString("hex")}-${parts.length}"`;
      objects.set(key, {
        bytes: Buffer.concat(parts.map((part) => part!.bytes)),
        etag,
        meta: upload.meta,
        modified: new Date(),
      });
      uploads.delete(uploadId);
      return xml(response, 200, `<CompleteMultipartUploadResult><ETag>${etag}</ETag></CompleteMultipartUploadResult>`);
    }
    const sum = md5(body);
    const stated = headers["content-md5"];
    if (stated !== undefined && stated !== sum.toString("base64")) return fail(response, 400, "BadDigest");
    const signed = String(headers["x-amz-content-sha256"] ?? UNSIGNED);
    if (signed !== UNSIGNED && signed !== createHash("sha256").update(body).digest("hex"))
      return fail(response, 400, "XAmzContentSHA256Mismatch");
    const etag = `"${sum.toString("hex")}"`;
    if (uploadId !== null) {
      const upload = uploads.get(uploadId);
      if (upload === undefined) return fail(response, 404, "NoSuchUpload");
      upload.parts.set(Number(query.get("partNumber")), { bytes: body, etag });
      response.writeHead(200, { etag }).end();
      return;
    }
    if (refusesCondition()) return fail(response, 412, "PreconditionFailed");
    const source = headers["x-amz-copy-source"];
    if (source !== undefined) {
      const from = objects.get(decodeURIComponent(String(source)).replace(/^\//, "").split("/").slice(1).join("/"));
      if (from === undefined) return fail(response, 404, "NoSuchKey");
      const copied = `"${md5(from.bytes).toString("hex")}"`;
      objects.set(key, {
        ...from,
        etag: copied,
        meta: headers["x-amz-metadata-directive"] === "REPLACE" ? meta : from.meta,
        modified: new Date(),
      });
      return xml(response, 200, `<CopyObjectResult><ETag>${copied}</ETag></CopyObjectResult>`);
    }
    objects.set(key, { bytes: body, etag, meta, modified: new Date() });
    response.writeHead(200, { etag }).end();
  });

  return {
    endpoint: server.url,
    bucket,
    credentials: { accessKeyId: "test", secretAccessKey: "test-secret" },
    objects: () => new Map([...objects].map(([key, { bytes }]) => [key, bytes])),
    openUploads: () => uploads.size,
    damage: (key) => {
      const found = objects.get(key)!;
      const bytes = Buffer.from(found.bytes);
      bytes[0]! ^= 0xff;
      objects.set(key, { ...found, bytes });
    },
    fault: (fault) => faults.add(fault),
    clearFaults: () => faults.clear(),
    requests,
    close: server.close,
  };
}
