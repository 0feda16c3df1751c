import { complexityOf } from "./complexity.js";
import type { DatasetFingerprint } from "./fingerprint.js";

/** A value that rules compare. */
export type Fact = string | number | boolean | null;
/** Facts by the names that rules use, then outputs as they are decided. */
export type Facts = Readonly<Record<string, Fact>>;

/** What the user wants most. */
export type Priority = "quality" | "balanced" | "speed" | "memory";

/** What a plan must respect. */
export interface Constraints {
  /** Where training runs. @defaultValue "cpu" */
  readonly device?: "cpu" | "accelerator";
  /** Bytes that are free there. @defaultValue unlimited */
  readonly freeBytes?: number;
  /** Milliseconds of the student on one image of the planned size, as the device reaches `gflopsPerSecond`. @defaultValue unlimited */
  readonly maxLatencyMs?: number;
  /** Throughput of the target device, measured. Needed for `maxLatencyMs`. */
  readonly gflopsPerSecond?: number;
  /** Bytes of the exported student. @defaultValue unlimited */
  readonly maxModelBytes?: number;
  /** Seconds that the whole run may take. @defaultValue unlimited */
  readonly timeBudgetSeconds?: number;
  /** Seconds of a training image per GFLOP of its forward pass, as measured on the machine. @defaultValue what the rules say */
  readonly secondsPerGflop?: number;
  /** Only models under permissive licences; YOLO-type students start from random weights then. @defaultValue false */
  readonly permissiveOnly?: boolean;
}

/** What a plan is asked for. */
export interface PlanRequest {
  readonly fingerprint: DatasetFingerprint;
  /** @defaultValue "balanced" */
  readonly priority?: Priority;
  readonly constraints?: Constraints;
  /** `photographic` where nothing else is known. @defaultValue "photographic" */
  readonly domain?: string;
  /** 0: find as much as possible, 1: be right. @defaultValue 0.5 */
  readonly precision?: number;
  /** Outputs that the user decides. */
  readonly overrides?: Readonly<Record<string, Fact>>;
}

/** Domains and how far they are from the everyday photographs that models were pre-trained on. */
export const DOMAIN_DISTANCE: Readonly<Record<string, number>> = {
  photographic: 0,
  synthetic: 0.4,
  industrial: 0.4,
  agricultural: 0.3,
  document: 0.6,
  aerial: 0.6,
  medical: 0.8,
  thermal: 0.9,
};

/** Base learning rate of AdamW for a number of classes: 0.002 x 5 / (4 + classes), as students use it. */
const learningRateBase = (classes: number): number => 0.01 / (4 + classes);

/** The facts that rules compare, of a request. */
export function factsOf({
  fingerprint,
  priority = "balanced",
  constraints = {},
  domain = "photographic",
  precision = 0.5,
}: PlanRequest): Facts {
  const { appearance } = fingerprint;
  const side = fingerprint.relative_short_side;
  return {
    images: fingerprint.images,
    objects: fingerprint.relative_area.count,
    classes: fingerprint.classes,
    has_bbox: fingerprint.has_bbox,
    has_segmentation: fingerprint.has_segmentation,
    median_objects: fingerprint.objects_per_image.p50,
    short_side_p10: fingerprint.short_side_p10,
    size_spread: side.p5 > 0 ? side.p95 / side.p5 : 1,
    small_share: fingerprint.small_share,
    overlap_share: fingerprint.overlap_share,
    imbalance: fingerprint.imbalance,
    looks_known: appearance !== null && appearance.images > 0,
    brightness: appearance?.brightness.p50 ?? null,
    brightness_spread: appearance === null ? null : appearance.brightness.p95 - appearance.brightness.p5,
    contrast: appearance?.contrast.p50 ?? null,
    sharpness: appearance?.sharpness.p50 ?? null,
    complexity: complexityOf(fingerprint, DOMAIN_DISTANCE[domain] ?? null).value,
    learning_rate_base: learningRateBase(fingerprint.classes),
    priority,
    domain,
    precision,
    device: constraints.device ?? "cpu",
    free_bytes: constraints.freeBytes ?? null,
    max_latency_ms: constraints.maxLatencyMs ?? null,
    gflops_per_second: constraints.gflopsPerSecond ?? null,
    max_model_bytes: constraints.maxModelBytes ?? null,
    time_budget_s: constraints.timeBudgetSeconds ?? null,
    seconds_per_gflop: constraints.secondsPerGflop ?? null,
    permissive_only: constraints.permissiveOnly ?? false,
  };
}
