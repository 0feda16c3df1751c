import { resolve } from "node:path";
import { HubError } from "../errors.js";
import { FileObjectStore } from "./file-object-store.js";
import type { ObjectStore } from "./object-store.js";

/** A store that was named by its address. */
export interface OpenedStore {
  readonly store: ObjectStore;
  /** Makes the folder or bucket if it is absent. */
  init(): Promise<void>;
  close(): void;
}

const S3 = /^s3(?:\+(https?))?:\/\/(.+)$/;

const missing = (name: string, address: string): HubError =>
  new HubError({
    code: "INVALID_REQUEST",
    message: `${address} needs credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (${name} is not set).`,
    details: { variable: name },
  });

/**
 * Opens a store: `s3+https://host/bucket` and `s3+http://host:9000/bucket` on any S3-compatible server, `s3://bucket` on AWS in `AWS_REGION`,
 * else a folder. Credentials come from `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`, never from the address, which appears in messages.
 *
 * @throws {@link HubError} INVALID_REQUEST
 */
export async function openObjectStore({
  address,
  env,
}: {
  address: string;
  env: Readonly<Record<string, string | undefined>>;
}): Promise<OpenedStore> {
  const match = S3.exec(address);
  if (match === null) {
    if (/^[a-z][a-z0-9+.-]+:\/\//i.test(address))
      throw new HubError({
        code: "INVALID_REQUEST",
        message: `${JSON.stringify(address.replace(/\/\/[^/]*@/, "//***@"))} is no store: give a folder, s3://bucket, or s3+https://host/bucket.`,
      });
    const store = new FileObjectStore({ root: resolve(address) });
    return { store, init: async () => {}, close() {} };
  }
  const [, scheme, rest] = match;
  const region = env["AWS_REGION"] ?? env["AWS_DEFAULT_REGION"] ?? "us-east-1";
  const [host, bucket, ...more] =
    scheme === undefined ? [`s3.${region}.amazonaws.com`, ...rest!.split("/")] : rest!.split("/");
  if (
    host === undefined ||
    host === "" ||
    host.includes("@") ||
    bucket === undefined ||
    !/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(bucket) ||
    more.some((part) => part !== "")
  ) {
    throw new HubError({
      code: "INVALID_REQUEST",
      message: `"${scheme === undefined ? "s3" : `s3+${scheme}`}://..." names no bucket: write s3://bucket or s3+https://host/bucket, without credentials.`,
    });
  }
  const accessKeyId = env["AWS_ACCESS_KEY_ID"];
  const secretAccessKey = env["AWS_SECRET_ACCESS_KEY"];
  if (accessKeyId === undefined) throw missing("AWS_ACCESS_KEY_ID", address);
  if (secretAccessKey === undefined) throw missing("AWS_SECRET_ACCESS_KEY", address);
  // Loaded when used: a hub of folders must not load an SDK.
  const { S3ObjectStore } = await import("./s3-object-store.js");
  const endpoint = `${scheme ?? "https"}://${host}`;
  const store = new S3ObjectStore({ endpoint, bucket, accessKeyId, secretAccessKey, region });
  return { store, init: () => store.init(), close: () => store.close() };
}
