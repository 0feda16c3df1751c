import { modelChange } from "./model-change.js";
import { holesOf } from "./not-measured.js";
import type { Overlay, ReportData } from "./report-data.js";
import { verdict } from "./verdict.js";

/** A picture as `report.json` names it: `file` lies beside the report. */
export interface StoredOverlay extends Omit<Overlay, "image"> {
  file: string;
}

/** Content of `report.json`: everything the page shows, pictures as files, and in `derived` what the page computes from the rest. */
export interface ReportJson extends Omit<ReportData, "overlays"> {
  version: 2;
  overlays: StoredOverlay[];
  derived: {
    verdict: { headline: string; details: readonly string[] };
    /** INT8 against fp32. */
    changes: NonNullable<ReturnType<typeof modelChange>>[];
    /** What adapting gained by class and over all, after minus before. */
    teacherGains: { name: string; iou: number }[];
    detectorGains: { name: string; ap50: number; ap: number }[];
    /** Annotations by split and by class, over the listed classes. */
    annotationsBySplit: { name: string; annotations: number }[];
    annotationsByClass: { name: string; annotations: number }[];
    /** Lost objects over those the reference finds, in the order of `comparisons`. */
    lostShares: (number | null)[];
    holes: string[];
  };
}

/** Folder of the pictures beside the report. */
export const PICTURES_FOLDER = "report-pictures";

/** The stored form of a report, and the pictures to write beside it by file name. */
export function reportJson(data: ReportData): { json: ReportJson; pictures: Readonly<Record<string, Uint8Array>> } {
  const { overlays, ...plain } = data;
  const pictures: Record<string, Uint8Array> = {};
  const stored = overlays.map(({ image, ...rest }, i) => {
    const file = `${PICTURES_FOLDER}/${String(i + 1).padStart(2, "0")}.${rest.mime === "image/png" ? "png" : "jpg"}`;
    pictures[file] = image;
    return { ...rest, file };
  });
  return { json: { version: 2, ...plain, overlays: stored, derived: derivedOf(data) }, pictures };
}

function derivedOf(data: ReportData): ReportJson["derived"] {
  const { teacher, detector, dataset, models, comparisons = [] } = data;
  const sum = (counts: readonly (number | undefined)[]) => counts.reduce<number>((all, count) => all + (count ?? 0), 0);
  const splits = [...new Set(dataset.classes.flatMap(({ counts }) => Object.keys(counts)))];
  return {
    verdict: verdict(data),
    changes: models.map((model) => modelChange(model, models)).filter((change) => change !== null),
    teacherGains:
      teacher === null
        ? []
        : [
            ...gains(teacher.before.perClass, teacher.after.perClass, (a, b) => ({ name: a.name, iou: a.iou - b.iou })),
            { name: "all objects", iou: teacher.after.meanIou - teacher.before.meanIou },
          ],
    detectorGains: !detector
      ? []
      : [
          ...gains(detector.before.perClass, detector.after.perClass, (a, b) => ({
            name: a.name,
            ap50: a.ap50 - b.ap50,
            ap: a.ap - b.ap,
          })),
          {
            name: "all classes",
            ap50: detector.after.map50 - detector.before.map50,
            ap: detector.after.map - detector.before.map,
          },
        ],
    annotationsBySplit: splits.map((name) => ({
      name,
      annotations: sum(dataset.classes.map(({ counts }) => counts[name])),
    })),
    annotationsByClass: dataset.classes.map(({ name, counts }) => ({ name, annotations: sum(Object.values(counts)) })),
    lostShares: comparisons.map(({ total }) => (total.reference === 0 ? null : total.lost / total.reference)),
    holes: holesOf(data),
  };
}

function gains<T extends { name: string }, R>(
  before: readonly T[],
  after: readonly T[],
  gain: (after: T, before: T) => R,
): R[] {
  const earlier = new Map(before.map((entry) => [entry.name, entry]));
  return after.flatMap((entry) => (earlier.has(entry.name) ? [gain(entry, earlier.get(entry.name)!)] : []));
}

/** A stored report back as data; `readPicture` gives the bytes of a file beside it. */
export function parseReportJson(
  { version: _, derived: __, overlays, ...plain }: ReportJson,
  readPicture: (file: string) => Uint8Array,
): ReportData {
  return {
    ...plain,
    overlays: overlays.map(({ file, ...rest }) => ({ ...rest, image: readPicture(file) })),
  };
}
