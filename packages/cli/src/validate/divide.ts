import {
  type ClassDistribution,
  type CocoDataset,
  classDistribution,
  type Finding,
  type SplitLock,
  type SplitOptions,
  splitDataset,
  validateDataset,
} from "@seg/coco-dataset";

/** Splits of a dataset and where they come from. */
export interface Division {
  readonly parts: Readonly<Record<string, CocoDataset>>;
  readonly distribution: ClassDistribution;
  readonly findings: readonly Finding[];
  /** Null for splits that the data itself declares. */
  readonly lock: SplitLock | null;
}

/** What can be wrong with splits; the data itself was looked at before. */
const SPLIT_CHECKS = ["split_leakage", "class_missing_in_train", "only_in_val_test", "split_drift"];

/**
 * The splits asked for, else the ones that the data declares (folders or lists of a YOLO or VOC dataset, subsets of CVAT), else null.
 * Either way they are checked against each other.
 *
 * @param input.asked - null when no split was asked for
 * @param input.declared - image ids by split, as read
 * @param input.clusters - ids of images that must not be divided
 */
export async function divide({
  dataset,
  asked,
  declared,
  clusters,
}: {
  dataset: CocoDataset;
  asked: SplitOptions | null;
  declared: Readonly<Record<string, readonly number[]>>;
  clusters: readonly (readonly number[])[];
}): Promise<Division | null> {
  const division =
    asked === null ? declaredSplits(dataset, declared) : drawn(dataset, { ...asked, together: clusters });
  if (division === null) return null;
  const { report } = await validateDataset(dataset, {
    splits: division.parts,
    duplicates: { exact: clusters, near: clusters },
    checks: SPLIT_CHECKS,
  });
  // The split itself already names classes that are too rare for every part.
  return { ...division, findings: [...division.findings, ...report.findings] };
}

function drawn(dataset: CocoDataset, options: SplitOptions): Division {
  const { splits, lock, distribution, findings } = splitDataset(dataset, options);
  return { parts: splits, distribution, findings, lock };
}

function declaredSplits(dataset: CocoDataset, declared: Readonly<Record<string, readonly number[]>>): Division | null {
  const names = Object.keys(declared);
  if (names.length === 0) return null;
  const parts = Object.fromEntries(
    names.map((name) => {
      const ids = new Set(declared[name]);
      return [
        name,
        {
          ...dataset,
          images: dataset.images.filter((image) => ids.has(image.id)),
          annotations: dataset.annotations.filter((annotation) => ids.has(annotation.image_id)),
        },
      ];
    }),
  );
  const listed = new Set(Object.values(declared).flat());
  const left = dataset.images.filter((image) => !listed.has(image.id));
  const findings: Finding[] =
    left.length === 0
      ? []
      : [
          {
            code: "image_not_in_split",
            severity: "warn",
            layer: "split",
            message: "Images stand in none of the splits that the data declares, so no split file holds them.",
            count: left.length,
            ids: left.slice(0, 50).map((image) => image.id),
            files: left.slice(0, 50).map((image) => image.file_name),
          },
        ];
  return { parts, distribution: classDistribution(dataset, parts), findings, lock: null };
}
