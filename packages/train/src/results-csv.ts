/** What decides the columns of `results.csv`. */
export interface ResultTerms {
  /** Names of the loss parts, for example `box`, `cls`, `dfl`; a part `kd_*` is a distillation term. */
  readonly losses: readonly string[];
  /** Whether box metrics exist. */
  readonly boxes: boolean;
  /** Whether mask metrics exist. */
  readonly masks: boolean;
  /** Parameter groups. @defaultValue 3 */
  readonly groups?: number;
}

/** Values of one epoch, before rounding. */
export interface EpochRecord {
  /** 1-based. */
  readonly epoch: number;
  /** Batches seen. */
  readonly step: number;
  /** Seconds since the start of the run, training time of interrupted parts included. */
  readonly time: number;
  /** Mean of every loss part over the epoch, by part name. */
  readonly train: Readonly<Record<string, number>>;
  /** Null when the epoch was not evaluated. Keys: see {@link resultsColumns}. */
  readonly metrics: Readonly<Record<string, number>> | null;
  /** Learning rate of the last batch by group, in group order. */
  readonly lr: readonly number[];
  /** Mean norm before clipping. */
  readonly gradNorm: number | null;
}

const LOSSES = ["box", "seg", "cls", "dfl"];
const KD = ["kd_cls", "kd_box", "kd_mask", "kd_feat"];
const METRICS = ["precision", "recall", "mAP50", "mAP50-95"];

/**
 * Columns of `results.csv`: `epoch,time`, `train/<part>_loss`, `metrics/<name>(B)` from the metrics precision, recall, mAP50, mAP50-95,
 * `metrics/<name>(M)` from those with the prefix `mask_`, `val/<part>_loss` from `val_<part>_loss`, `lr/pg<i>`, then `train/kd_*`,
 * `kd/grad_ratio` (part `kd_grad_ratio`) and `grad_norm`. Parts beyond box, seg, cls and dfl follow these in the given order.
 */
export function resultsColumns({ losses, boxes, masks, groups = 3 }: ResultTerms): string[] {
  const isKd = (name: string) => name.startsWith("kd_");
  const terms = [
    ...LOSSES.filter((name) => losses.includes(name)),
    ...losses.filter((name) => !LOSSES.includes(name) && !isKd(name)),
  ];
  const kd = [
    ...KD.filter((name) => losses.includes(name)),
    ...losses.filter((name) => isKd(name) && !KD.includes(name) && name !== "kd_grad_ratio"),
  ];
  return [
    "epoch",
    "time",
    ...terms.map((name) => `train/${name}_loss`),
    ...(boxes ? METRICS.map((name) => `metrics/${name}(B)`) : []),
    ...(masks ? METRICS.map((name) => `metrics/${name}(M)`) : []),
    ...terms.map((name) => `val/${name}_loss`),
    ...Array.from({ length: groups }, (_, i) => `lr/pg${i}`),
    ...kd.map((name) => `train/${name}`),
    ...(losses.includes("kd_grad_ratio") ? ["kd/grad_ratio"] : []),
    "grad_norm",
  ];
}

/** The value behind a column name, or null when the epoch has none. */
function cellValue(column: string, record: EpochRecord): number | null {
  if (column === "epoch") return record.epoch;
  if (column === "time") return record.time;
  if (column === "grad_norm") return record.gradNorm;
  if (column === "kd/grad_ratio") return record.train["kd_grad_ratio"] ?? null;
  const [, kind = "", rest = ""] = /^(\w+)\/(.+)$/.exec(column) ?? [];
  switch (kind) {
    case "train":
      return record.train[rest.startsWith("kd_") ? rest : rest.replace(/_loss$/, "")] ?? null;
    case "val":
      return record.metrics?.[`val_${rest}`] ?? null;
    case "lr":
      return record.lr[Number(rest.slice(2))] ?? null;
    case "metrics": {
      const name = rest.slice(0, -3);
      return record.metrics?.[rest.endsWith("(M)") ? `mask_${name}` : name] ?? null;
    }
    default:
      return null;
  }
}

/** One line without its end; six significant digits, empty cells for absent values. */
export function resultsRow(columns: readonly string[], record: EpochRecord): string {
  return columns
    .map((column) => {
      const value = cellValue(column, record);
      if (value === null) return "";
      return Number.isFinite(value) ? String(Number(value.toPrecision(6))) : String(value).toLowerCase();
    })
    .join(",");
}
