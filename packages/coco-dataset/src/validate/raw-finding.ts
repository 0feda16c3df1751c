import type { CocoDataset } from "../document.js";
import {
  type Finding,
  type FindingFix,
  type FindingLayer,
  listSome,
  MAX_FINDING_IDS,
  type Severity,
} from "../findings.js";

/** A finding with every id, before it is cut for the report. */
export interface RawFinding {
  readonly code: string;
  readonly severity: Severity;
  readonly layer: FindingLayer;
  /** Without the list of ids, which {@link publish} appends. */
  readonly message: string;
  readonly ids: readonly number[];
  /** Names of the files concerned; derived from the images of annotations where absent. */
  readonly files?: readonly string[];
  readonly count?: number;
  readonly fix?: FindingFix;
  /** What the ids are. @defaultValue "annotation" */
  readonly subject?: "annotation" | "image" | "category" | "none";
}

/** The findings as reported: at most 50 ids, files named in the message. */
export function publish(raw: readonly RawFinding[], dataset: CocoDataset): Finding[] {
  const fileOf = new Map(dataset.images.map((image) => [image.id, image.file_name]));
  const imageOf = new Map(dataset.annotations.map((annotation) => [annotation.id, annotation.image_id]));
  return raw.map((item) => {
    const { subject = "annotation" } = item;
    const files = item.files ?? filesOf(item.ids, subject, fileOf, imageOf);
    const where = subject === "annotation" ? `${item.ids.length === 1 ? "annotation" : "annotations"} ` : "";
    const ids = subject === "none" || item.ids.length === 0 ? "" : ` ${where}${listSome(item.ids)}`;
    const named = files.length === 0 ? "" : ` in ${listSome(files)}`;
    const tail =
      subject === "image" || subject === "none" ? (files.length > 0 ? ` ${listSome(files)}` : ids) : `${ids}${named}`;
    return {
      code: item.code,
      severity: item.severity,
      layer: item.layer,
      message: tail === "" ? item.message : `${item.message}:${tail}.`,
      count: item.count ?? item.ids.length,
      ids: item.ids.slice(0, MAX_FINDING_IDS),
      ...(files.length === 0 ? {} : { files: files.slice(0, MAX_FINDING_IDS) }),
      ...(item.fix === undefined ? {} : { fix: item.fix }),
    };
  });
}

function filesOf(
  ids: readonly number[],
  subject: RawFinding["subject"],
  fileOf: ReadonlyMap<number, string>,
  imageOf: ReadonlyMap<number, number>,
): string[] {
  if (subject !== "annotation" && subject !== "image") return [];
  const names = new Set<string>();
  for (const id of ids) {
    const name = fileOf.get(subject === "image" ? id : (imageOf.get(id) ?? Number.NaN));
    if (name !== undefined) names.add(name);
    if (names.size > MAX_FINDING_IDS) break;
  }
  return [...names];
}
