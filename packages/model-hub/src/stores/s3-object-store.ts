import { createHash, type Hash, randomBytes } from "node:crypto";
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
/** Hashed in about 5 ms. */
const TURN_BYTES = 1 << 20;
/** A race of two conditional writers (409) is decided by trying again. */
const MAX_RACES = 5;
/** Answers about one object that contradict themselves before the last one is taken as it is. */
const MAX_LOOKS = 5;

/** Our own objects: digests of large ones, notes on unfinished uploads, the probe. No key may start so. */
const OWN = ".seg/";

/** Serialises conditional writes where the server does not; an SQL lock in production. */
export interface StoreLock {
  withLock<T>(key: string, work: () => Promise<T>): Promise<T>;
}

/**
 * An S3-compatible bucket. Integrity rests on our own metadata (`x-amz-meta-sha256`, `-md5`, `-size`), never on ETags: of a multipart or
 * encrypted object an ETag is no digest of its content. Large uploads go in parts; an interrupted one whose SHA-256 the caller knows continues
 * with the parts that arrived.
 *
 * Metadata is fixed when an upload in parts begins, before its content was read. What is known only at its end lies in
 * `.seg/digests/<key's hash>/<id>`, written before the upload completes, where `id` is in the object's metadata: whenever a writer dies, every
 * object has the digests of its own content. `.seg/uploads/<key's hash>` names the unfinished upload of a key and what its content will be.
 */
