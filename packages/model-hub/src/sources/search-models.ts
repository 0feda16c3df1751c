import { HubError } from "../errors.js";
import { redact } from "../internal/redact.js";
import { classifyLicence } from "../licence/classify-licence.js";
import type { SourceName } from "./model-ref.js";
import {
  type ModelHit,
  type ModelSource,
  type SearchQuery,
  type SearchQueryInput,
  type SortKey,
  type SourceOptions,
  searchQuerySchema,
} from "./types.js";

export interface SearchResult {
  readonly hits: readonly ModelHit[];
  /** Sources that failed, and why; the others' hits are complete. */
  readonly warnings: readonly { readonly source: SourceName; readonly code: string; readonly message: string }[];
  /** Continue with this cursor; null at the end. */
  readonly cursor: string | null;
}

/** Hits that are looked at per wanted one before a source counts as exhausted: filters of ours may drop nearly all. */
const SCAN_FACTOR = 20;

/**
 * Searches all sources at once and merges: by sort key, then order of the sources, then id. Filters that a hub cannot apply are applied
 * here. Hits whose files have the same SHA-256 become one, with all origins.
 *
 * @throws {@link HubError} `INVALID_REQUEST` for a malformed query, `SOURCE_UNAVAILABLE` when every source failed
 */
export async function searchModels({
  sources,
  query: input,
  signal,
}: {
  sources: readonly ModelSource[];
  query: SearchQueryInput;
  signal?: AbortSignal | undefined;
}): Promise<SearchResult> {
  const parsed = searchQuerySchema.safeParse(input);
  if (!parsed.success) {
    throw new HubError({
      code: "INVALID_REQUEST",
      message: `The search is malformed: ${parsed.error.issues.map((issue) => `${issue.path.join(".") || "query"}: ${issue.message}`).join("; ")}.`,
      details: { issues: parsed.error.issues.map(({ path, message }) => ({ path: path.join("."), message })) },
    });
  }
  const query = parsed.data;
  const offset = readCursor(query.cursor);
  const chosen = sources.filter(({ name }) => query.sources === undefined || query.sources.includes(name));
  const wanted = offset + query.limit;
  const outcomes = await Promise.allSettled(chosen.map((source) => collect(source, query, wanted + 1, { signal })));
  signal?.throwIfAborted();
  const warnings: SearchResult["warnings"][number][] = [];
  const all: { hit: ModelHit; order: number; rank: number }[] = [];
  outcomes.forEach((outcome, order) => {
    if (outcome.status === "fulfilled") {
      outcome.value.forEach((hit, rank) => {
        all.push({ hit, order, rank });
      });
      return;
    }
    const { reason } = outcome;
    warnings.push({
      source: chosen[order]!.name,
      code: HubError.isInstance(reason) ? reason.code : "SOURCE_UNAVAILABLE",
      message: redact(reason instanceof Error ? reason.message : String(reason)),
    });
  });
  if (chosen.length > 0 && warnings.length === chosen.length) {
    throw new HubError({
      code: "SOURCE_UNAVAILABLE",
      message: `No source answered: ${warnings.map(({ source, message }) => `${source}: ${message}`).join("; ")}`,
      details: { warnings },
    });
  }
  all.sort(
    (a, b) =>
      compareBy(query.sort, a, b) || a.order - b.order || (a.hit.id < b.hit.id ? -1 : a.hit.id > b.hit.id ? 1 : 0),
  );
  const folded = fold(all.map(({ hit }) => hit));
  const page = folded.slice(offset, wanted);
  return { hits: page, warnings, cursor: folded.length > wanted ? String(wanted) : null };
}

function readCursor(cursor: string | undefined): number {
  if (cursor === undefined) return 0;
  const offset = Number(cursor);
  if (Number.isSafeInteger(offset) && offset >= 0 && offset <= 10_000) return offset;
  throw new HubError({ code: "INVALID_REQUEST", message: `"${cursor}" is no cursor of this search.` });
}

async function collect(
  source: ModelSource,
  query: SearchQuery,
  wanted: number,
  options: SourceOptions,
): Promise<ModelHit[]> {
  const hits: ModelHit[] = [];
  let scanned = 0;
  for await (const hit of source.search({ ...query, limit: Math.min(1000, wanted) }, options)) {
    if (matches(hit, query)) hits.push(hit);
    if (hits.length >= wanted || ++scanned >= wanted * SCAN_FACTOR) break;
  }
  return hits;
}

const isSame = (a: string | null, b: string): boolean => a !== null && a.toLowerCase() === b.toLowerCase();

/** Whether a hit passes every filter of the query. An unknown fact never satisfies a filter that asks for it. */
export function matches(hit: ModelHit, query: SearchQuery): boolean {
  if (query.kinds !== undefined && !hit.kinds.some((kind) => query.kinds!.includes(kind))) return false;
  if (query.task !== undefined && !isSame(hit.task, query.task)) return false;
  if (query.baseModel !== undefined && !isSame(hit.baseModel, query.baseModel)) return false;
  if (query.licence !== undefined && !isSame(hit.licence, query.licence)) return false;
  if (query.owner !== undefined && !isSame(hit.owner, query.owner)) return false;
  if (query.library !== undefined && !isSame(hit.library, query.library)) return false;
  if (query.tags !== undefined && !query.tags.every((tag) => hit.tags.includes(tag))) return false;
  if (query.format !== undefined) {
    const suffix = `.${query.format.toLowerCase()}`;
    const hasFile = hit.files?.some(({ path }) => path.toLowerCase().endsWith(suffix)) ?? false;
    if (!hasFile && !hit.tags.includes(query.format)) return false;
  }
  if (query.minDownloads !== undefined && (hit.downloads ?? 0) < query.minDownloads) return false;
  if (query.gated !== undefined && hit.gated !== query.gated) return false;
  if (!query.nsfw && hit.safety.nsfw) return false;
  return query.permissiveOnly !== true || classifyLicence(hit.licence) === "permissive";
}

type Ranked = { hit: ModelHit; rank: number };

/** Relevance keeps each source's own order, interleaved; the other keys compare values, absent ones last. */
function compareBy(sort: SortKey, a: Ranked, b: Ranked): number {
  const key = (hit: ModelHit): number | null => {
    switch (sort) {
      case "downloads":
        return hit.downloads;
      case "likes":
        return hit.likes;
      case "updated":
        return hit.updatedAt === null ? null : Date.parse(hit.updatedAt);
      case "created":
        return hit.createdAt === null ? null : Date.parse(hit.createdAt);
      default:
        return null;
    }
  };
  if (sort === "relevance") return a.rank - b.rank;
  const [x, y] = [key(a.hit) ?? Number.NEGATIVE_INFINITY, key(b.hit) ?? Number.NEGATIVE_INFINITY];
  return x === y ? 0 : y > x ? 1 : -1;
}

/** Joins hits of which a weights file has the same digest; the first one stays and names the others. */
function fold(hits: readonly ModelHit[]): ModelHit[] {
  const kept: ModelHit[] = [];
  const byDigest = new Map<string, number>();
  for (const hit of hits) {
    const digests = (hit.files ?? []).map(({ sha256 }) => sha256).filter((digest) => digest !== null);
    const known = digests.map((digest) => byDigest.get(digest)).find((index) => index !== undefined);
    if (known === undefined) {
      for (const digest of digests) byDigest.set(digest, kept.length);
      kept.push({ ...hit, origins: [hit.id] });
    } else if (!kept[known]!.origins.includes(hit.id)) {
      kept[known] = { ...kept[known]!, origins: [...kept[known]!.origins, hit.id] };
    }
  }
  return kept;
}
