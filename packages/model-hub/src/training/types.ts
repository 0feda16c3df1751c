import type { z } from "zod";
import type { CsvSchema, OpenDataset } from "../datasets/types.js";
import type { JobProgress } from "../jobs/types.js";
import type { ActivationPolicy, Json, VersionComparison, VersionMetrics } from "../registry/types.js";

/** Body of `POST /model/retrain`; missing fields come from the advisor, else from the trainer's defaults. */
export interface RetrainRequest {
  /** @defaultValue "default" */
  readonly model?: string;
  /** True: every registered dataset of the trainer's schema; false: `dataset_name`. @defaultValue true */
  readonly use_database?: boolean;
  readonly dataset_name?: string;
  /** 1-10000 */
  readonly epochs?: number;
  /** 1-1024 */
  readonly batch_size?: number;
  /** (0, 1] */
  readonly learning_rate?: number;
  /** 1-4096: capacity of the trainable part; LoRA rank for adapter trainers, there at most 256. */
  readonly hidden_size?: number;
  readonly params?: { readonly [key: string]: Json };
  readonly seed?: number;
  readonly trainer?: string;
  readonly base_version?: string;
  readonly description?: string;
}

/** What will run, with nothing left open; stored with the job and the version. */
export interface ResolvedRetrain {
  readonly model: string;
  readonly trainer: string;
  readonly use_database: boolean;
  readonly datasets: readonly string[];
  readonly records: number;
  readonly dataset_fingerprint: string;
  readonly epochs: number;
  readonly batch_size: number;
  readonly learning_rate: number;
  readonly hidden_size: number;
  readonly params: { readonly [key: string]: Json };
  readonly seed: number;
  readonly base_version: string | null;
  readonly description: string;
  /** Where each number came from. */
  readonly sources: Readonly<Record<string, "request" | "advisor" | "trainer">>;
}

/** Answer of `?dry_run=true`. */
export interface RetrainPreview {
  readonly config: ResolvedRetrain;
  readonly estimate: {
    readonly steps: number;
    /** From the step time of earlier runs of the trainer; null if none was measured. */
    readonly seconds: number | null;
  };
  readonly warnings: readonly string[];
}

/** `result` of a succeeded retrain job and body of the synchronous answer. */
export interface RetrainResult {
  readonly success: true;
  readonly message: string;
  readonly job_id: string;
  readonly version: string;
  readonly metrics: VersionMetrics;
  /** Wall seconds. */
  readonly training_time: number;
  /** a = the version active when the run ended, b = the new one; null when none was active. */
  readonly comparison: VersionComparison | null;
  readonly suggest_activation: boolean;
}

/** What a trainer takes where a request says nothing. */
export interface TrainerDefaults {
  readonly epochs: number;
  readonly batch_size: number;
  readonly learning_rate: number;
  readonly hidden_size: number;
}

/** Everything that a trainer gets: configuration, data, base version, signal, progress. */
export interface TrainingContext {
  readonly config: ResolvedRetrain;
  readonly datasets: readonly OpenDataset[];
  /** Files of `base_version`, verified; null without one. */
  readonly baseDirectory: string | null;
  /** Empty folder; what lies in it at the end is the version's files. */
  readonly outputDirectory: string;
  /** Aborted when the run is cancelled: finish the step, save a checkpoint, return or throw. */
  readonly signal: AbortSignal;
  /** The last valid checkpoint, null at the start. */
  readonly checkpoint: Uint8Array | null;
  /** Kept with its SHA-256 by atomic rename; replaces the one before. */
  saveCheckpoint(bytes: Uint8Array, at: { epoch: number; step: number }): Promise<void>;
  log(message: string): void;
}

/** One report; percent, ETA and rate are the worker's business. */
export interface TrainerProgress {
  readonly phase: JobProgress["phase"];
  readonly epoch?: number;
  readonly step?: number;
  readonly steps?: number;
  readonly metrics?: Readonly<Record<string, number | null>>;
}

/** What a trainer gives back: metrics, files, and what they were measured on. */
export interface TrainingResult {
  readonly metrics: Partial<VersionMetrics>;
  readonly metric_definition_id: string | null;
  readonly split_hash: string | null;
  readonly params?: { readonly [key: string]: Json };
  readonly env?: { readonly [key: string]: Json };
  readonly parents?: { teacher?: string | null; adapter?: string | null };
}

/** Runs in a child process; pipeline trainers (LoRA, distillation) are given by the caller as {@link TrainerModule}s. */
export interface Trainer {
  readonly id: string;
  readonly description: string;
  readonly paramsSchema: z.ZodType<{ readonly [key: string]: Json }>;
  /** CSV it reads, or `coco` for annotated images. */
  readonly datasetSchema: CsvSchema | "coco";
  readonly defaults: TrainerDefaults;
  /** Adapter trainers limit `hidden_size`, their rank, to 256. @defaultValue 4096 */
  readonly maxHiddenSize?: number;
  /** The generator's return value is the result; its values are the progress. */
  train(context: TrainingContext): AsyncGenerator<TrainerProgress, TrainingResult, void>;
}

/** Where parent and child load a trainer from. */
export interface TrainerModule {
  /** `file:` URL or package specifier. */
  readonly module: string;
  /** @defaultValue "trainer" */
  readonly export?: string;
}

/** The part of the advisor that retraining asks; null fields are left to the trainer. */
export type SuggestParameters = (question: {
  readonly model: string;
  readonly trainer: string;
  readonly records: number;
  readonly datasets: readonly string[];
}) => Promise<Partial<TrainerDefaults>>;

/** Previews, starts and follows retrainings. */
export interface RetrainServicePort {
  /** @throws HubError INVALID_REQUEST, DATASET_TOO_SMALL, NOT_FOUND */
  preview(request: RetrainRequest): Promise<RetrainPreview>;
  /** Queues the run. @returns the job's id. */
  start(request: RetrainRequest, options?: { actor?: string | null }): Promise<{ job_id: string }>;
  /** Waits for the end of a job, at most `maxWaitMs`; null when it is not over by then. @throws HubError with the job's error */
  result(jobId: string, options?: { maxWaitMs?: number; signal?: AbortSignal }): Promise<RetrainResult | null>;
  trainers(): readonly Trainer[];
  readonly policy: ActivationPolicy;
}