export class S3ObjectStore implements ObjectStore {
  readonly #client: S3Client;
  readonly #bucket: string;
  readonly #endpoint: string;
  readonly #partBytes: number;
  readonly #lock: StoreLock | null;
  /**
   * Without TLS the SDK signs the SHA-256 of what it sends, and the server compares it; an MD5 of each part would say the same again. With TLS
   * it does not, so the MD5 goes with each part.
   */
  readonly #signsContent: boolean;
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
    this.#signsContent = new URL(endpoint).protocol === "http:";
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
      // Of this store alone: two that start at once must not delete each other's.
      const key = `${OWN}probe-${randomBytes(8).toString("hex")}`;
      const put = () =>
        this.#client.send(new PutObjectCommand({ Bucket: this.#bucket, Key: key, Body: "probe", IfNoneMatch: "*" }));
      try {
        await put();
        return await put().then(
          () => false,
          (error: unknown) => {
            if (statusOf(error) === 412) return true;
            throw error;
          },
        );
      } catch (error) {
        // The next caller asks again.
        this.#conditional = null;
        throw wrap(error, this.describe());
      } finally {
        await this.#remove(key).catch(() => {});
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
    // Memory of parts that have arrived is filled again.
    const free: Buffer[] = [];
    const parts = inParts(content, partBytes, () => free.pop() ?? Buffer.allocUnsafe(partBytes));
    const first = (await parts.next()).value ?? Buffer.alloc(0);
    const second = first.length < partBytes ? undefined : (await parts.next()).value;
    try {
      const previous = options.ifAbsent === true ? null : await this.#digestId(key);
      if (second === undefined) await this.#putWhole(key, first, options, condition);
      else await this.#putParts(key, chain([first, second], parts), options, condition, (part) => free.push(part));
      if (previous !== null) await this.#remove(digestKey(key, previous));
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

  /** @param release - takes parts that nobody reads any more */
  async #putParts(
    key: string,
    parts: AsyncIterable<Buffer>,
    options: PutOptions,
    condition: object,
    release: (part: Buffer) => void,
  ): Promise<void> {
    const target = { Bucket: this.#bucket, Key: key };
    const { sha256: expected, signal, onBytes } = options;
    const { uploadId, id, arrived } = (await this.#findUpload(key, options)) ?? (await this.#beginUpload(key, options));
    const [sha256, md5] = [createHash("sha256"), createHash("md5")];
    const done: { PartNumber: number; ETag: string }[] = [];
    const running = new Set<Promise<void>>();
    let number = 0;
    let sent = 0;
    let failure: unknown = null;
    const arrives = (PartNumber: number, ETag: string, part: Buffer) => {
      done.push({ PartNumber, ETag });
      sent += part.length;
      onBytes?.(sent);
      release(part);
    };
    try {
      for await (const part of parts) {
        signal?.throwIfAborted();
        if (failure !== null) break;
        const partNumber = ++number;
        const partMd5 = this.#signsContent && !arrived.has(partNumber) ? null : await md5InTurns(part);
        const isThere = partMd5 !== null && arrived.get(partNumber) === partMd5.toString("hex");
        // The whole is hashed while the part is on its way.
        const sending = isThere
          ? Promise.resolve({ ETag: undefined })
          : this.#client.send(
              new UploadPartCommand({
                ...target,
                UploadId: uploadId,
                PartNumber: partNumber,
                Body: part,
                ...(partMd5 === null ? {} : { ContentMD5: partMd5.toString("base64") }),
              }),
              abortWith(signal),
            );
        const hashing = hashInTurns([sha256, md5], part);
        const upload = Promise.all([sending, hashing])
          .then(async ([{ ETag }]) =>
            arrives(partNumber, ETag ?? `"${(partMd5 ?? (await md5InTurns(part))).toString("hex")}"`, part),
          )
          .catch((error: unknown) => {
            failure ??= error;
          })
          .finally(() => running.delete(upload));
        running.add(upload);
        await hashing;
        if (running.size >= PARTS_IN_FLIGHT) await Promise.race(running);
      }
      await Promise.all(running);
      if (failure !== null) throw failure;
      const digests = { sha256: sha256.digest("hex"), md5: md5.digest("hex") };
      assertDigest(key, expected, digests.sha256);
      done.sort((a, b) => a.PartNumber - b.PartNumber);
      await this.#write(digestKey(key, id), { key, ...digests, bytes: sent });
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
      if (expected !== undefined) await this.#remove(uploadKey(key));
    } catch (error) {
      await Promise.allSettled(running);
      // An upload whose content is known by digest can go on later; any other would only cost space.
      const isKept = expected !== undefined && statusOf(error) !== 412 && !HubError.isInstance(error);
      if (!isKept) {
        await this.#client.send(new AbortMultipartUploadCommand({ ...target, UploadId: uploadId })).catch(() => {});
        await this.#remove(digestKey(key, id)).catch(() => {});
        if (expected !== undefined) await this.#remove(uploadKey(key)).catch(() => {});
      }
      if (isNoUpload(error) && expected !== undefined && (await this.head(key))?.sha256 === expected.toLowerCase()) {
        // Another process went on with the same upload and completed it.
        if (options.ifAbsent === true) throw alreadyExists(key);
        return;
      }
      throw error;
    }
  }

  async #beginUpload(key: string, { sha256, metadata }: PutOptions): Promise<Upload> {
    const id = randomBytes(8).toString("hex");
    const { UploadId } = await this.#client.send(
      new CreateMultipartUploadCommand({
        Bucket: this.#bucket,
        Key: key,
        Metadata: { ...metadata, ...(sha256 === undefined ? {} : { sha256: sha256.toLowerCase() }), "digest-id": id },
      }),
    );
    const uploadId = UploadId!;
    if (sha256 !== undefined)
      await this.#write(uploadKey(key), { key, uploadId, id, ...intentOf({ sha256, metadata }) });
    return { uploadId, id, arrived: new Map() };
  }

  /** The unfinished upload of the same content with the same metadata to the same key, and which parts of it arrived. */
  async #findUpload(key: string, options: PutOptions): Promise<Upload | null> {
    if (options.sha256 === undefined) return null;
    const note = await this.#read(uploadKey(key));
    const intent = intentOf(options);
    if (note === null || note["sha256"] !== intent.sha256 || note["metadata"] !== intent.metadata) return null;
    const uploadId = String(note["uploadId"]);
    const arrived = new Map<number, string>();
    let marker: string | undefined;
    try {
      do {
        const page = await this.#client.send(
          new ListPartsCommand({ Bucket: this.#bucket, Key: key, UploadId: uploadId, PartNumberMarker: marker }),
        );
        for (const { PartNumber, ETag } of page.Parts ?? []) {
          if (PartNumber !== undefined) arrived.set(PartNumber, (ETag ?? "").replaceAll('"', ""));
        }
        marker = page.IsTruncated === true ? page.NextPartNumberMarker : undefined;
      } while (marker !== undefined);
    } catch (error) {
      // Completed or aborted since.
      if (statusOf(error) === 404) return null;
      throw error;
    }
    return { uploadId, id: String(note["id"]), arrived };
  }

