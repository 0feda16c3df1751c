/** @module Models: find, fetch, store, version and serve. */

export { parseAdapterCandidates } from "./advisor/adapter-candidates.js";
export {
  type AdviceRequest,
  type AdvisedPlan,
  Advisor,
  type AdvisorMode,
  type AdvisorOptions,
  type PlanOutcome,
} from "./advisor/advisor.js";
export { analyseTask, type Concept, ollamaModel, type TaskAnalysis, type TaskModel } from "./advisor/analyse.js";
export { type Complexity, complexityOf } from "./advisor/complexity.js";
export type { Counterfactual } from "./advisor/counterfactuals.js";
export type { Exceeded, TraceEntry } from "./advisor/decide.js";
export { type Embedder, hashedEmbedder } from "./advisor/embedder.js";
export { exportBytes, teacherBytes, trainingBytes } from "./advisor/estimates.js";
export { type ExplainLevel, explainPlan } from "./advisor/explain.js";
export {
  type Constraints,
  DOMAIN_DISTANCE,
  type Fact,
  type Facts,
  type PlanRequest,
  type Priority,
} from "./advisor/facts.js";
export { type DatasetFingerprint, fingerprintDataset, fingerprintSha256 } from "./advisor/fingerprint.js";
export { type Adjustment, type LearnedRun, learnFrom, rewardOf } from "./advisor/learn.js";
export {
  type FeedbackInput,
  type FeedbackRecord,
  type FeedbackStatistics,
  LearningStore,
} from "./advisor/learning-store.js";
export { makePlan, type Plan, type PlanEstimates, type StudentOption } from "./advisor/plan.js";
export { DEFAULT_SPACE, type ParamRange, planTrials, type SweepVariation, type Trial } from "./advisor/plan-trials.js";
export {
  type AdapterAdvice,
  type AdapterCandidate,
  type AdapterHistory,
  type AdapterRequest,
  explainAdapters,
  type RecommendedAdapter,
  recommendAdapters,
  type ScoreWeights,
} from "./advisor/recommend-adapters.js";
export { type AdvisorRules, defaultRules, parseRules } from "./advisor/rules.js";
export {
  runSweep,
  type SweepEvent,
  type SweepOptions,
  type SweepResult,
  type TrialResult,
} from "./advisor/run-sweep.js";
export { HubCache } from "./cache/hub-cache.js";
export { catalogue } from "./catalogue/catalogue.js";
export {
  ensureRuntime,
  type RuntimeOptions,
  type RuntimePackage,
  type RuntimeReport,
} from "./catalogue/ensure-runtime.js";
export {
  type EnsuredModel,
  type EnsureOptions,
  type FailedStep,
  type LoaderFormat,
  type ManagerEvent,
  type ManagerStatus,
  type ModelStatus,
  SamModelManager,
} from "./catalogue/sam-model-manager.js";
export {
  type SimulateOptions,
  type Simulation,
  type SimulationEvent,
  type SimulationStep,
  simulateFineTune,
} from "./catalogue/simulate-fine-tune.js";
export type * from "./catalogue/types.js";
export { type CallValues, type CliCall, type CliCommand, type CliIo, type CliOption, callOf } from "./cli/command.js";
export { failureOf, findHubCommand } from "./cli/main.js";
export {
  type Correction,
  type CorrectionKind,
  type CorrectionReport,
  compareAnnotations,
} from "./corrections/compare-annotations.js";
export { type CorrectionsDataset, correctionsDataset } from "./corrections/corrections-dataset.js";
export { DatasetStore } from "./datasets/dataset-store.js";
export { segmentationSchema } from "./datasets/segmentation-schema.js";
export type * from "./datasets/types.js";
export { type CivitaiHashes, civitaiHashes } from "./download/civitai-hashes.js";
export { Downloader } from "./download/downloader.js";
export type { Installed, InstallOptions } from "./download/install-model.js";
export { HUB_ERROR_STATUS, HubError, type HubErrorCode } from "./errors.js";
export { createHub, type HubConfig, type ModelHub } from "./hub.js";
export { BullJobQueue, type BullJobQueueOptions } from "./jobs/bull/bull-job-queue.js";
export { JobWorker, type JobWorkerOptions } from "./jobs/job-worker.js";
export { SqlJobQueue } from "./jobs/sql-job-queue.js";
export type * from "./jobs/types.js";
export { JOB_KINDS, TERMINAL_STATES } from "./jobs/types.js";
export { BUILT_IN_LAYERS } from "./layers/built-in-layers.js";
export { parseLayers, readLayers } from "./layers/layer-config.js";
export { LayerStore, type PushOptions } from "./layers/layer-store.js";
export { openLayers } from "./layers/open-layers.js";
export { type PullOptions, pullLayer } from "./layers/pull-layer.js";
export type * from "./layers/types.js";
export { type ModelCard, renderModelCard } from "./model-card/render-model-card.js";
export { type MemorySample, readMemory } from "./pool/memory.js";
export { MemoryMonitor, type MemoryMonitorOptions, type MemoryReport } from "./pool/memory-monitor.js";
export { type CleanupOptions, ModelPool, type ModelPoolOptions } from "./pool/model-pool.js";
export { type Component, type OffloadStrategy, type PlacementPlan, planPlacement } from "./pool/plan-placement.js";
export { reserveBytes } from "./pool/reserve-bytes.js";
export type * from "./pool/types.js";
export { type BlobStore, blobKey, manifestKey } from "./registry/blob-store.js";
export { canonicalSha256 } from "./registry/canonical-json.js";
export { type CollectableStore, collectGarbage, type GarbageReport } from "./registry/collect-garbage.js";
export { compareVersions, decide } from "./registry/compare.js";
export { LicenceLedger } from "./registry/licence-ledger.js";
export { ModelRegistry, type ModelRegistryOptions } from "./registry/model-registry.js";
export { folderBlobs, objectBlobs } from "./registry/object-blobs.js";
export { type HubState, type HubStateOptions, openHubState } from "./registry/open-hub-state.js";
export type * from "./registry/types.js";
export { CivitaiSource } from "./sources/civitai-source.js";
export { HuggingFaceSource } from "./sources/hugging-face-source.js";
export { LocalSource } from "./sources/local-source.js";
export { parseModelRef } from "./sources/model-ref.js";
export type { ModelHit, ModelInfo, ModelSource, SearchQueryInput } from "./sources/types.js";
export { UrlSource } from "./sources/url-source.js";
export type { SqlDriver, SqlTransaction } from "./sql/driver.js";
export { openDatabase } from "./sql/open-database.js";
export { FileObjectStore } from "./stores/file-object-store.js";
export type { ObjectStore } from "./stores/object-store.js";
export { type OpenedStore, openObjectStore } from "./stores/open-object-store.js";
export { S3ObjectStore } from "./stores/s3-object-store.js";
export { Authenticator } from "./tokens/authenticator.js";
export { type JwtOptions, JwtVerifier } from "./tokens/jwt-verifier.js";
export { TokenStore } from "./tokens/token-store.js";
export type * from "./tokens/types.js";
export { RetrainService, type RetrainServiceOptions } from "./training/retrain-service.js";
export { type DrawSweep, type EndedSweep, type SweepRequest, SweepService } from "./training/sweep-service.js";
export type * from "./training/types.js";
export { HubEvents } from "./webhooks/hub-events.js";
export type * from "./webhooks/types.js";
export { signWebhook, WebhookDispatcher } from "./webhooks/webhook-dispatcher.js";
export { WebhookStore } from "./webhooks/webhook-store.js";
