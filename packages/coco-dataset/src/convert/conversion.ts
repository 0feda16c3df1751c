import type { CocoDataset } from "../document.js";
import type { ConversionReport } from "./conversion-report.js";

/** A finished conversion in memory; {@link writeConversion} puts it on the disk. */
export interface Conversion {
  /** Text or COCO documents by path, forward slashes, relative to the target folder. */
  readonly files: ReadonlyMap<string, string | CocoDataset>;
  /** Pictures that the target expects beside the files; they are copied byte for byte, never encoded again. */
  readonly images: readonly { readonly fileName: string; readonly path: string }[];
  readonly lossReport: ConversionReport;
}
