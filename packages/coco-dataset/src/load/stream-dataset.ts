import type { CocoAnnotation, CocoCategory, CocoImage, CocoResult } from "../document.js";
import { CocoSchemaError } from "../errors.js";
import { CHECK_ELEMENT, checkRecord } from "./check-document.js";
import { readPieces, type StreamOptions } from "./read-pieces.js";

/** A COCO file of any size, one record at a time. Every iterator reads the file anew and holds one chunk of it. */
export interface DatasetStream {
  /** The `info` object, null when there is none. */
  info(): Promise<Readonly<Record<string, unknown>> | null>;
  images(): AsyncGenerator<CocoImage>;
  categories(): AsyncGenerator<CocoCategory>;
  annotations(): AsyncGenerator<CocoAnnotation>;
  /** Rows of a results file, whose document is one array. */
  results(): AsyncGenerator<CocoResult>;
}

/**
 * Reads a COCO file (gzip too) without ever holding the document. Records are checked one by one as `loadDataset` checks them, but ids stay
 * as they are written: integers for strings need all of them.
 *
 * @throws CocoFileNotFoundError, CocoParseError, CocoSchemaError from the iterators
 * @example for await (const annotation of streamDataset("objects365.json").annotations()) count++;
 */
export function streamDataset(file: string, options: StreamOptions = {}): DatasetStream {
  return {
    info: async () => {
      for await (const { value } of readPieces(file, { ...options, wants: (key) => key === "info" })) {
        return value as Record<string, unknown>;
      }
      return null;
    },
    images: () => elements<CocoImage>(file, "images", options),
    categories: () => elements<CocoCategory>(file, "categories", options),
    annotations: () => elements<CocoAnnotation>(file, "annotations", options),
    results: () => results(file, options),
  };
}

async function* elements<T>(file: string, list: keyof typeof CHECK_ELEMENT, options: StreamOptions): AsyncGenerator<T> {
  const check = CHECK_ELEMENT[list] as (item: unknown, index: number) => void;
  for await (const { key, index, value } of readPieces(file, { ...options, wants: (name) => name === list })) {
    if (key !== list) continue;
    if (index < 0) {
      if (Array.isArray(value)) continue;
      throw new CocoSchemaError({ path: `/${list}`, expected: "an array", got: value });
    }
    checkRecord(value, list, index);
    check(value, index);
    yield value as T;
  }
}

async function* results(file: string, options: StreamOptions): AsyncGenerator<CocoResult> {
  for await (const { key, index, value } of readPieces(file, options)) {
    if (key !== null) {
      throw new CocoSchemaError({
        path: "",
        expected: "a list of detections",
        got: {},
        hint: "A dataset is read by images(), annotations().",
      });
    }
    if (index < 0) continue;
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      throw new CocoSchemaError({ path: `/${index}`, expected: "a detection", got: value });
    }
    yield value as CocoResult;
  }
}
