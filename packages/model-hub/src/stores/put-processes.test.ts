import { mkdtempSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { temporaryDirectory } from "../../test/databases.js";
import { killUploading } from "../../test/upload-kills.js";
import { startS3Double } from "../testing/s3-double.js";

const directory = temporaryDirectory();
const place = () => mkdtempSync(join(directory.path, "root-"));
/** Many processes on a machine that runs many test files at once. */
const PATIENCE_MS = 300_000;

test(
  "processes killed while they store an object in a folder leave the old or the new one, whole and described",
  async () => {
    expect((await killUploading({ root: place(), kills: 8 })).violations).toEqual([]);
  },
  PATIENCE_MS,
);

test(
  "processes killed while they store an object in a bucket leave the old or the new one, and the next goes on",
  async () => {
    const { endpoint, bucket, credentials, close } = await startS3Double();
    const address = { endpoint, bucket, ...credentials, partBytes: 1 << 16 };
    const summary = await killUploading({ root: place(), kills: 8, bucket: address });
    expect(summary.violations).toEqual([]);
    expect(summary.savedBytes).toBeGreaterThan(0);
    await close();
  },
  PATIENCE_MS,
);
