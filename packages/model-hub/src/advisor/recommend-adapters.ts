import type { ModelHit } from "../sources/types.js";
import { cosine, type Embedder, hashedEmbedder, wordsOf } from "./embedder.js";

/** A model that could be loaded beside a base: LoRA, embedding or textual inversion. */
export interface AdapterCandidate
  extends Pick<
    ModelHit,
    "id" | "name" | "kind" | "baseModel" | "licence" | "downloads" | "rating" | "owner" | "tags" | "safety"
  > {
  readonly description?: string;
  readonly triggerWords?: readonly string[];
  /** Layers that it changes; with another vocabulary of classes two adapters of the same layers contradict each other. */
  readonly targetModules?: readonly string[];
  readonly classNames?: readonly string[];
  /** Of adapters of one group, such as a style, one is used. */
  readonly exclusiveGroup?: string;
}

/** How often an adapter was used here, and how it was liked. */
export interface AdapterHistory {
  readonly runs: number;
  readonly successes: number;
  /** 1 to 5; null: never rated. */
  readonly averageRating: number | null;
}

/** Shares of the four parts of a score; they are scaled to add up to 1. */
export interface ScoreWeights {
  readonly semantic: number;
  readonly keyword: number;
  readonly popularity: number;
  readonly history: number;
}

export const DEFAULT_SCORE_WEIGHTS: ScoreWeights = { semantic: 0.4, keyword: 0.3, popularity: 0.2, history: 0.1 };

/** What is asked of {@link recommendAdapters}. */
export interface AdapterRequest {
  /** Description of the task in words. */
  readonly task: string;
  readonly classNames?: readonly string[];
  readonly candidates: readonly AdapterCandidate[];
  /** Adapters of other bases are left out. */
  readonly baseModel?: string | null;
  /** By id; others have no history. */
  readonly history?: ReadonlyMap<string, AdapterHistory>;
  /** Of the data, 0..1. @defaultValue 0.5 */
  readonly complexity?: number;
  readonly weights?: Partial<ScoreWeights>;
  /** Tags, publishers and words that are not wanted, in any spelling of case. */
  readonly blocked?: {
    readonly tags?: readonly string[];
    readonly owners?: readonly string[];
    readonly words?: readonly string[];
  };
  /** @defaultValue all */
  readonly licences?: readonly string[] | null;
  /** @defaultValue 3, at most 8 */
  readonly limit?: number;
  /** @defaultValue 0.25 */
  readonly minScore?: number;
  /** What tells how alike task and adapters are. @defaultValue {@link hashedEmbedder} */
  readonly embedder?: Embedder;
}

/** An adapter to use, and why. */
export interface RecommendedAdapter {
  readonly id: string;
  readonly name: string;
  readonly kind: AdapterCandidate["kind"];
  readonly score: number;
  readonly parts: ScoreWeights;
  /** How strongly to apply it. */
  readonly weight: number;
  readonly reasoning: string;
}

/** Result of {@link recommendAdapters}. */
export interface AdapterAdvice {
  readonly recommended: readonly RecommendedAdapter[];
  /** Everything else, each with the reason. */
  readonly rejected: readonly { readonly id: string; readonly score: number | null; readonly reason: string }[];
  /** What the semantic part compared. */
  readonly measure: string;
  /** Words of the task that the measure does not know. */
  readonly unread: readonly string[];
}

const MAX_LIMIT = 8;
/** Adapters together may not outweigh the base. */
const MAX_TOTAL_WEIGHT = 3;
const NO_HISTORY: AdapterHistory = { runs: 0, successes: 0, averageRating: null };
/** Words that say nothing about a task. */
const STOP_WORDS = new Set(
  "a an and any are at by for from in into is it its of on or that the this to with all find detect segment model images image".split(
    " ",
  ),
);

/**
 * Adapters for a task: score = 0.40 semantic + 0.30 keyword + 0.20 popularity + 0.10 history. What is blocked, for another base, under another
 * licence or an unchecked pickle is left out first; of contradicting ones the better stays. Order: score, semantic part, id.
 *
 * @throws RangeError for weights that are negative or all 0
 */
