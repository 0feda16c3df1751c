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

/** COCO's sizes by area in pixels of the image: up to 32 x 32, up to 96 x 96, above. */
export type ObjectSize = "small" | "medium" | "large";

/** Quality on the objects of one size. */
export interface SizeScore {
  size: ObjectSize;
  /** Annotated objects of this size. */
  objects: number;
  /** Mean AP over IoU 0.50 to 0.95; null: not measured, or no object of the size. */
  boxAp: number | null;
  maskAp: number | null;
}

/** Values at one confidence: detections with at least it count. */
export interface Operating {
  confidence: number;
  precision: number;
  recall: number;
  f1: number;
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
  perSize?: SizeScore[];
  /** Where F1 at IoU 0.5, meaned over the classes, is largest; absent for a model without scores to choose by. */
  operating?: Operating | null;
  /** One sentence, for example "trust at INT8" or why not. */
  verdict?: string;
}

/** Precision over recall and F1 over confidence of one model, IoU 0.5, on grids of 0, 0.01, ... 1. */
export interface EvaluationCurves {
  model: string;
  kind: "box" | "mask";
  /** The mean of the classes first; single classes only where few are annotated. */
  lines: {
    name: string;
    /** Highest precision at recall of at least k / 100. */
    precision: number[];
    /** F1 of the detections with confidence of at least k / 100. */
    f1: number[];
  }[];
  perClass: { name: string; objects: number; best: Operating }[];
}

/** Which class was predicted where which class was annotated. */
export interface Confusion {
  model: string;
  confidence: number;
  iou: number;
  /** The last one is the background. */
  names: string[];
  /** `counts[predicted][annotated]`. */
  counts: number[][];
}

/** How many annotated objects two models found. */
export interface FoundCounts {
  objects: number;
  reference: number;
  candidate: number;
  both: number;
  /** Found by the reference only. */
  lost: number;
  /** Found by the candidate only. */
  gained: number;
}

/** Which annotated objects one model finds and another does not. Found: matched at IoU 0.5 by a detection of the class. */
export interface ObjectComparison {
  kind: "box" | "mask";
  /** Null confidence: every answer of the model counts. */
  reference: { name: string; confidence: number | null };
  candidate: { name: string; confidence: number | null };
  total: FoundCounts;
  perClass: (FoundCounts & { name: string })[];
  perSize: (FoundCounts & { size: ObjectSize })[];
  /** Images with a lost object, most losses first. */
  images: { file: string; objects: number; lost: number; gained: number }[];
  /** Lost objects, in the order of the images. */
  lost: { annotation: number; file: string; class: string; width: number; height: number }[];
  /** Lost objects that are not listed. */
  unlisted: number;
}

/** How the INT8 model was made and what it changed. */
export interface Int8Facts {
  /** Signal to noise of the outputs, dB; null: no noise at all. */
  outputs: { tensor: string; sqnrDb: number | null }[];
  /** The activations that suffer most, worst first. */
  worst: { tensor: string; sqnrDb: number | null }[];
  /** Quantised activations, and the median of their ratios. */
  activations: number;
  medianSqnrDb: number | null;
  /** Images behind these ratios. */
  samples: number;
  /** Layers that the accuracy gate left float; null: not recorded. */
  floatLayers: string[] | null;
  /** Loss of mAP50-95 on the validation split after each attempt of the gate; null: no labelled split. */
  attempts: { passed: boolean; value: number; limit: number }[] | null;
  /** Most sensitive layers; null: the gate passed without ranking them. */
  ranking: { layer: string; sqnrDb: number | null }[] | null;
  /** Agreement with the float model on equal inputs. */
  parity: { classMaxError: number; boxSqnrDb: number | null; classSqnrDb: number | null } | null;
  /** Paired ratio fp32 / INT8 of the timing rounds with its 95 % interval. */
  speedup: { median: number; low: number; high: number } | null;
  calibrationSha256: string | null;
}

/** One exported file, as its certificate says. */
export interface CertifiedFile {
  file: string;
  precision: string;
  bytes: number;
  fileSha256: string;
  promptFree: boolean;
  /** "images float32 [1, 3, 160, 160]". */
  inputs: string[];
  outputs: string[];
  /** Inputs that were run twice, bit-identical and finite. */
  runs: number;
  warnings: string[];
}

/** An encoded picture. Neighbours with the same title are shown side by side. */
export interface Overlay {
  title: string;
  caption: string;
  image: Uint8Array;
  mime: string;
  /** Heading above the first picture of a group. */
  group?: string;
}

/** What was measured on; see {@link ReportData.measuredOn}. */
export interface MeasuredOn {
  split: "test" | "validation" | "training";
  images: number;
  /** Images of it that the student was also trained on; null: its training split was not found. */
  trainedOn: number | null;
  /** Images of it that also chose the student's weights among the epochs; null: that split was not found. */
  chosenOn: number | null;
}

/** Everything `report.html` shows; plain data, so that the same object can be stored as JSON (without the pictures). */
export interface ReportData {
  title: string;
  subtitle: string;
  seed: number;
  /** The split behind every figure that names no other one; absent: not recorded. */
  measuredOn?: MeasuredOn;
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
  /** SAM, prompted with annotated boxes on the validation split; null: none was adapted. */
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
  /** Absent: not measured. */
  evaluation?: EvaluationCurves[];
  confusion?: Confusion | null;
  /** What the shipped student lost, one entry per model it is held against. */
  comparisons?: ObjectComparison[];
  int8?: Int8Facts | null;
  certificate: null | {
    promptFree: boolean;
    checks: { name: string; passed: boolean; detail: string }[];
    modelSha256: string;
    files?: CertifiedFile[];
  };
  overlays: Overlay[];
  environment: Record<string, string>;
  notMeasured: string[];
  /** `source`: where the licence is stated. */
  licences: { what: string; licence: string; source?: string }[];
}
