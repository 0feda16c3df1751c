import { readFile } from "node:fs/promises";
import {
  type AdapterAdvice,
  type AdapterCandidate,
  type AdapterRequest,
  parseAdapterCandidates,
  recommendAdapters,
} from "@seg/model-hub";
import { UsageError } from "../errors.js";
import { openTextEncoder } from "./open-text-encoder.js";

/**
 * Which adapters of a JSON file suit a task. Where a Grounding DINO is named its text encoder tells how alike task and descriptions are, else
 * words and character grams do; the advice says which.
 *
 * @param file - a list, or what `seg hub search --json` prints
 * @param textEncoder - folder of a Grounding DINO, or the name of the embedded one
 * @throws UsageError for a file that is no list of adapters; CommandError `cli/grounding-dino-not-found`
 */
export async function adviseAdapters({
  file,
  textEncoder,
  ...about
}: Omit<AdapterRequest, "candidates"> & {
  readonly file: string;
  readonly textEncoder: string | undefined;
}): Promise<AdapterAdvice> {
  const request: AdapterRequest = { ...about, candidates: await readCandidates(file) };
  if (textEncoder === undefined) return recommendAdapters(request);
  const embedder = await openTextEncoder(textEncoder);
  try {
    return await recommendAdapters({ ...request, embedder });
  } finally {
    embedder.dispose();
  }
}

async function readCandidates(file: string): Promise<AdapterCandidate[]> {
  const text = await readFile(file, "utf8");
  try {
    return parseAdapterCandidates(JSON.parse(text), file);
  } catch (error) {
    const reason = error instanceof SyntaxError ? `${file} holds no JSON` : (error as Error).message;
    throw new UsageError(`--adapters: ${reason}. Give a list of adapters, or what seg hub search --json prints.`);
  }
}
