import { resolve } from "node:path";
import type { LoadedSplit } from "../data.js";
import type { MeasuredOn } from "../report/report-data.js";

const filesOf = ({ dataset, imagesDir }: LoadedSplit): string[] =>
  dataset.images.map(({ file_name }) => resolve(imagesDir, file_name));

/**
 * Which split a report is about, told by the images that it shares with those of the training, whatever the file is called. Images are
 * compared by path.
 *
 * @param train - null: not found
 * @param val - null: not found; `"none"`: the training had no validation split
 */
export function measuredOn({
  split,
  train,
  val,
}: {
  split: LoadedSplit;
  train: LoadedSplit | null;
  val: LoadedSplit | "none" | null;
}): MeasuredOn {
  const files = filesOf(split);
  const shared = (other: LoadedSplit) => {
    const theirs = new Set(filesOf(other));
    return files.filter((file) => theirs.has(file)).length;
  };
  const trainedOn = train === null ? null : shared(train);
  const chosenOn = val === null ? null : val === "none" ? 0 : shared(val);
  const isWhole = (count: number | null) => count === files.length && count > 0;
  return {
    split: isWhole(trainedOn) ? "training" : isWhole(chosenOn) ? "validation" : "test",
    images: files.length,
    trainedOn,
    chosenOn,
  };
}
