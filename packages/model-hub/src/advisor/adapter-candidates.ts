import { z } from "zod";
import { parseOrThrow } from "../registry/parse.js";
import { MODEL_KINDS } from "../sources/model-kinds.js";
import type { AdapterCandidate } from "./recommend-adapters.js";

const text = z.string().nullable().default(null);
const number = z.number().nullable().default(null);
const words = z.array(z.string()).optional();

/** Loose, because hits of a search carry more than a recommendation asks for. What is absent is unknown. */
const candidate = z.looseObject({
  id: z.string({ error: "an adapter needs an id" }).min(1),
  name: z.string({ error: "an adapter needs a name" }).min(1),
  kind: z.enum(MODEL_KINDS).default("lora"),
  baseModel: text,
  licence: text,
  owner: text,
  downloads: number,
  rating: number,
  tags: z.array(z.string()).default([]),
  safety: z
    .looseObject({
      nsfw: z.boolean().default(false),
      safeFormat: z.boolean().nullable().default(null),
      pickleScan: text,
    })
    .default({ nsfw: false, safeFormat: null, pickleScan: null }),
  description: z.string().optional(),
  triggerWords: words,
  targetModules: words,
  classNames: words,
  exclusiveGroup: z.string().optional(),
});

/**
 * Adapters to choose from as JSON: a list, or what `seg hub search --json` prints (`hits`).
 * @param what - names the input in errors
 * @throws HubError `INVALID_REQUEST` with the path of every problem
 */
export function parseAdapterCandidates(value: unknown, what = "The list of adapters"): AdapterCandidate[] {
  const list = Array.isArray(value) ? value : (value as { hits?: unknown } | null)?.hits;
  return parseOrThrow(z.array(candidate, { error: "expected a list" }), list, what) as AdapterCandidate[];
}
