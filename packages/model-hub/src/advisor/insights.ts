import type { FeedbackStatistics } from "./learning-store.js";

/** Changes of one output after which it is worth a sentence. */
const OFTEN = 3;

/** What the numbers say, in sentences, most important first. */
export function insightsOf(statistics: FeedbackStatistics): string[] {
  const { runs, succeeded, failed, feedback, ratings, trend, top_adapters, most_adjusted, tags } = statistics;
  if (runs === 0) return ["No run was recorded yet: plans follow the rules alone."];
  const finished = succeeded + failed;
  const sentences: string[] = [];
  if (finished > 0) {
    sentences.push(
      `${succeeded} of ${finished} finished runs succeeded (${Math.round((100 * succeeded) / finished)} %).`,
    );
  }
  if (ratings.rating !== null) {
    sentences.push(
      `People rate results ${ratings.rating.toFixed(1)} of 5 on average (${feedback} answer${feedback === 1 ? "" : "s"}).`,
    );
  }
  const parts = (["quality", "accuracy", "aesthetic"] as const).flatMap((part) =>
    ratings[part] === null ? [] : [{ part, mean: ratings[part] }],
  );
  const worst = parts.toSorted((a, b) => a.mean - b.mean)[0];
  const names = { quality: "masks", accuracy: "class names", aesthetic: "outlines" } as const;
  if (worst !== undefined && worst.mean < 3.5) {
    sentences.push(`What they like least are the ${names[worst.part]} (${worst.mean.toFixed(1)} of 5).`);
  }
  const rated = trend.filter(({ rating }) => rating !== null);
  const [before, last] = rated.slice(-2);
  if (before !== undefined && last !== undefined && Math.abs(last.rating! - before.rating!) >= 0.5) {
    const direction = last.rating! > before.rating! ? "rose" : "fell";
    sentences.push(
      `The rating ${direction} from ${before.rating!.toFixed(1)} in ${before.month} to ${last.rating!.toFixed(1)} in ${last.month}.`,
    );
  }
  for (const { output, count, to } of most_adjusted.filter(({ count }) => count >= OFTEN).slice(0, 3)) {
    sentences.push(`${output.replaceAll("_", " ")} was changed in ${count} runs, most often to ${to ?? "none"}.`);
  }
  const [adapter] = top_adapters;
  if (adapter !== undefined && adapter.averageRating !== null) {
    sentences.push(
      `The best rated adapter is ${adapter.adapter} (${adapter.averageRating.toFixed(1)} of 5 in ${adapter.runs} run${adapter.runs === 1 ? "" : "s"}).`,
    );
  }
  const [tag] = Object.entries(tags);
  if (tag !== undefined && tag[1] >= OFTEN)
    sentences.push(`The most frequent remark is "${tag[0]}" (${tag[1]} times).`);
  return sentences;
}
