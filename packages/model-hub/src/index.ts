/** @module Models: find, fetch, store, version and serve. */

export { DatasetStore } from "./datasets/dataset-store.js";
export { segmentationSchema } from "./datasets/segmentation-schema.js";
export type * from "./datasets/types.js";
export { HUB_ERROR_STATUS, HubError, type HubErrorCode } from "./errors.js";
export { BullJobQueue, type BullJobQueueOptions } from "./jobs/bull/bull-job-queue.js";
export { JobWorker, type JobWorkerOptions } from "./jobs/job-worker.js";
export { SqlJobQueue } from "./jobs/sql-job-queue.js";
export type * from "./jobs/types.js";
export { JOB_KINDS, TERMINAL_STATES } from "./jobs/types.js";
export { type BlobStore, blobKey, manifestKey } from "./registry/blob-store.js";
export { compareVersions, decide } from "./registry/compare.js";
export { LicenceLedger } from "./registry/licence-ledger.js";
export { ModelRegistry, type ModelRegistryOptions } from "./registry/model-registry.js";
export { type HubState, type HubStateOptions, openHubState } from "./registry/open-hub-state.js";
export type * from "./registry/types.js";
export type { SqlDriver, SqlTransaction } from "./sql/driver.js";
export { openDatabase } from "./sql/open-database.js";
export { Authenticator } from "./tokens/authenticator.js";
export { type JwtOptions, JwtVerifier } from "./tokens/jwt-verifier.js";
export { TokenStore } from "./tokens/token-store.js";
export type * from "./tokens/types.js";
export { RetrainService, type RetrainServiceOptions } from "./training/retrain-service.js";
export type * from "./training/types.js";
export { HubEvents } from "./webhooks/hub-events.js";
export type * from "./webhooks/types.js";
export { signWebhook, WebhookDispatcher } from "./webhooks/webhook-dispatcher.js";
export { WebhookStore } from "./webhooks/webhook-store.js";