export async function recommendAdapters(request: AdapterRequest): Promise<AdapterAdvice> {
  const {
    candidates,
    history = new Map(),
    complexity = 0.5,
    limit = 3,
    minScore = 0.25,
    embedder = hashedEmbedder,
  } = request;
  const weights = normalised({ ...DEFAULT_SCORE_WEIGHTS, ...request.weights });
  const rejected: { id: string; score: number | null; reason: string }[] = [];
  const cards = candidates.map((candidate): Card => {
    const text = textOf(candidate);
    return { candidate, text, words: new Set(wordsOf(text)) };
  });
  const allowed = cards.filter((card) => {
    const reason = whyNot(card, request);
    if (reason !== null) rejected.push({ id: card.candidate.id, score: null, reason });
    return reason === null;
  });
  const terms = termsOf(request);
  // Sentences of their own: an encoder of phrases reads each class name as it would in a caption.
  const taskText = [request.task, ...(request.classNames ?? [])].join(". ");
  const [task, ...vectors] = await embedder.embed([taskText, ...allowed.map(({ text }) => text)]);
  const scored = allowed.map(({ candidate, words }, i) => {
    const parts: ScoreWeights = {
      semantic: Math.max(0, cosine(task!, vectors[i]!)),
      keyword: keywordShare(terms, words),
      popularity: popularityOf(candidate),
      history: historyOf(history.get(candidate.id) ?? NO_HISTORY),
    };
    return { candidate, words, parts, score: weightedScore(parts, weights) };
  });
  scored.sort(
    (a, b) => b.score - a.score || b.parts.semantic - a.parts.semantic || (a.candidate.id < b.candidate.id ? -1 : 1),
  );
  const chosen: typeof scored = [];
  for (const item of scored) {
    const reject = (reason: string) => rejected.push({ id: item.candidate.id, score: item.score, reason });
    if (item.score < minScore) {
      reject(`its score ${item.score.toFixed(2)} is below ${minScore}`);
      continue;
    }
    const rival = chosen.find(({ candidate }) => contradict(candidate, item.candidate));
    if (rival !== undefined) reject(`it contradicts ${rival.candidate.id}, whose score is ${rival.score.toFixed(2)}`);
    else if (chosen.length >= Math.min(limit, MAX_LIMIT)) reject(`${chosen.length} better ones were found`);
    else chosen.push(item);
  }
  const strengths = balanceWeights(chosen.map(({ score }) => adapterWeight(score, complexity)));
  return {
    recommended: chosen.map(({ candidate, words, parts, score }, i) => ({
      id: candidate.id,
      name: candidate.name,
      kind: candidate.kind,
      score,
      parts,
      weight: strengths[i]!,
      reasoning: reasoningOf({ candidate, words, parts, terms }),
    })),
    rejected,
    measure: embedder.measure,
    unread: embedder.unknownWords?.(taskText) ?? [],
  };
}

/** An advice in words, for people. */
export function explainAdapters({ recommended, rejected, measure, unread }: AdapterAdvice): string {
  const chosen = recommended.map(
    ({ name, weight, score, reasoning }) =>
      `  ${name} at ${weight.toFixed(2)} (score ${score.toFixed(2)}) - ${reasoning}`,
  );
  const left = rejected.map(({ id, reason }) => `  not ${id}: ${reason}`);
  const unknown = unread.length === 0 ? "" : `; it does not know ${unread.join(", ")}`;
  return [
    "Adapters",
    ...(chosen.length === 0 ? ["  none fits"] : chosen),
    ...left,
    `  how alike task and descriptions are was measured by ${measure}${unknown}`,
    "",
  ].join("\n");
}

/** Sum of the parts by their weights. */
export function weightedScore(parts: ScoreWeights, weights: ScoreWeights = DEFAULT_SCORE_WEIGHTS): number {
  return (
    weights.semantic * parts.semantic +
    weights.keyword * parts.keyword +
    weights.popularity * parts.popularity +
    weights.history * parts.history
  );
}

/** clamp(0.3 + 0.6 score + 0.2 complexity, 0.3, 1.2) */
export function adapterWeight(score: number, complexity: number): number {
  return Math.min(1.2, Math.max(0.3, 0.3 + 0.6 * score + 0.2 * complexity));
}

/** Scales weights whose sum is above 3 down to it. */
export function balanceWeights(weights: readonly number[]): number[] {
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return total > MAX_TOTAL_WEIGHT ? weights.map((weight) => (weight * MAX_TOTAL_WEIGHT) / total) : [...weights];
}

function normalised(weights: ScoreWeights): ScoreWeights {
  const values = Object.values(weights);
  const total = values.reduce((sum, weight) => sum + weight, 0);
  if (!(total > 0) || values.some((weight) => !(weight >= 0))) {
    throw new RangeError(`Score weights must be at least 0 and not all 0; got ${JSON.stringify(weights)}.`);
  }
  const { semantic, keyword, popularity, history } = weights;
  return {
    semantic: semantic / total,
    keyword: keyword / total,
    popularity: popularity / total,
    history: history / total,
  };
}

