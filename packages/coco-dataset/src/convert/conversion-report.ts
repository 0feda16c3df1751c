import type { MaskAudit } from "./audit-masks.js";

/** One kind of thing that a target format does not hold. */
export interface ConversionLoss {
  /** Stable, for example `mask_changed`. */
  readonly code:
    | "crowd_skipped"
    | "mask_changed"
    | "mask_dropped"
    | "box_as_polygon"
    | "box_changed"
    | "empty_dropped"
    | "keypoints_dropped"
    | "caption_dropped"
    | "attributes_dropped"
    | "image_not_in_split";
  readonly message: string;
  readonly count: number;
  /** Annotation ids (image ids for `image_not_in_split`), at most 50. */
  readonly ids: readonly number[];
  /** Whether it needs `allowLoss`: geometry or objects that people annotated would be gone. */
  readonly needsConsent: boolean;
}

/** What a conversion wrote, and what the target does not hold. */
export interface ConversionReport {
  readonly to: "yolo" | "coco";
  readonly numImages: number;
  readonly numAnnotations: number;
  readonly numWritten: number;
  readonly losses: readonly ConversionLoss[];
  /** Every mask compared with itself after the round trip through the written text. */
  readonly audit: MaskAudit;
}