  async #write(key: string, value: object): Promise<void> {
    await this.#putWhole(key, Buffer.from(JSON.stringify(value)), {}, {});
  }

  /** One of our own objects; null when absent. */
  async #read(key: string): Promise<Readonly<Record<string, unknown>> | null> {
    try {
      const { Body } = await this.#client.send(new GetObjectCommand({ Bucket: this.#bucket, Key: key }));
      return JSON.parse((await Body?.transformToString()) ?? "{}") as Record<string, unknown>;
    } catch (error) {
      if (statusOf(error) === 404) return null;
      throw error;
    }
  }

  async #remove(key: string): Promise<void> {
    await this.#client.send(new DeleteObjectCommand({ Bucket: this.#bucket, Key: key }));
  }

  /** Where the digests of the present object of a key lie; null for small objects and those of others. */
  async #digestId(key: string): Promise<string | null> {
    try {
      const { Metadata } = await this.#client.send(new HeadObjectCommand({ Bucket: this.#bucket, Key: key }));
      return Metadata?.["digest-id"] ?? null;
    } catch (error) {
      if (statusOf(error) === 404) return null;
      throw error;
    }
  }

  async head(key: string): Promise<ObjectInfo | null> {
    assertKey(key);
    for (let look = 1; ; look++) {
      const found = await this.#look(key);
      // Seen: a server that answers with the length of the replaced object and the metadata of the new one.
      if (found === null || found.isConsistent || look >= MAX_LOOKS) return found?.info ?? null;
    }
  }

  async #look(key: string): Promise<{ info: ObjectInfo; isConsistent: boolean } | null> {
    try {
      const found = await this.#client.send(new HeadObjectCommand({ Bucket: this.#bucket, Key: key }));
      const { sha256 = null, md5 = null, size, "digest-id": id, ...metadata } = found.Metadata ?? {};
      const beside = md5 === null && id !== undefined ? await this.#read(digestKey(key, id)) : null;
      const bytes = found.ContentLength ?? 0;
      const info = {
        key,
        bytes,
        etag: found.ETag ?? "",
        modifiedAt: (found.LastModified ?? new Date(0)).toISOString(),
        sha256: (beside?.["sha256"] as string | undefined) ?? sha256,
        md5: (beside?.["md5"] as string | undefined) ?? md5,
        metadata,
      };
      const stated = beside?.["bytes"] ?? size;
      return { info, isConsistent: stated === undefined || Number(stated) === bytes };
    } catch (error) {
      if (statusOf(error) === 404) return null;
      throw wrap(error, this.describe());
    }
  }

  async get(
    key: string,
    { range, signal }: { range?: { start: number; end?: number }; signal?: AbortSignal } = {},
  ): Promise<{ info: ObjectInfo; body: AsyncIterable<Uint8Array> }> {
    for (;;) {
      const info = await this.head(key);
      if (info === null) throw notFound(key, this.describe());
      try {
        const { Body } = await this.#client.send(
          new GetObjectCommand({
            Bucket: this.#bucket,
            Key: key,
            // Digests and content of one object, whatever happens to its key in between.
            ...(info.etag === "" ? {} : { IfMatch: info.etag }),
            ...(range === undefined
              ? {}
              : { Range: `bytes=${range.start}-${range.end === undefined ? "" : range.end - 1}` }),
          }),
          abortWith(signal),
        );
        const body = this.#body((Body ?? []) as unknown as AsyncIterable<Uint8Array>, signal);
        return { info, body: range === undefined ? verified(body, info) : body };
      } catch (error) {
        signal?.throwIfAborted();
        if (statusOf(error) === 412) continue;
        if (statusOf(error) === 404) throw notFound(key, this.describe());
        throw wrap(error, this.describe());
      }
    }
  }

  /** A connection that breaks in the middle is an error of ours too. */
  async *#body(body: AsyncIterable<Uint8Array>, signal: AbortSignal | undefined): AsyncIterable<Uint8Array> {
    try {
      yield* body;
    } catch (error) {
      signal?.throwIfAborted();
      throw wrap(error, this.describe());
    }
  }

  async *list(prefix: string): AsyncIterable<ObjectInfo> {
    let token: string | undefined;
    do {
      const page = await this.#wrapped(
        this.#client.send(new ListObjectsV2Command({ Bucket: this.#bucket, Prefix: prefix, ContinuationToken: token })),
      );
      for (const { Key } of page.Contents ?? []) {
        if (Key === undefined || Key.startsWith(OWN)) continue;
        const info = await this.head(Key);
        if (info !== null) yield info;
      }
      token = page.IsTruncated === true ? page.NextContinuationToken : undefined;
    } while (token !== undefined);
  }

  async delete(key: string): Promise<void> {
    assertKey(key);
    await this.#wrapped(
      (async () => {
        const id = await this.#digestId(key);
        await this.#remove(key);
        if (id !== null) await this.#remove(digestKey(key, id));
      })(),
    );
  }

  async copy(from: string, to: string): Promise<ObjectInfo> {
    assertKey(to);
    const info = await this.head(from);
    if (info === null) throw notFound(from, this.describe());
    await this.#wrapped(
      this.#client.send(
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
      ),
    );
    const copied = await this.head(to);
    if (copied === null) throw notFound(to, this.describe());
    return copied;
  }

  async #wrapped<Answer>(work: Promise<Answer>): Promise<Answer> {
    try {
      return await work;
    } catch (error) {
      throw wrap(error, this.describe());
    }
  }
}

