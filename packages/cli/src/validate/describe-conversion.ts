import type { ConversionReport } from "@seg/coco-dataset";

/** What a conversion wrote and what became of the masks, in one or more lines. */
export function describeConversion({ to, numImages, numWritten, losses, audit }: ConversionReport): string[] {
  const { numCompared, numLossless, numRle, numMultiPart, minIou, changed } = audit;
  const kinds = [
    ...(numRle > 0 ? [`${numRle} run lengths`] : []),
    ...(numMultiPart > 0 ? [`${numMultiPart} of several parts`] : []),
  ];
  const among = kinds.length === 0 ? "" : ` (${kinds.join(", ")} among them)`;
  const masks =
    numCompared === 0
      ? ""
      : numLossless === numCompared
        ? `; all ${numCompared} masks read back equal in every pixel${among}`
        : `; ${numLossless} of ${numCompared} masks read back equal${among}, lowest IoU ${minIou.toFixed(4)} (annotation ${changed[0]?.id ?? "?"})`;
  return [
    `converted   to ${to}: ${numWritten} objects in ${numImages} images${masks}`,
    ...losses.map((loss) => `  ${loss.needsConsent ? "lost " : "note "} ${loss.code} (${loss.count}): ${loss.message}`),
  ];
}