/** A candidate with the words of its card. */
interface Card {
  readonly candidate: AdapterCandidate;
  readonly text: string;
  readonly words: ReadonlySet<string>;
}

/** Why a candidate is not considered, null if it is. */
function whyNot(
  { candidate, words }: Card,
  { baseModel = null, blocked = {}, licences = null }: AdapterRequest,
): string | null {
  const same = (a: string, b: string) => a.toLowerCase() === b.toLowerCase();
  const tag = candidate.tags.find((own) => blocked.tags?.some((other) => same(own, other)));
  if (tag !== undefined) return `its tag "${tag}" is blocked`;
  const { owner } = candidate;
  if (owner !== null && blocked.owners?.some((other) => same(owner, other))) return `its publisher ${owner} is blocked`;
  const word = blocked.words?.find((other) => words.has(other.toLowerCase()));
  if (word !== undefined) return `it speaks of "${word}", which is blocked`;
  if (baseModel !== null && candidate.baseModel !== null && !same(candidate.baseModel, baseModel)) {
    return `it was made for ${candidate.baseModel}, not for ${baseModel}`;
  }
  if (
    licences !== null &&
    !licences.some((licence) => candidate.licence !== null && same(licence, candidate.licence))
  ) {
    return candidate.licence === null ? "its licence is unknown" : `its licence ${candidate.licence} is not accepted`;
  }
  const { safeFormat, pickleScan } = candidate.safety;
  const isChecked = pickleScan !== null && /^(success|clean|safe)$/i.test(pickleScan);
  return safeFormat === false && !isChecked ? "it is a pickle that nobody has checked" : null;
}

const textOf = ({ name, description = "", tags, triggerWords = [] }: AdapterCandidate): string =>
  [name, description, ...tags, ...triggerWords].join(". ");

/** Words of the task with their weight; those of class names count twice. */
function termsOf({ task, classNames = [] }: AdapterRequest): ReadonlyMap<string, number> {
  const terms = new Map<string, number>();
  for (const word of wordsOf(task)) if (!STOP_WORDS.has(word)) terms.set(word, 1);
  for (const word of classNames.flatMap(wordsOf)) terms.set(word, 2);
  return terms;
}

function keywordShare(terms: ReadonlyMap<string, number>, words: ReadonlySet<string>): number {
  let total = 0;
  let found = 0;
  for (const [term, weight] of terms) {
    total += weight;
    if (words.has(term)) found += weight;
  }
  return total === 0 ? 0 : found / total;
}

/** Half downloads on a logarithmic scale up to a million, half rating; downloads alone where nobody rated. */
function popularityOf({ downloads, rating }: AdapterCandidate): number {
  const spread = Math.min(1, Math.log10(1 + (downloads ?? 0)) / 6);
  return rating === null ? spread : 0.5 * spread + 0.5 * (rating / 5);
}

/** Half success (one added, so that a first success is no certainty), half rating; 0.5 without runs. */
function historyOf({ runs, successes, averageRating }: AdapterHistory): number {
  if (runs === 0) return 0.5;
  const success = (successes + 1) / (runs + 2);
  return averageRating === null ? success : 0.5 * success + 0.5 * ((averageRating - 1) / 4);
}

function contradict(a: AdapterCandidate, b: AdapterCandidate): boolean {
  if (a.exclusiveGroup !== undefined && a.exclusiveGroup === b.exclusiveGroup) return true;
  const shared = a.targetModules?.some((layer) => b.targetModules?.includes(layer)) ?? false;
  if (!shared || a.classNames === undefined || b.classNames === undefined) return false;
  const key = (names: readonly string[]) =>
    names
      .map((name) => name.toLowerCase())
      .sort()
      .join("\n");
  return key(a.classNames) !== key(b.classNames);
}

function reasoningOf({
  candidate,
  words,
  parts,
  terms,
}: Pick<Card, "candidate" | "words"> & { parts: ScoreWeights; terms: ReadonlyMap<string, number> }): string {
  const shared = [...terms.keys()].filter((term) => words.has(term));
  const about =
    shared.length === 0 ? "It shares no word with the task" : `It speaks of ${shared.slice(0, 4).join(", ")}`;
  const likeness =
    parts.semantic >= 0.5
      ? "is close to the task"
      : parts.semantic >= 0.2
        ? "is related to the task"
        : "is far from the task";
  const used =
    parts.history > 0.55 ? "; it did well here before" : parts.history < 0.45 ? "; it did badly here before" : "";
  const known = candidate.downloads === null ? "" : `, downloaded ${candidate.downloads} times`;
  return `${about}; its description ${likeness}${known}${used}.`;
}
