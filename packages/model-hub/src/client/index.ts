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
  type Catalogue,
  type Comparison,
  type CreatedToken,
  type Dataset,
  type HistoryPage,
  HubClient,
  type HubStatus,
  type InstallRequest,
  type Job,
  type JobPage,
  type Layers,
  type Progress,
  type PushFields,
  type PushReport,
  type ResolvedModel,
  type RetrainPreview,
  type RetrainRequest,
  type RetrainResult,
  type SearchOptions,
  type SearchPage,
  type Token,
  type Trainers,
  type UploadReport,
  type VersionDetail,
  type VersionPage,
  type VersionSummary,
  type WatchedEvent,
} from "./hub-client.js";
export { parseServerEvents, type StreamEvent } from "./server-events.js";
