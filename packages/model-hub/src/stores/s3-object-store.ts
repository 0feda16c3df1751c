import { createHash } from "node:crypto";
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadBucketCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  ListPartsCommand,
  PutObjectCommand,
  S3Client,
  UploadPartCommand,
} from "@aws-sdk/client-s3";
import { HubError } from "../errors.js";
import { verified } from "./file-object-store.js";
import {
  alreadyExists,
  assertKey,
  type Content,
  notFound,
  type ObjectInfo,
  type ObjectStore,
  type PutOptions,
  pieces,
  type StoreCapabilities,
  stale,
} from "./object-store.js";

/** Smallest part of ours; services demand 5 MiB for all but the last. */
const PART_BYTES = 8 << 20;
const MAX_PARTS = 10_000;
const PARTS_IN_FLIGHT = 4;
/** A race of two conditional writers (409) is decided by trying again. */
const MAX_RACES = 5;

/** Serialises conditional writes where the server does not; an SQL lock in production. */
export interface StoreLock {
  withLock<T>(key: string, work: () => Promise<T>): Promise<T>;
}

/**
 * An S3-compatible bucket. Integrity rests on our own metadata (`x-amz-meta-sha256`, `-md5`, `-size`), never on ETags: of a multipart or
 * encrypted object an ETag is no digest of its content. Large uploads go in parts; an interrupted one continues with the parts that arrived.
 */
export class S3ObjectStore implements ObjectStore {
  readonly #client: S3Client;
  readonly #bucket: string;
  readonly #endpoint: string;
  readonly #partBytes: number;
  readonly #lock: StoreLock | null;
  #conditional: Promise<boolean> | null = null;

