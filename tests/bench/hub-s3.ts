import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createRequire } from "node:module";
import { loadavg } from "node:os";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { S3ObjectStore } from "@seg/model-hub";
import { forkProgram, megabytesPerSecond, messageOf } from "./hub-download.js";
import { type BenchResult, median } from "./result.js";

const PART = 8 << 20;
const PARTS = 8;
const BYTES = PART * PARTS;
const IN_FLIGHT = 4;
const ROUNDS = 7;

interface Server {
  readonly endpoint: string;
  readonly bucket: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

/** The same parts by plain requests, as many at a time, without a hash or a signature. */
async function putPlain({ endpoint, bucket }: Server, key: string, part: Buffer): Promise<void> {
  const url = `${endpoint}/${bucket}/${key}`;
  const send = async (query: string, method: string, body?: string | Uint8Array<ArrayBuffer>) => {
    const response = await fetch(`${url}?${query}`, { method, ...(body === undefined ? {} : { body }) });
    if (!response.ok) throw new Error(`${method} ${query}: ${response.status}`);
    return response.text();
  };
  const uploadId = /<UploadId>(\w+)</.exec(await send("uploads", "POST"))![1]!;
  let next = 1;
  await Promise.all(
    Array.from({ length: IN_FLIGHT }, async () => {
      while (next <= PARTS) await send(`partNumber=${next++}&uploadId=${uploadId}`, "PUT", new Uint8Array(part));
    }),
  );
  const list = Array.from({ length: PARTS }, (_, i) => `<PartNumber>${i + 1}</PartNumber>`).join("");
  await send(`uploadId=${uploadId}`, "POST", `<CompleteMultipartUpload>${list}</CompleteMultipartUpload>`);
}

/** The same parts by the SDK alone: signed, so each part is hashed once, but no digest of the whole and nothing beside it. */
async function putBySdk({ endpoint, bucket, ...credentials }: Server, key: string, part: Buffer): Promise<void> {
  // The one that the hub uses.
  const require = createRequire(fileURLToPath(import.meta.resolve("@seg/model-hub")));
  const sdk = require("@aws-sdk/client-s3") as typeof import("@aws-sdk/client-s3");
  const client = new sdk.S3Client({
    endpoint,
    region: "us-east-1",
    forcePathStyle: true,
    credentials,
    requestChecksumCalculation: "WHEN_REQUIRED",
  });
  const target = { Bucket: bucket, Key: key };
  const { UploadId } = await client.send(new sdk.CreateMultipartUploadCommand(target));
  const done: { PartNumber: number; ETag: string | undefined }[] = [];
  let next = 1;
  await Promise.all(
    Array.from({ length: IN_FLIGHT }, async () => {
      while (next <= PARTS) {
        const PartNumber = next++;
        const Body = Buffer.from(part);
        const { ETag } = await client.send(new sdk.UploadPartCommand({ ...target, UploadId, PartNumber, Body }));
        done.push({ PartNumber, ETag });
      }
    }),
  );
  done.sort((a, b) => a.PartNumber - b.PartNumber);
  const MultipartUpload = { Parts: done };
  await client.send(new sdk.CompleteMultipartUploadCommand({ ...target, UploadId, MultipartUpload }));
  client.destroy();
}

/** An object in parts to the S3 double: SHA-256, MD5 and an MD5 of each part on the way, against the same parts by plain requests and by the SDK. */
export async function hubS3(): Promise<BenchResult[]> {
  const child = forkProgram("./hub-s3-server.ts");
  try {
    const server = await messageOf<Server>(child);
    const part = randomBytes(PART);
    const store = new S3ObjectStore(server);
    async function* content() {
      for (let i = 0; i < PARTS; i++) yield part;
    }
    const measure = async (work: () => Promise<unknown>) => {
      const cpu = process.cpuUsage();
      const began = performance.now();
      await work();
      const wallMs = performance.now() - began;
      const { user, system } = process.cpuUsage(cpu);
      return { speed: megabytesPerSecond(BYTES, wallMs), cpuMs: (user + system) / 1000 };
    };
    const contestants = {
      hub: () => store.put("ours", content(), { bytes: BYTES }),
      plain: () => putPlain(server, "plain", part),
      sdk: () => putBySdk(server, "sdk", part),
    };
    const runs: Record<keyof typeof contestants, { speed: number; cpuMs: number }[]> = { hub: [], plain: [], sdk: [] };
    const names = Object.keys(contestants) as (keyof typeof contestants)[];
    // The first round warms up.
    for (let round = 0; round <= ROUNDS; round++) {
      for (const name of round % 2 === 0 ? names : names.toReversed()) {
        const cost = await measure(contestants[name]);
        if (round > 0) runs[name].push(cost);
      }
    }
    const info = await store.head("ours");
    if (info?.bytes !== BYTES || info.sha256 === null) throw new Error("the object is not what was stored");
    store.close();
    const speed = (name: keyof typeof contestants) => median(runs[name].map((run) => run.speed));
    const cpu = (name: keyof typeof contestants) => median(runs[name].map((run) => run.cpuMs)).toFixed(0);
    return (
      [
        ["plain", "plain PUT of the same parts"],
        ["sdk", "the SDK's upload of the same parts"],
      ] as const
    ).map(([name, peer]) => ({
      bench: "hub-s3",
      case: `put ${BYTES / 2 ** 20} MiB in parts of ${PART / 2 ** 20} MiB, with digests`,
      value: speed("hub"),
      unit: "MB/s",
      peer,
      peerValue: speed(name),
      ratio: speed("hub") / speed(name),
      note: `median of ${ROUNDS}; CPU ${cpu("hub")} ms against ${cpu(name)} ms; load ${loadavg()[0]!.toFixed(1)}`,
    }));
  } finally {
    child.kill();
    await (child.exitCode ?? child.signalCode ?? once(child, "exit"));
  }
}
