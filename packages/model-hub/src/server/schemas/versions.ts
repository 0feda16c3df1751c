import { z } from "zod";
import { Count, component, Instant, JsonObject, NextCursor, Sha256, VersionRef } from "./common.js";

const rate = z.number().min(0).max(1).nullable();
const measure = z.number().nullable();

export const Metrics = component(
  "Metrics",
  z.object({
    accuracy: rate.describe("TP / (TP + FP + FN) at IoU 0.50 and the operating confidence"),
    precision: rate,
    recall: rate,
    f1_score: rate.describe("2PR / (P + R)"),
    loss: measure.describe("Of the chosen epoch"),
    map50: rate,
    map50_95: rate,
    mask_iou: rate,
    training_samples: Count.nullable(),
    training_time: measure.describe("Wall seconds of training, summed over resumes"),
    latency_ms: measure.optional(),
    size_bytes: measure.optional(),
    extra: z.record(z.string(), measure).optional(),
  }),
);

export const VersionState = z.enum(["pending", "ready", "failed", "deleted"]);

export const VersionSummary = component(
  "VersionSummary",
  z.object({
    model: z.string(),
    version: z.string().describe("vYYYYMMDD_HHMMSS, UTC"),
    seq: Count,
    state: VersionState,
    created_at: Instant,
    is_active: z.boolean(),
    metrics: Metrics,
    training_samples: Count.nullable(),
    training_time: measure.describe("Seconds"),
    dataset: z.string().nullable(),
    description: z.string(),
    tags: z.array(z.string()),
    aliases: z.array(z.string()),
    size_bytes: Count,
    row_version: Count.describe("For If-Match"),
  }),
);

export const VersionFile = component(
  "VersionFile",
  z.object({ path: z.string(), sha256: Sha256, md5: z.string(), bytes: Count }),
);

export const Manifest = component(
  "Manifest",
  z.object({
    schema: z.literal(1),
    model: z.string(),
    version: z.string(),
    seq: Count,
    created_at: Instant,
    created_by: z.string().nullable(),
    run_id: z.string().nullable(),
    files: z.array(VersionFile),
    metrics: Metrics,
    metric_definition_id: z.string().nullable(),
    dataset: z.object({
      id: z.string().nullable(),
      fingerprint: z.string().nullable(),
      split_hash: z.string().nullable(),
    }),
    parents: z.object({
      teacher: z.string().nullable(),
      adapter: z.string().nullable(),
      base: z.string().nullable(),
    }),
    params: JsonObject,
    env: JsonObject,
    code_commit: z.string().nullable(),
  }),
);

export const VersionDetail = component(
  "VersionDetail",
  VersionSummary.extend({
    manifest: Manifest,
    manifest_sha256: Sha256,
    files: z.array(VersionFile),
    deleted_at: Instant.nullable(),
    failure: z.string().nullable(),
  }),
);

export const VersionPage = component(
  "VersionPage",
  z.object({ versions: z.array(VersionSummary), total: Count, next_cursor: NextCursor }),
);

export const ActiveVersion = component(
  "ActiveVersion",
  VersionDetail.extend({
    activated_at: Instant,
    activated_by: z.string().nullable(),
    changed: z.boolean().describe("False when it was active already"),
  }),
);

export const PolicyDecision = component(
  "PolicyDecision",
  z.object({
    suggest_activation: z.boolean(),
    primary: z.string(),
    delta: measure,
    reasons: z.array(z.string()),
    against: z.string().nullable(),
  }),
);

export const ActivationRecord = component(
  "ActivationRecord",
  z.object({
    seq: Count,
    model: z.string(),
    version: z.string().nullable(),
    previous: z.string().nullable(),
    actor: z.string().nullable(),
    at: Instant,
    reason: z.string().nullable(),
    kind: z.enum(["activate", "rollback", "deactivate"]),
    policy_decision: PolicyDecision.nullable(),
  }),
);

export const HistoryPage = component(
  "HistoryPage",
  z.object({ history: z.array(ActivationRecord), total: Count, next_cursor: NextCursor }),
);

export const Comparison = component(
  "Comparison",
  z.object({
    model: z.string(),
    a: z.string(),
    b: z.string(),
    metrics: z.record(
      z.string(),
      z.object({
        a: measure,
        b: measure,
        delta: measure.describe("b - a"),
        better: z.enum(["a", "b", "tie", "unknown"]),
      }),
    ),
    comparable: z.boolean(),
    reasons: z.array(z.string()),
    primary: z.string(),
    overall: z.enum(["a", "b", "tie", "unknown"]),
  }),
);

const reason = z.string().max(1000).optional();

export const ActivateBody = component("ActivateRequest", z.strictObject({ version: VersionRef, reason }));
export const DeactivateBody = component("DeactivateRequest", z.strictObject({ reason }));
export const RollbackBody = component(
  "RollbackRequest",
  z.strictObject({ to: VersionRef.optional().describe("Default: the entry before"), reason }),
);
export const PatchBody = component(
  "VersionPatch",
  z.strictObject({
    description: z.string().max(10_000).optional(),
    tags: z.array(z.string().min(1).max(128)).max(100).optional(),
    aliases: z.array(VersionRef).max(100).optional(),
  }),
);
