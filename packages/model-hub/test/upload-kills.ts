import { createHash } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { listFiles } from "../src/cache/cache-folder.js";
import { FileObjectStore } from "../src/stores/file-object-store.js";
import { type ObjectStore, readAll } from "../src/stores/object-store.js";
import { S3ObjectStore } from "../src/stores/s3-object-store.js";
import { startByteProxy } from "./byte-proxy.js";
import type { PutResult, PutTask, StoreAddress } from "./put-child.js";
import { randomOf } from "./random-of.js";
import { answerOf, bundleProgram, startChild } from "./run-child.js";

/** What was left by processes that were killed while they stored an object. */
export interface UploadKills {
  readonly kills: number;
  /** Objects that were stored to the end. */
  readonly completed: number;
  /** Bytes that a process after a killed one did not have to send again. */
  readonly savedBytes: number;
  readonly violations: readonly string[];
}

const KEY = "models/one";
const PARTS = 10;
const sha256Of = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

/** One content after another, each in a file, each with another in every part. */
async function nextContent(root: string, round: number, partBytes: number) {
  const bytes = Buffer.alloc(partBytes * (PARTS - 1) + 12_345);
  for (let at = 0; at < bytes.length; at += partBytes)
    bytes.fill(`${round} ${at} `, at, Math.min(at + partBytes, bytes.length));
  const path = join(root, "content");
  await writeFile(path, bytes);
  return { bytes, path, sha256: sha256Of(bytes) };
}

/**
 * Starts processes that replace one object and kills each at a moment drawn by `seed`: over a folder before a call that changes files, over a
 * bucket when so many bytes were sent. The next process stores the same content. After each kill a reader must get all of the old or all of
 * the new content, with its digests, and see no other key.
 */
export async function killUploading({
  root,
  kills,
  bucket = null,
  seed = 1,
}: {
  root: string;
  kills: number;
  /** A bucket; else a folder below `root`. */
  bucket?: Extract<StoreAddress, { endpoint: string }> | null;
  seed?: number;
}): Promise<UploadKills> {
  const program = await bundleProgram("./put-child.ts");
  const random = randomOf(seed);
  const proxy = bucket === null ? null : await startByteProxy(bucket.endpoint);
  const folder = join(root, "store");
  const store: ObjectStore = bucket === null ? new FileObjectStore({ root: folder }) : new S3ObjectStore(bucket);
  if (store instanceof S3ObjectStore) await store.init();
  const address: StoreAddress = bucket === null ? { root: folder } : { ...bucket, endpoint: proxy!.url };
  const partBytes = bucket?.partBytes ?? 1 << 16;
  const violations: string[] = [];
  let killed = 0;
  let completed = 0;
  let savedBytes = 0;
  let old: string | null = null;
  let content = await nextContent(root, 0, partBytes);
  /** Steps or bytes of a process that is not killed. */
  let whole = 0;
  let wasKilled = false;
  for (;;) {
    const isLast = killed >= kills;
    // Every fifth may end, so that contents follow each other.
    const at = whole === 0 || isLast || random(5) === 0 ? null : 1 + random(whole);
    const task: PutTask = {
      store: address,
      key: KEY,
      path: content.path,
      sha256: content.sha256,
      killAt: proxy === null ? at : null,
    };
    const running = startChild(program, task);
    proxy?.arm(at ?? Number.POSITIVE_INFINITY, () => running.child.kill("SIGKILL"));
    const answer = await answerOf<PutResult>(running);
    if (answer === null) {
      killed++;
      wasKilled = true;
      const left = await findHalf(store, [old, content.sha256]);
      violations.push(...left.map((what) => `after kill ${killed}: ${what}`));
      continue;
    }
    completed++;
    const spent = proxy?.sent ?? answer.steps;
    if (whole === 0) whole = spent;
    if (wasKilled && proxy !== null) savedBytes += Math.max(0, whole - spent);
    if (answer.sha256 !== content.sha256 || answer.md5 === null) violations.push(`stored as ${JSON.stringify(answer)}`);
    violations.push(...(await findHalf(store, [content.sha256])));
    if (isLast) break;
    wasKilled = false;
    old = content.sha256;
    content = await nextContent(root, completed, partBytes);
  }
  await store.delete(KEY);
  if ((await keysOf(store)).length > 0 || (await store.head(KEY)) !== null) violations.push("the object stays");
  if (store instanceof S3ObjectStore) store.close();
  else {
    const described = (await listFiles(folder)).filter((path) => path.endsWith(".json"));
    violations.push(...described.map((path) => `${path} is left`));
  }
  await proxy?.close();
  return { kills: killed, completed, savedBytes, violations };
}

async function keysOf(store: ObjectStore): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of store.list("")) keys.push(key);
  return keys;
}

/** What a reader meets that is neither absent nor one of the contents, whole and with its own digests. */
async function findHalf(store: ObjectStore, allowed: readonly (string | null)[]): Promise<string[]> {
  const wrong = (await keysOf(store)).filter((key) => key !== KEY).map((key) => `the store shows ${key}`);
  if ((await store.head(KEY)) === null) return allowed.includes(null) ? wrong : [...wrong, "the object is gone"];
  try {
    const { info, body } = await store.get(KEY);
    const sha256 = sha256Of(await readAll(body));
    if (!allowed.includes(sha256)) wrong.push(`the object has ${sha256}`);
    if (info.sha256 !== sha256 || info.md5 === null) wrong.push(`it is described as ${JSON.stringify(info)}`);
  } catch (error) {
    wrong.push(`reading fails: ${error}`);
  }
  return wrong;
}
