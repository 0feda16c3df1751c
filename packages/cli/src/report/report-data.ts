/** Mask quality of a teacher on the labelled split it was evaluated on, every object prompted by its annotated box. */
export interface MaskScore {
  /** Mean over the objects of the IoU between predicted and annotated mask, 0..1. */
  meanIou: number;
  perClass: { name: string; iou: number; filledBox: number; ellipse: number; count: number }[];
  baselines: MaskBaselines;
}

/** Mean IoU of two masks that need no model: what a mask is worth that knows only the annotated box. */
export interface MaskBaselines {
  /** The box itself as the mask. */
  filledBox: number;
  /** The ellipse inscribed in the box. */
  ellipse: number;
}

/** Average precision of one kind of output, 0..1 (COCO definition). */
export interface AveragePrecision {
  /** At IoU 0.5. */
  map50: number;
  /** Mean over IoU 0.50, 0.55, ... 0.95. */
  map: number;
}

/** Box quality of a text-prompted teacher on a labelled split. */
export interface BoxScore extends AveragePrecision {
  perClass: { name: string; ap50: number; ap: number; count: number }[];
}

/** One measured model. Null means that the value was not measured, which the report says in words; it is never printed as 0. */
export interface ModelRow {
  name: string;
  kind: "teacher" | "student-fp32" | "student-int8";
  /** What the model was told beside the image: "none", or for example "box prompts (ground truth)". */
  prompts: string;
  box: AveragePrecision | null;
  mask: AveragePrecision | null;
  /** 0..1. */
  maskIou: number | null;
  /**
   * Trivial baselines of `maskIou` on the same objects. Absent: the report takes those of another row, then those of the teacher's own
   * evaluation, and says which.
   */
  maskBaselines?: MaskBaselines | null;
  sizeBytes: number | null;
  /** Milliseconds per image. */
  latencyMs: { p50: number; p95: number } | null;
  /** Images per second. */
  fps: number | null;
  peakMemoryBytes: number | null;
  perClass?: {
    name: string;
    boxAp50: number | null;
    boxAp: number | null;
    maskAp50: number | null;
    maskAp: number | null;
  }[];
  /** One sentence, for example "trust at INT8" or why not. */
  verdict?: string;
}

/** Everything `report.html` shows; plain data, so that the same object can be stored as JSON (without the pictures). */
export interface ReportData {
  title: string;
  subtitle: string;
  seed: number;
  /** What the data decided. */
  decisions: { what: string; choice: string; reason: string }[];
  dataset: {
    images: number;
    annotations: number;
    /** `counts`: annotations by split name. */
    classes: { index: number; name: string; counts: Record<string, number> }[];
    /** Images by split name. */
    splits: Record<string, number>;
    findings: { severity: "error" | "warn" | "info"; code: string; message: string; count: number }[];
    /** Fields that completion derived instead of a person giving them. */
    generated: { boxes: number; areas: number };
  };
  /** The student's `results.csv`; see `parseResultsCsv`. */
  curves: { columns: string[]; rows: (number | null)[][] };
  teacher: null | {
    name: string;
    adapter: string;
    /** Trained parameters over all parameters, 0..1. */
    trainableShare: number;
    before: MaskScore;
    after: MaskScore;
    curve: { step: number; loss: number }[];
  };
  /** Grounding DINO, prompted with all class names; absent or null: none was adapted. */
  detector?: null | {
    name: string;
    adapter: string;
    /** Trained parameters over all parameters, 0..1. */
    trainableShare: number;
    before: BoxScore;
    after: BoxScore;
    curve: { step: number; loss: number }[];
  };
  models: ModelRow[];
  certificate: null | {
    promptFree: boolean;
    checks: { name: string; passed: boolean; detail: string }[];
    modelSha256: string;
  };
  /** Encoded pictures (JPEG or PNG). Neighbours with the same title are shown side by side. */
  overlays: { title: string; caption: string; image: Uint8Array; mime: string }[];
  environment: Record<string, string>;
  notMeasured: string[];
  licences: { what: string; licence: string }[];
}
