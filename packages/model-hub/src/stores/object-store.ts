import { HubError } from "../errors.js";

/** What a store can promise. */
export interface StoreCapabilities {
  /** `ifAbsent` and `ifMatch` hold across processes. */
  readonly conditionalWrites: boolean;
  /** Who makes them hold when the server does not. */
  readonly fallbackLock: boolean;
}

export interface ObjectInfo {
  readonly key: string;
  readonly bytes: number;
  /** Opaque; changes with the content. Never a digest to rely on: of a multipart upload it is none. */
  readonly etag: string;
  readonly modifiedAt: string;
  /** From our own metadata; null for objects of others. */
  readonly sha256: string | null;
  readonly md5: string | null;
  readonly metadata: Readonly<Record<string, string>>;
}

export type Content = Uint8Array | AsyncIterable<Uint8Array>;

export interface PutOptions {
  /** Length of a stream; decides the size of parts. Found out by counting when absent. */
  readonly bytes?: number | undefined;
  /** Refused with `INTEGRITY` when the content has another digest. */
  readonly sha256?: string | undefined;
  /** Only if no object has this key, else `CONFLICT`. */
  readonly ifAbsent?: boolean | undefined;
  /** Only if the object still has this ETag, else `STALE`. */
  readonly ifMatch?: string | undefined;
  /** Lower-case names, printable ASCII values. */
  readonly metadata?: Readonly<Record<string, string>> | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onBytes?: ((doneBytes: number) => void) | undefined;
}

/** Objects by key: a folder or an S3-compatible server, with the same behaviour. */
export interface ObjectStore {
  put(key: string, content: Content, options?: PutOptions): Promise<ObjectInfo>;
  /** @throws {@link HubError} `NOT_FOUND`; while reading `INTEGRITY` when a whole object is not what was stored */
  get(
    key: string,
    options?: { range?: { start: number; end?: number }; signal?: AbortSignal },
  ): Promise<{ info: ObjectInfo; body: AsyncIterable<Uint8Array> }>;
  /** Null when absent. */
  head(key: string): Promise<ObjectInfo | null>;
  /** By key, in order. */
  list(prefix: string): AsyncIterable<ObjectInfo>;
  /** Quiet when absent. */
  delete(key: string): Promise<void>;
  copy(from: string, to: string): Promise<ObjectInfo>;
  /** A URL that reads the object without credentials, for `expiresS` seconds. */
  presign?(key: string, options?: { expiresS?: number }): Promise<string>;
  capabilities(): Promise<StoreCapabilities>;
  /** For messages: the folder, or endpoint and bucket. */
  describe(): string;
}

/** A leading dot is the stores' own: `.staging` of a folder, `.seg` of a bucket. */
const KEY = /^[A-Za-z0-9!_*'()-][A-Za-z0-9!_.*'()/-]*$/;

/**
 * Returns `key` unchanged.
 * @throws {@link HubError} `INVALID_REQUEST` for a key outside `[A-Za-z0-9!_.*'()/-]`, above 1,024 bytes, with `..`, or starting with `/` or `.`
 */
export function assertKey(key: string): string {
  const isFine =
    KEY.test(key) && key.length <= 1024 && key.split("/").every((part) => part !== "" && part !== "." && part !== "..");
  if (isFine) return key;
  throw new HubError({
    code: "INVALID_REQUEST",
    message: `${JSON.stringify(key.slice(0, 80))} is no key: letters, digits and !_.*'()- in parts divided by "/", at most 1,024 bytes, no "..", no leading ".".`,
    details: { key: key.slice(0, 200), reason: "path-traversal" },
  });
}

/** Key of content by its digest: immutable. */
export const blobKey = (sha256: string): string => `blobs/sha256/${sha256.slice(0, 2)}/${sha256}`;

export const notFound = (key: string, where: string): HubError =>
  new HubError({ code: "NOT_FOUND", message: `${where} has no object "${key}".`, details: { key } });
export const alreadyExists = (key: string): HubError =>
  new HubError({
    code: "CONFLICT",
    message: `An object "${key}" exists already; it was not replaced.`,
    details: { key },
  });
export const stale = (key: string): HubError =>
  new HubError({ code: "STALE", message: `"${key}" was changed by somebody else; read it again.`, details: { key } });

/** Pieces of any content. */
export async function* pieces(content: Content): AsyncIterable<Uint8Array> {
  if (content instanceof Uint8Array) yield content;
  else yield* content;
}

/** All bytes of a body. */
export async function readAll(body: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of body) parts.push(part);
  return Buffer.concat(parts);
}
