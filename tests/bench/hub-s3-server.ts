// The S3 double of `bench hub-s3`, in a process of its own.
import process from "node:process";
import { startS3Double } from "@seg/model-hub/testing";

const { endpoint, bucket, credentials } = await startS3Double();
process.send?.({ endpoint, bucket, ...credentials });