/** An upload in parts that is not complete. */
interface Upload {
  readonly uploadId: string;
  /** Of its digests. */
  readonly id: string;
  /** Part number -> MD5. */
  readonly arrived: ReadonlyMap<number, string>;
}

const hashOf = (key: string): string => createHash("sha256").update(key).digest("hex").slice(0, 32);
const digestKey = (key: string, id: string): string => `${OWN}digests/${hashOf(key)}/${id}`;
const uploadKey = (key: string): string => `${OWN}uploads/${hashOf(key)}`;

/** What an upload was begun for; only the same may go on with it. */
const intentOf = ({ sha256 = "", metadata = {} }: PutOptions): { sha256: string; metadata: string } => ({
  sha256: sha256.toLowerCase(),
  metadata: JSON.stringify(Object.entries(metadata).sort()),
});

const isNoUpload = (error: unknown): boolean => (error as Error).name === "NoSuchUpload";

function assertDigest(key: string, expected: string | undefined, actual: string): void {
  if (expected === undefined || expected.toLowerCase() === actual) return;
  throw new HubError({
    code: "INTEGRITY",
    message: `"${key}" has SHA-256 ${actual}, expected ${expected}. Nothing was stored.`,
    details: { key, expected, actual },
  });
}

/** Cuts content into parts of exactly `size` bytes, the last shorter; at least one, empty for empty content. */
async function* inParts(content: Content, size: number, take: () => Buffer): AsyncGenerator<Buffer, undefined> {
  let part = take();
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
      part = take();
      filled = 0;
    }
  }
  if (filled > 0 || count === 0) yield part.subarray(0, filled);
}

/** Hashes a part a piece at a time, so that what is being sent meanwhile goes on: between two pieces the event loop turns. */
async function hashInTurns(hashes: readonly Hash[], part: Buffer): Promise<void> {
  for (let at = 0; at < part.length; at += TURN_BYTES) {
    const piece = part.subarray(at, at + TURN_BYTES);
    for (const hash of hashes) hash.update(piece);
    await new Promise(setImmediate);
  }
}

async function md5InTurns(part: Buffer): Promise<Buffer> {
  const hash = createHash("md5");
  await hashInTurns([hash], part);
  return hash.digest();
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
    name === "BadDigest" || name === "XAmzContentSHA256Mismatch"
      ? "INTEGRITY"
      : status === 403
        ? "FORBIDDEN"
        : status === 404
          ? "NOT_FOUND"
          : "SOURCE_UNAVAILABLE";
  return new HubError({ code, message: `${where}: ${name}: ${message}`, cause: error, details: { status, name } });
}
