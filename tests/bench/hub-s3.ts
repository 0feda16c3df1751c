import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { loadavg } from "node:os";
import process from "node:process";
import { S3ObjectStore } from "@seg/model-hub";
import { forkProgram, megabytesPerSecond, messageOf } from "./hub-download.js";
import { type BenchResult, median } from "./result.js";

const PART = 8 << 20;
const PARTS = 8;
const BYTES = PART * PARTS;
const IN_FLIGHT = 4;
const ROUNDS = 3;

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

/** An object in parts to the S3 double: SHA-256, MD5 and an MD5 of each part on the way, against plain requests with the same parts. */
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
    const ours: { speed: number; cpuMs: number }[] = [];
    const plain: { speed: number; cpuMs: number }[] = [];
    for (let round = 0; round <= ROUNDS; round++) {
      const a = await measure(() => store.put("ours", content(), { bytes: BYTES }));
      const b = await measure(() => putPlain(server, "plain", part));
      // The first round warms up.
      if (round > 0) {
        ours.push(a);
        plain.push(b);
      }
    }
    const info = await store.head("ours");
    if (info?.bytes !== BYTES || info.sha256 === null) throw new Error("the object is not what was stored");
    store.close();
    const [value, peerValue] = [ours, plain].map((runs) => median(runs.map(({ speed }) => speed))) as [number, number];
    const cpu = (runs: { cpuMs: number }[]) => median(runs.map(({ cpuMs }) => cpuMs)).toFixed(0);
    return [
      {
        bench: "hub-s3",
        case: `put ${BYTES / 2 ** 20} MiB in parts of ${PART / 2 ** 20} MiB, with digests`,
        value,
        unit: "MB/s",
        peer: "plain PUT of the same parts",
        peerValue,
        ratio: value / peerValue,
        note: `median of ${ROUNDS}; CPU ${cpu(ours)} ms against ${cpu(plain)} ms; load ${loadavg()[0]!.toFixed(1)}`,
      },
    ];
  } finally {
    child.kill();
    await (child.exitCode ?? child.signalCode ?? once(child, "exit"));
  }
}
