/**
 * The hub's HTTP API for browsers and Node: one method per endpoint plus `watchJob`.
 * @module
 */
export { HubHttpError } from "./http-error.js";
export {
  type Accepted,
  type ActivationRecord,
  type ActiveVersion,
  type AvailableDatasets,
  type CallOptions,
  type Comparison,
  type CreatedToken,
  type Dataset,
  type HistoryPage,
  HubClient,
  type Job,
  type JobPage,
  type Progress,
  type RetrainPreview,
  type RetrainRequest,
  type RetrainResult,
  type Token,
  type Trainers,
  type UploadReport,
  type VersionDetail,
  type VersionPage,
  type VersionSummary,
  type WatchedEvent,
} from "./hub-client.js";
export { parseServerEvents, type StreamEvent } from "./server-events.js";