  /** @param partBytes - smallest part, at least 5 MiB on real services */
  constructor({
    endpoint,
    bucket,
    accessKeyId,
    secretAccessKey,
    region = "us-east-1",
    partBytes = PART_BYTES,
    lock = null,
  }: {
    endpoint: string;
    bucket: string;
    accessKeyId: string;
    secretAccessKey: string;
    region?: string;
    partBytes?: number;
    lock?: StoreLock | null;
  }) {
    this.#client = new S3Client({
      endpoint,
      region,
      forcePathStyle: true,
      credentials: { accessKeyId, secretAccessKey },
      // Newer defaults add checksums that older servers refuse.
      requestChecksumCalculation: "WHEN_REQUIRED",
      responseChecksumValidation: "WHEN_REQUIRED",
    });
    this.#endpoint = endpoint;
    this.#bucket = bucket;
    this.#partBytes = partBytes;
    this.#lock = lock;
  }

  describe(): string {
    return `${this.#endpoint}/${this.#bucket}`;
  }

  /** Makes the bucket if it is absent. */
  async init(): Promise<void> {
    try {
      await this.#client.send(new HeadBucketCommand({ Bucket: this.#bucket }));
    } catch (error) {
      if (statusOf(error) !== 404) throw wrap(error, this.describe());
      await this.#client.send(new CreateBucketCommand({ Bucket: this.#bucket })).catch((cause: unknown) => {
        if (!/BucketAlready/.test((cause as Error).name)) throw wrap(cause, this.describe());
      });
    }
  }

  close(): void {
    this.#client.destroy();
  }

  async capabilities(): Promise<StoreCapabilities> {
    return { conditionalWrites: await this.#isConditional(), fallbackLock: this.#lock !== null };
  }

  /** Writes one key twice with `If-None-Match: *`: a server that honours it refuses the second. */
  #isConditional(): Promise<boolean> {
    this.#conditional ??= (async () => {
      const key = ".seg-probe";
      const put = () =>
        this.#client.send(new PutObjectCommand({ Bucket: this.#bucket, Key: key, Body: "probe", IfNoneMatch: "*" }));
      await put().catch((error: unknown) => {
        if (statusOf(error) !== 412) throw wrap(error, this.describe());
      });
      try {
        await put();
        return false;
      } catch (error) {
        if (statusOf(error) === 412) return true;
        throw wrap(error, this.describe());
      } finally {
        await this.#client.send(new DeleteObjectCommand({ Bucket: this.#bucket, Key: key }));
      }
    })();
    return this.#conditional;
  }

  async put(key: string, content: Content, options: PutOptions = {}): Promise<ObjectInfo> {
    assertKey(key);
    const { ifAbsent = false, ifMatch } = options;
    if ((!ifAbsent && ifMatch === undefined) || (await this.#isConditional()))
      return this.#put(key, content, options, true);
    if (this.#lock === null) {
      throw new HubError({
        code: "INVALID_STATE",
        message: `${this.describe()} ignores conditional writes, and no lock is configured in its place.`,
      });
    }
    return this.#lock.withLock(`s3:${this.#bucket}/${key}`, async () => {
      const found = await this.head(key);
      if (ifAbsent && found !== null) throw alreadyExists(key);
      if (ifMatch !== undefined && found?.etag !== ifMatch) throw stale(key);
      return this.#put(key, content, options, false);
    });
  }

  async #put(key: string, content: Content, options: PutOptions, isConditional: boolean): Promise<ObjectInfo> {
    const condition = {
      ...(isConditional && options.ifAbsent === true ? { IfNoneMatch: "*" } : {}),
      ...(isConditional && options.ifMatch !== undefined ? { IfMatch: options.ifMatch } : {}),
    };
    const partBytes = Math.max(this.#partBytes, Math.ceil((options.bytes ?? 0) / MAX_PARTS));
    const parts = inParts(content, partBytes);
    const first = (await parts.next()).value ?? Buffer.alloc(0);
    const second = first.length < partBytes ? undefined : (await parts.next()).value;
    try {
      if (second === undefined) await this.#putWhole(key, first, options, condition);
      else await this.#putParts(key, chain([first, second], parts), options, condition);
    } catch (error) {
      options.signal?.throwIfAborted();
      if (statusOf(error) === 412) throw options.ifMatch === undefined ? alreadyExists(key) : stale(key);
      // Of an absent object there is no state to match.
      if (statusOf(error) === 404 && options.ifMatch !== undefined) throw stale(key);
      throw wrap(error, this.describe());
    }
    const info = await this.head(key);
    if (info === null) throw notFound(key, this.describe());
    return info;
  }

  async #putWhole(key: string, body: Buffer, options: PutOptions, condition: object): Promise<void> {
    const sha256 = createHash("sha256").update(body).digest("hex");
    const md5 = createHash("md5").update(body).digest();
    assertDigest(key, options.sha256, sha256);
    await retryRaces(() =>
      this.#client.send(
        new PutObjectCommand({
          Bucket: this.#bucket,
          Key: key,
          Body: body,
          ContentMD5: md5.toString("base64"),
          Metadata: { ...options.metadata, sha256, md5: md5.toString("hex"), size: String(body.length) },
          ...condition,
        }),
        abortWith(options.signal),
      ),
    );
    options.onBytes?.(body.length);
  }

  /**
   * Metadata is fixed when an upload begins, before the content is known: digests of large objects are therefore asked of the caller
   * (`sha256`), or travel in a small object beside it, `{key}.digest`, that is written before the upload completes.
   */
  async #putParts(key: string, parts: AsyncIterable<Buffer>, options: PutOptions, condition: object): Promise<void> {
    const target = { Bucket: this.#bucket, Key: key };
    const known = options.sha256 === undefined ? null : await this.#findUpload(key, options.sha256);
    const uploadId =
      known?.uploadId ??
      (
        await this.#client.send(
          new CreateMultipartUploadCommand({
            ...target,
            Metadata: {
              ...options.metadata,
              ...(options.sha256 === undefined ? {} : { sha256: options.sha256.toLowerCase() }),
            },
          }),
        )
      ).UploadId!;
    const [sha256, md5] = [createHash("sha256"), createHash("md5")];
    const done: { PartNumber: number; ETag: string }[] = [];
    const running = new Set<Promise<void>>();
    let number = 0;
    let sent = 0;
    let failure: unknown = null;
    try {
      for await (const part of parts) {
        options.signal?.throwIfAborted();
        if (failure !== null) break;
        sha256.update(part);
        md5.update(part);
        const partNumber = ++number;
        const partMd5 = createHash("md5").update(part).digest();
        const arrived = known?.parts.get(partNumber);
        if (arrived?.etag === partMd5.toString("hex")) {
          done.push({ PartNumber: partNumber, ETag: `"${arrived.etag}"` });
          sent += part.length;
          options.onBytes?.(sent);
          continue;
        }
        const upload = this.#client
          .send(
            new UploadPartCommand({
              ...target,
              UploadId: uploadId,
              PartNumber: partNumber,
              Body: part,
              ContentMD5: partMd5.toString("base64"),
            }),
            abortWith(options.signal),
          )
          .then(({ ETag }) => {
            done.push({ PartNumber: partNumber, ETag: ETag ?? `"${partMd5.toString("hex")}"` });
            sent += part.length;
            options.onBytes?.(sent);
          })
          .catch((error: unknown) => {
            failure ??= error;
          })
          .finally(() => running.delete(upload));
        running.add(upload);
        if (running.size >= PARTS_IN_FLIGHT) await Promise.race(running);
      }
      await Promise.all(running);
      if (failure !== null) throw failure;
      const digest = sha256.digest("hex");
      assertDigest(key, options.sha256, digest);
      done.sort((a, b) => a.PartNumber - b.PartNumber);
      await this.#putWhole(
        digestKey(key),
        Buffer.from(JSON.stringify({ sha256: digest, md5: md5.digest("hex"), bytes: sent })),
        {},
        {},
      );
      await retryRaces(() =>
        this.#client.send(
          new CompleteMultipartUploadCommand({
            ...target,
            UploadId: uploadId,
            MultipartUpload: { Parts: done },
            ...condition,
          }),
        ),
      );
    } catch (error) {
      await Promise.allSettled(running);
      // An upload whose content is known by digest can go on later; any other would only cost space.
      const isKept = options.sha256 !== undefined && statusOf(error) !== 412 && !HubError.isInstance(error);
      if (!isKept) {
        await this.#client.send(new AbortMultipartUploadCommand({ ...target, UploadId: uploadId })).catch(() => {});
      }
      throw error;
    }
  }

  /** An unfinished upload of the same key, and which parts of it arrived. */
  async #findUpload(
    key: string,
    _sha256: string,
  ): Promise<{ uploadId: string; parts: Map<number, { etag: string }> } | null> {
    const { Uploads = [] } = await this.#client.send(
      new ListMultipartUploadsCommand({ Bucket: this.#bucket, Prefix: key }),
    );
    const upload = Uploads.filter((candidate) => candidate.Key === key).at(-1);
    if (upload?.UploadId === undefined) return null;
    const parts = new Map<number, { etag: string }>();
    let marker: string | undefined;
    do {
      const page = await this.#client.send(
        new ListPartsCommand({ Bucket: this.#bucket, Key: key, UploadId: upload.UploadId, PartNumberMarker: marker }),
      );
      for (const { PartNumber, ETag } of page.Parts ?? []) {
        if (PartNumber !== undefined) parts.set(PartNumber, { etag: (ETag ?? "").replaceAll('"', "") });
      }
      marker = page.IsTruncated === true ? page.NextPartNumberMarker : undefined;
    } while (marker !== undefined);
    return { uploadId: upload.UploadId, parts };
  }

  async head(key: string): Promise<ObjectInfo | null> {
    assertKey(key);
    try {
      const found = await this.#client.send(new HeadObjectCommand({ Bucket: this.#bucket, Key: key }));
      const { sha256, md5, size, ...metadata } = found.Metadata ?? {};
      const etag = found.ETag ?? "";
      let digests = { sha256: sha256 ?? null, md5: md5 ?? null };
      // `-N` marks a multipart upload, whose digests lie beside it.
      if (digests.md5 === null && /-\d+"?$/.test(etag))
        digests = { ...digests, ...(await this.#readDigest(key, found.ContentLength ?? 0)) };
      return {
        key,
        bytes: found.ContentLength ?? 0,
        etag,
        modifiedAt: (found.LastModified ?? new Date(0)).toISOString(),
        ...digests,
        metadata,
      };
    } catch (error) {
      if (statusOf(error) === 404) return null;
      throw wrap(error, this.describe());
    }
  }

  async #readDigest(key: string, bytes: number): Promise<{ sha256: string; md5: string } | Record<string, never>> {
    try {
      const found = await this.#client.send(new GetObjectCommand({ Bucket: this.#bucket, Key: digestKey(key) }));
      const digest = JSON.parse((await found.Body?.transformToString()) ?? "{}") as {
        sha256: string;
        md5: string;
        bytes: number;
      };
      return digest.bytes === bytes ? { sha256: digest.sha256, md5: digest.md5 } : {};
    } catch (error) {
      if (statusOf(error) === 404) return {};
      throw error;
    }
  }

  async get(
    key: string,
    { range, signal }: { range?: { start: number; end?: number }; signal?: AbortSignal } = {},
  ): Promise<{ info: ObjectInfo; body: AsyncIterable<Uint8Array> }> {
    const info = await this.head(key);
    if (info === null) throw notFound(key, this.describe());
    try {
      const { Body } = await this.#client.send(
        new GetObjectCommand({
          Bucket: this.#bucket,
          Key: key,
          ...(range === undefined
            ? {}
            : { Range: `bytes=${range.start}-${range.end === undefined ? "" : range.end - 1}` }),
        }),
        abortWith(signal),
      );
      const body = (Body ?? []) as unknown as AsyncIterable<Uint8Array>;
      return { info, body: range === undefined ? verified(body, info) : body };
    } catch (error) {
      signal?.throwIfAborted();
      if (statusOf(error) === 404) throw notFound(key, this.describe());
      throw wrap(error, this.describe());
    }
  }

  async *list(prefix: string): AsyncIterable<ObjectInfo> {
    let token: string | undefined;
    do {
      const page = await this.#client.send(
        new ListObjectsV2Command({ Bucket: this.#bucket, Prefix: prefix, ContinuationToken: token }),
      );
      for (const { Key } of page.Contents ?? []) {
        if (Key === undefined || Key.endsWith(DIGEST)) continue;
        const info = await this.head(Key);
        if (info !== null) yield info;
      }
      token = page.IsTruncated === true ? page.NextContinuationToken : undefined;
    } while (token !== undefined);
  }

  async delete(key: string): Promise<void> {
    assertKey(key);
    await this.#client.send(new DeleteObjectCommand({ Bucket: this.#bucket, Key: key }));
    await this.#client.send(new DeleteObjectCommand({ Bucket: this.#bucket, Key: digestKey(key) }));
  }

  async copy(from: string, to: string): Promise<ObjectInfo> {
    assertKey(to);
    const info = await this.head(from);
    if (info === null) throw notFound(from, this.describe());
    await this.#client.send(
      new CopyObjectCommand({
        Bucket: this.#bucket,
        Key: to,
        CopySource: `${this.#bucket}/${from.split("/").map(encodeURIComponent).join("/")}`,
        // A copy is no multipart object any more, so its digests go into its own metadata.
        MetadataDirective: "REPLACE",
        Metadata: {
          ...info.metadata,
          ...(info.sha256 === null ? {} : { sha256: info.sha256 }),
          ...(info.md5 === null ? {} : { md5: info.md5 }),
          size: String(info.bytes),
        },
      }),
    );
    return (await this.head(to))!;
  }
}

const DIGEST = ".digest";
const digestKey = (key: string): string => `${key}${DIGEST}`;

function assertDigest(key: string, expected: string | undefined, actual: string): void {
  if (expected === undefined || expected.toLowerCase() === actual) return;
  throw new HubError({
    code: "INTEGRITY",
    message: `"${key}" has SHA-256 ${actual}, expected ${expected}. Nothing was stored.`,
    details: { key, expected, actual },
  });
}

/** Cuts content into parts of exactly `size` bytes, the last shorter; at least one, empty for empty content. */
async function* inParts(content: Content, size: number): AsyncGenerator<Buffer, undefined> {
  let part = Buffer.allocUnsafe(size);
  let filled = 0;
  let count = 0;
  for await (const piece of pieces(content)) {
    for (let at = 0; at < piece.length; ) {
      const taken = Math.min(size - filled, piece.length - at);
      part.set(piece.subarray(at, at + taken), filled);
      filled += taken;
      at += taken;
      if (filled < size) continue;
      yield part;
      count++;
      part = Buffer.allocUnsafe(size);
      filled = 0;
    }
  }
  if (filled > 0 || count === 0) yield part.subarray(0, filled);
}

async function* chain(head: readonly Buffer[], rest: AsyncIterable<Buffer>): AsyncIterable<Buffer> {
  yield* head;
  yield* rest;
}

const abortWith = (signal: AbortSignal | undefined): { abortSignal?: AbortSignal } =>
  signal === undefined ? {} : { abortSignal: signal };

async function retryRaces<T>(send: () => Promise<T>): Promise<T> {
  for (let race = 1; ; race++) {
    try {
      return await send();
    } catch (error) {
      if (statusOf(error) !== 409 || race >= MAX_RACES) throw error;
    }
  }
}

const statusOf = (error: unknown): number | undefined =>
  (error as { $metadata?: { httpStatusCode?: number } }).$metadata?.httpStatusCode;

/** An error of the SDK in our words; its text holds no credentials. */
function wrap(error: unknown, where: string): unknown {
  if (HubError.isInstance(error)) return error;
  const { name, message } = error as Error;
  const status = statusOf(error);
  const code =
    name === "BadDigest"
      ? "INTEGRITY"
      : status === 403
        ? "FORBIDDEN"
        : status === 404
          ? "NOT_FOUND"
          : "SOURCE_UNAVAILABLE";
  return new HubError({ code, message: `${where}: ${name}: ${message}`, cause: error, details: { status, name } });
}
