// A process that stores an object and may die meanwhile: node put-child.mjs '{"store": ..., ...}'. Says "ready" when everything is loaded and
// ends with one line of JSON.
import { createReadStream } from "node:fs";
import process from "node:process";
import { FileObjectStore } from "../src/stores/file-object-store.js";
import { S3ObjectStore } from "../src/stores/s3-object-store.js";
import { killAtStep } from "./kill-at-step.js";

/** A folder, or a bucket. */
export type StoreAddress =
  | { readonly root: string }
  | {
      readonly endpoint: string;
      readonly bucket: string;
      readonly accessKeyId: string;
      readonly secretAccessKey: string;
      readonly partBytes: number;
    };
export interface PutTask {
  readonly store: StoreAddress;
  readonly key: string;
  /** File with the content. */
  readonly path: string;
  readonly sha256: string;
  /** Call that changes files before which the process kills itself. */
  readonly killAt?: number | null;
}
export interface PutResult {
  readonly sha256: string | null;
  readonly md5: string | null;
  /** Calls that changed files. */
  readonly steps: number;
}

const { store: address, key, path, sha256, killAt } = JSON.parse(process.argv[2]!) as PutTask;
process.stdout.write("ready\n");
const steps = await killAtStep(killAt ?? null);
const store = "endpoint" in address ? new S3ObjectStore(address) : new FileObjectStore(address);
const content = createReadStream(path, { highWaterMark: 1 << 16 });
const stored = await store.put(key, content, { sha256, metadata: { origin: "child" } });
if (store instanceof S3ObjectStore) store.close();
const result: PutResult = { sha256: stored.sha256, md5: stored.md5, steps: steps() };
process.stdout.write(`${JSON.stringify(result)}\n`);
process.stdin.destroy();
