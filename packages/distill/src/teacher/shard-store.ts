import { createHash } from "node:crypto";
import {
  closeSync,
  existsSync,
  fstatSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { writeFileAtomic } from "@seg/nn";
import { CacheCorruptError, CacheKeyMismatchError } from "../errors.js";

/** Begins every entry, so that shards can be read without the index. */
const MAGIC = Buffer.from("segkd002", "latin1");
const KEY_BYTES = 32;
const DIGEST_BYTES = 32;
/** Magic, key, length of the content (uint32 LE). */
const HEAD_BYTES = MAGIC.length + KEY_BYTES + 4;
/** Entries of a full shard: some ten megabytes, so that a copy or a loss concerns a part. */
const SHARD_ENTRIES = 256;
/** Entries between two syncs: what a power failure may cost. A killed process loses none. */
const SYNC_ENTRIES = 16;
/** Entries between two versions of the index; what it does not list yet is found by reading the shards. */
const INDEX_ENTRIES = 64;

const FORMAT = "seg-teacher-cache-2";
const INDEX = "index.json";

/** Where an entry lies. */
interface Place {
  readonly shard: string;
  readonly offset: number;
  /** Bytes of the whole entry. */
  readonly length: number;
  /** SHA-256 of all bytes before the checksum, hex. */
  readonly sha256: string;
}

interface IndexFile {
  readonly format: string;
  readonly owners: Readonly<Record<string, string>>;
  /** Bytes of each shard that the entries cover. */
  readonly shards: Readonly<Record<string, number>>;
  readonly entries: Readonly<Record<string, Place>>;
}

const digestOf = (bytes: Uint8Array): Buffer => createHash("sha256").update(bytes).digest();

/**
 * Content-addressed entries in append-only files: `shard-00000.bin` and so on, with `index.json` beside them. An entry carries its key and a SHA-256, so the index
 * is only a shortcut: a process that was killed leaves whole entries, which the next one finds, and at most one cut short, which it does not. Every writing process
 * fills shards of its own, so two may build one cache at a time. Nothing is kept in memory but the places.
 */
export class ShardStore {
  readonly dir: string;
  readonly #owners: Record<string, string>;
  readonly #places: Map<string, Place>;
  readonly #covered: Map<string, number>;
  readonly #files = new Map<string, number>();
  #open: { name: string; file: number; entries: number; size: number } | null = null;
  #unsynced = 0;
  #unlisted = 0;

  /**
   * @param owners - who wrote the entries, by kind; kept in the index, which takes one owner of each kind
   * @throws CacheKeyMismatchError for another owner of a kind that the index knows
   */
  constructor({ dir, owners }: { dir: string; owners: Readonly<Record<string, string>> }) {
    this.dir = dir;
    mkdirSync(dir, { recursive: true });
    const index = readIndex(dir);
    for (const [kind, owner] of Object.entries(owners)) {
      const known = index?.owners[kind] ?? owner;
      if (known !== owner) throw new CacheKeyMismatchError({ dir, expected: owner, actual: known });
    }
    this.#owners = { ...index?.owners, ...owners };
    this.#places = new Map(Object.entries(index?.entries ?? {}));
    this.#covered = new Map(Object.entries(index?.shards ?? {}));
    for (const name of readdirSync(dir)
      .filter((file) => /^shard-\d+\.bin$/.test(file))
      .sort())
      this.#scan(name);
    const isNew = Object.keys(this.#owners).some((kind) => index?.owners[kind] === undefined);
    if (index === null || isNew || this.#unlisted > 0) this.#writeIndex();
  }

  /** Number of entries. */
  get size(): number {
    return this.#places.size;
  }

  has(key: string): boolean {
    return this.#places.has(key);
  }

  /**
   * The content under a key, or null. The checksum is compared with every read.
   * @throws CacheCorruptError
   */
  read(key: string): Buffer | null {
    const place = this.#places.get(key);
    if (place === undefined) return null;
    const { shard, offset, length, sha256 } = place;
    const fail = (reason: string): never => {
      throw new CacheCorruptError({ file: `${join(this.dir, shard)} at byte ${offset}`, reason });
    };
    if (!(length >= HEAD_BYTES + DIGEST_BYTES)) return fail(`an entry of ${length} bytes`);
    const bytes = Buffer.alloc(length);
    const read = this.#readAt(shard, bytes, offset);
    if (read < length) return fail(`it ends after ${read} of ${length} bytes`);
    const body = bytes.subarray(0, length - DIGEST_BYTES);
    const digest = digestOf(body);
    if (digest.toString("hex") !== sha256 || !digest.equals(bytes.subarray(body.length)))
      return fail("the checksum differs");
    if (body.subarray(MAGIC.length, MAGIC.length + KEY_BYTES).toString("hex") !== key)
      return fail("it belongs to another key");
    return body.subarray(HEAD_BYTES);
  }

  /** Whether a key is there and its bytes are whole; a damaged entry counts as absent. */
  isValid(key: string): boolean {
    try {
      return this.read(key) !== null;
    } catch (error) {
      if (error instanceof CacheCorruptError) return false;
      throw error;
    }
  }

  /** Appends an entry; it replaces an earlier one of this key. Durable after {@link ShardStore.flush}. */
  write(key: string, content: Uint8Array): void {
    const shard = this.#writable();
    const head = Buffer.alloc(HEAD_BYTES);
    MAGIC.copy(head);
    head.write(key, MAGIC.length, KEY_BYTES, "hex");
    head.writeUInt32LE(content.length, MAGIC.length + KEY_BYTES);
    const digest = createHash("sha256").update(head).update(content).digest();
    const bytes = Buffer.concat([head, content, digest]);
    for (let at = 0; at < bytes.length; ) at += writeSync(shard.file, bytes, at, bytes.length - at, shard.size + at);
    this.#places.set(key, {
      shard: shard.name,
      offset: shard.size,
      length: bytes.length,
      sha256: digest.toString("hex"),
    });
    shard.size += bytes.length;
    shard.entries += 1;
    this.#covered.set(shard.name, shard.size);
    this.#unsynced += 1;
    this.#unlisted += 1;
    if (this.#unsynced >= SYNC_ENTRIES) this.#sync();
    if (this.#unlisted >= INDEX_ENTRIES) this.#writeIndex();
  }

  /** Makes everything durable and lists it. */
  flush(): void {
    this.#sync();
    if (this.#unlisted > 0) this.#writeIndex();
  }

  /** {@link ShardStore.flush}, then closes the files; a later read opens them again. */
  close(): void {
    this.flush();
    if (this.#open !== null) closeSync(this.#open.file);
    this.#open = null;
    for (const file of this.#files.values()) closeSync(file);
    this.#files.clear();
  }

  #sync(): void {
    if (this.#open !== null && this.#unsynced > 0) fsyncSync(this.#open.file);
    this.#unsynced = 0;
  }

  #writeIndex(): void {
    // What the index lists must be on the disk first.
    this.#sync();
    const sorted = <T>(map: ReadonlyMap<string, T>) =>
      Object.fromEntries([...map].sort(([a], [b]) => (a < b ? -1 : 1)));
    const index: IndexFile = {
      format: FORMAT,
      owners: this.#owners,
      shards: sorted(this.#covered),
      entries: sorted(this.#places),
    };
    writeFileAtomic(join(this.dir, INDEX), [Buffer.from(`${JSON.stringify(index)}\n`)]);
    this.#unlisted = 0;
  }

  #readAt(shard: string, into: Buffer, offset: number): number {
    let file = this.#files.get(shard);
    if (file === undefined) {
      const path = join(this.dir, shard);
      if (!existsSync(path)) return 0;
      file = openSync(path, "r");
      this.#files.set(shard, file);
    }
    let read = 0;
    while (read < into.length) {
      const part = readSync(file, into, read, into.length - read, offset + read);
      if (part === 0) break;
      read += part;
    }
    return read;
  }

  /** Entries that a killed process left behind the part that the index covers, up to the first that is not whole. */
  #scan(name: string): void {
    const head = Buffer.alloc(HEAD_BYTES);
    let offset = this.#covered.get(name) ?? 0;
    for (;;) {
      if (this.#readAt(name, head, offset) < HEAD_BYTES || !head.subarray(0, MAGIC.length).equals(MAGIC)) break;
      const length = HEAD_BYTES + head.readUInt32LE(MAGIC.length + KEY_BYTES) + DIGEST_BYTES;
      const size = fstatSync(this.#files.get(name)!).size;
      if (offset + length > size) break;
      const bytes = Buffer.alloc(length);
      this.#readAt(name, bytes, offset);
      const body = bytes.subarray(0, length - DIGEST_BYTES);
      const digest = digestOf(body);
      if (!digest.equals(bytes.subarray(body.length))) break;
      const key = head.subarray(MAGIC.length, MAGIC.length + KEY_BYTES).toString("hex");
      this.#places.set(key, { shard: name, offset, length, sha256: digest.toString("hex") });
      offset += length;
      this.#covered.set(name, offset);
      this.#unlisted += 1;
    }
  }

  #writable(): { name: string; file: number; entries: number; size: number } {
    if (this.#open !== null && this.#open.entries < SHARD_ENTRIES) return this.#open;
    this.#sync();
    if (this.#open !== null) closeSync(this.#open.file);
    for (let n = 0; ; n++) {
      const name = `shard-${String(n).padStart(5, "0")}.bin`;
      if (existsSync(join(this.dir, name))) continue;
      try {
        this.#open = { name, file: openSync(join(this.dir, name), "wx"), entries: 0, size: 0 };
        return this.#open;
      } catch (error) {
        // Another process took the name in between.
        if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
      }
    }
  }
}

/** The index, or null where it is absent, damaged or of another format: shards are read instead. */
function readIndex(dir: string): IndexFile | null {
  const path = join(dir, INDEX);
  if (!existsSync(path)) return null;
  try {
    const index = JSON.parse(readFileSync(path, "utf8")) as IndexFile;
    return index.format === FORMAT ? index : null;
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}
