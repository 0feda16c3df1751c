import {
  boxIou,
  type CocoAnnotation,
  type CocoDataset,
  type CocoImage,
  type CocoResult,
  evaluate,
} from "@seg/coco-dataset";
import {
  type DetectorPrompt,
  type DetectorScene,
  type DetectorSceneKey,
  detectorPrompt,
  detectorScene,
} from "@seg/teachers";

/** A scene with its question. */
export interface Question {
  readonly scene: DetectorScene;
  readonly prompt: DetectorPrompt;
}

/** What the network answers: score of every query for every phrase, and its box in pixels, xyxy. */
export interface Answer {
  /** [phrases][queries] */
  readonly scores: readonly (readonly number[])[];
  readonly boxes: readonly (readonly [number, number, number, number])[];
  /** Boxes of the selected encoder proposals. */
  readonly proposals: readonly (readonly [number, number, number, number])[];
}

/** How well prompts are answered. */
export interface PromptScores {
  /** Mean over the last words of phrases of AP at IoU .5, with every (scene, phrase) judged by itself. */
  readonly mAP50: number;
  /** AP at IoU .5 over all phrases together. */
  readonly pooledAP50: number;
  /** Share of asked objects of which some proposal has IoU > .5. */
  readonly proposalRecall: number;
  readonly objects: number;
  readonly perWord: Readonly<Record<string, number>>;
}

/** Scenes of a split with at least one object to find. */
export function questions(
  split: DetectorSceneKey["split"],
  { seed, count, side }: { seed: number; count: number; side: number },
): Question[] {
  const result: Question[] = [];
  for (let index = 0; result.length < count; index++) {
    const key = { seed, split, index, side };
    const scene = detectorScene(key);
    const prompt = detectorPrompt(scene, key);
    if (prompt.objects.length > 0) result.push({ scene, prompt });
  }
  return result;
}

/** A detection of a phrase counts for the objects of that phrase alone: naming the wrong red thing is wrong. */
export function scorePrompts(asked: readonly Question[], answers: readonly Answer[]): PromptScores {
  const words = [...new Set(asked.flatMap(({ prompt }) => prompt.phrases.map(({ text }) => lastWord(text))))].sort();
  const images: CocoImage[] = [];
  const annotations: CocoAnnotation[] = [];
  const detections: CocoResult[] = [];
  let objects = 0;
  let proposed = 0;
  for (const [i, { scene, prompt }] of asked.entries()) {
    const { width, height } = scene.image;
    const { scores, boxes, proposals } = answers[i]!;
    for (const { box } of prompt.objects) {
      objects++;
      if (proposals.some((proposal) => boxIou(box, proposal) > 0.5)) proposed++;
    }
    for (const [phrase, { text }] of prompt.phrases.entries()) {
      const image_id = images.length + 1;
      const category_id = words.indexOf(lastWord(text)) + 1;
      images.push({ id: image_id, file_name: `${i}-${phrase}`, width, height });
      for (const { box } of prompt.objects.filter((object) => object.phrase === phrase)) {
        annotations.push({ id: annotations.length + 1, image_id, category_id, ...xywh(box), iscrowd: 0 });
      }
      for (const [query, box] of boxes.entries()) {
        detections.push({ image_id, category_id, bbox: xywh(box).bbox, score: scores[phrase]![query]! });
      }
    }
  }
  const judge = (categories: readonly string[], pooled: boolean) => {
    const one = <T extends { category_id: number }>(row: T): T => (pooled ? { ...row, category_id: 1 } : row);
    const groundTruth = {
      images,
      annotations: annotations.map(one),
      categories: categories.map((name, k) => ({ id: k + 1, name })),
    } as CocoDataset;
    return evaluate({ groundTruth, detections: detections.map(one), iouType: "bbox" });
  };
  const byWord = judge(words, false);
  const perWord = byWord.perClass.filter(({ instances }) => instances > 0);
  return {
    mAP50: perWord.reduce((sum, { ap50 }) => sum + ap50, 0) / perWord.length,
    pooledAP50: judge(["any"], true).perClass[0]!.ap50,
    proposalRecall: proposed / objects,
    objects,
    perWord: Object.fromEntries(perWord.map(({ name, ap50 }) => [name, ap50])),
  };
}

function lastWord(text: string): string {
  return text.slice(text.lastIndexOf(" ") + 1);
}

function xywh([x1, y1, x2, y2]: readonly [number, number, number, number]) {
  const bbox: [number, number, number, number] = [x1, y1, x2 - x1, y2 - y1];
  return { bbox, area: bbox[2] * bbox[3] };
}
