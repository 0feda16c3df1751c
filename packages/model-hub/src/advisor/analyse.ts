import { z } from "zod";
import { wordsOf } from "./embedder.js";
import { DOMAIN_DISTANCE } from "./facts.js";

/** What a word of a task is about. */
export type ConceptCategory =
  | "object"
  | "part"
  | "material"
  | "domain"
  | "scene"
  | "lighting"
  | "weather"
  | "viewpoint"
  | "sensor"
  | "defect"
  | "quality";

const CATEGORIES = [
  "object",
  "part",
  "material",
  "domain",
  "scene",
  "lighting",
  "weather",
  "viewpoint",
  "sensor",
  "defect",
  "quality",
] as const satisfies readonly ConceptCategory[];

/** Words by category; what is in none is an object. */
const LEXICON: Readonly<Record<Exclude<ConceptCategory, "object">, readonly string[]>> = {
  part: [
    "handle",
    "lid",
    "wheel",
    "edge",
    "corner",
    "seam",
    "leaf",
    "stem",
    "nucleus",
    "label",
    "cap",
    "screw",
    "zip",
    "strap",
  ],
  material: [
    "metal",
    "steel",
    "plastic",
    "glass",
    "wood",
    "fabric",
    "leather",
    "paper",
    "rubber",
    "concrete",
    "textile",
    "transparent",
    "reflective",
  ],
  domain: [
    "medical",
    "industrial",
    "agricultural",
    "agriculture",
    "aerial",
    "satellite",
    "thermal",
    "microscope",
    "microscopy",
    "radiology",
    "xray",
    "document",
    "factory",
    "inspection",
    "field",
    "crop",
    "blood",
    "cell",
    "cells",
    "tissue",
    "drone",
    "infrared",
    "synthetic",
    "rendered",
    "drawing",
    "scan",
  ],
  scene: [
    "indoor",
    "outdoor",
    "street",
    "conveyor",
    "belt",
    "warehouse",
    "kitchen",
    "greenhouse",
    "forest",
    "water",
    "sky",
    "table",
  ],
  lighting: ["dark", "bright", "night", "backlit", "shadow", "shadows", "dim", "glare", "sunlight"],
  weather: ["rain", "snow", "fog", "mist", "sunny", "cloudy"],
  viewpoint: ["top", "above", "side", "close", "closeup", "overhead", "oblique", "birdseye"],
  sensor: ["camera", "rgb", "grayscale", "infrared", "thermal", "lidar", "webcam", "phone", "microscope"],
  defect: [
    "scratch",
    "scratches",
    "dent",
    "dents",
    "crack",
    "cracks",
    "tear",
    "tears",
    "stain",
    "stains",
    "hole",
    "holes",
    "rust",
    "defect",
    "defects",
    "broken",
    "missing",
    "burr",
  ],
  quality: ["sharp", "blurred", "blurry", "noisy", "compressed", "clean", "high", "low", "resolution"],
};

/** Words that decide the domain, the first that is found in this order. */
const DOMAIN_WORDS: readonly (readonly [domain: string, words: readonly string[]])[] = [
  ["thermal", ["thermal", "infrared"]],
  [
    "medical",
    [
      "medical",
      "radiology",
      "xray",
      "tissue",
      "blood",
      "cell",
      "cells",
      "microscope",
      "microscopy",
      "lesion",
      "tumour",
      "tumor",
    ],
  ],
  ["aerial", ["aerial", "satellite", "drone", "birdseye"]],
  ["document", ["document", "documents", "scan", "invoice", "form"]],
  [
    "agricultural",
    ["agricultural", "agriculture", "crop", "crops", "weed", "weeds", "greenhouse", "fruit", "leaf", "leaves"],
  ],
  ["industrial", ["industrial", "factory", "inspection", "conveyor", "defect", "defects", "scratch", "dent", "crack"]],
  ["synthetic", ["synthetic", "rendered", "drawing", "cartoon"]],
];

/**
 * Names of classes that no photograph of everyday things has: they decide the domain where nobody describes the task. "Cell" is none of them
 * (phones, solar panels), nor is "leaf".
 */
const TELLING_CLASSES: readonly (readonly [domain: string, words: readonly string[]])[] = [
  [
    "medical",
    [
      ...["rbc", "wbc", "platelet", "platelets", "erythrocyte", "erythrocytes", "leukocyte", "leukocytes"],
      ...["lymphocyte", "lymphocytes", "neutrophil", "neutrophils", "monocyte", "monocytes", "eosinophil"],
      ...["nucleus", "nuclei", "mitosis", "lesion", "tumour", "tumor", "polyp", "bacteria", "bacterium"],
    ],
  ],
];

/** The domain that the names of the classes give away; null where they do not. */
export function domainOfClasses(names: readonly string[]): string | null {
  const words = new Set(names.flatMap(wordsOf));
  return TELLING_CLASSES.find(([, list]) => list.some((word) => words.has(word)))?.[0] ?? null;
}

/** Things that stand beside what is looked for and are taken for it, by domain: added to a detector's prompt, dropped from its answer. */
const DISTRACTORS: Readonly<Record<string, readonly string[]>> = {
  photographic: ["background", "shadow", "reflection"],
  industrial: ["shadow", "reflection", "fixture", "hand"],
  medical: ["background", "debris", "air bubble"],
  agricultural: ["soil", "stone", "shadow"],
  aerial: ["shadow", "road marking", "cloud"],
  document: ["page border", "stamp", "noise"],
  thermal: ["background", "reflection"],
  synthetic: ["background"],
};

const STOP = new Set(
  "a an and are at by count detect every find for from has have in is it its of on or please segment show that the these this those to under where which with all any each image images picture pictures photo photos object objects".split(
    " ",
  ),
);

/** A word or phrase of the task. */
export interface Concept {
  readonly text: string;
  readonly category: ConceptCategory;
  /** 1 is normal; classes of this name are sampled and weighted by it. 0.25 to 4. */
  readonly emphasis: number;
}

/** What a task is about. */
export interface TaskAnalysis {
  readonly concepts: readonly Concept[];
  readonly intent: {
    readonly domain: string;
    readonly content_type: "objects" | "parts" | "defects";
    readonly quality_level: "draft" | "standard" | "high";
  };
  /** Phrases for a detector's prompt whose finds are dropped. */
  readonly negatives: readonly string[];
  readonly source: "rules" | "llm";
}

/** A language model that answers in JSON; for example a local Ollama. */
export interface TaskModel {
  /** @throws anything: the rules answer then */
  ask(prompt: string, schema: object, signal: AbortSignal): Promise<unknown>;
}

const WAIT_MS = 10_000;
const [MIN_EMPHASIS, MAX_EMPHASIS] = [0.25, 4];

const answer = z.object({
  concepts: z.array(z.object({ text: z.string().min(1).max(100), category: z.enum(CATEGORIES) })).max(50),
  domain: z.enum(Object.keys(DOMAIN_DISTANCE) as [string, ...string[]]),
  content_type: z.enum(["objects", "parts", "defects"]),
  quality_level: z.enum(["draft", "standard", "high"]),
  negatives: z.array(z.string().min(1).max(100)).max(20),
});

/**
 * Text without its emphasis, and the emphasis of each word: `((w))` x 1.1 per pair, `[w]` / 1.1, `{w}` x 1.05, `(w:1.5)` as it
 * says, all within 0.25 to 4. Brackets that do not close, or close nothing, are ordinary text.
 *
 * @example readEmphasis("find (scratches:2) on [metal]").emphasis // Map { "scratches" => 2, "metal" => 0.909... }
 */
export function readEmphasis(text: string): { readonly plain: string; readonly emphasis: ReadonlyMap<string, number> } {
  const closing: Readonly<Record<string, string>> = { "(": ")", "[": "]", "{": "}" };
  const factors: Readonly<Record<string, number>> = { "(": 1.1, "[": 1 / 1.1, "{": 1.05 };
  const partner = new Map<number, number>();
  const open: number[] = [];
  for (let i = 0; i < text.length; i++) {
    if (text[i]! in closing) open.push(i);
    else if (")]}".includes(text[i]!)) {
      const start = open.at(-1);
      if (start !== undefined && closing[text[start]!] === text[i]) {
        partner.set(start, i);
        open.pop();
      }
    }
  }
  const emphasis = new Map<string, number>();
  let plain = "";
  const walk = (from: number, to: number, factor: number) => {
    let pending = "";
    const flush = () => {
      for (const word of wordsOf(pending)) if (factor !== 1) emphasis.set(word, clip(factor));
      plain += pending;
      pending = "";
    };
    for (let i = from; i < to; i++) {
      const end = partner.get(i);
      if (end === undefined || end >= to) {
        pending += text[i];
        continue;
      }
      flush();
      const inside = text.slice(i + 1, end);
      const explicit = text[i] === "(" ? /^([^()[\]{}]*):\s*(\d+(?:\.\d+)?)\s*$/.exec(inside) : null;
      if (explicit) {
        for (const word of wordsOf(explicit[1]!)) emphasis.set(word, clip(factor * Number(explicit[2])));
        plain += explicit[1];
      } else walk(i + 1, end, factor * factors[text[i]!]!);
      i = end;
    }
    flush();
  };
  walk(0, text.length, 1);
  return { plain, emphasis };
}

const clip = (value: number): number => Math.min(MAX_EMPHASIS, Math.max(MIN_EMPHASIS, value));

/**
 * What a task description is about. With a language model it is asked first; if it is unreachable, takes more than ten seconds or
 * answers anything but what was asked, rules answer, and `source` says so.
 *
 * @param classNames - are concepts of their own
 */
export async function analyseTask(
  text: string,
  { classNames = [], llm = null }: { classNames?: readonly string[]; llm?: TaskModel | null } = {},
): Promise<TaskAnalysis> {
  const { plain, emphasis } = readEmphasis(text);
  const emphasised = (concept: string): number =>
    Math.max(...wordsOf(concept).map((word) => emphasis.get(word) ?? 1), 0) || 1;
  const asked = llm === null ? null : await ask(llm, plain, classNames);
  if (asked !== null) {
    const { concepts, domain, content_type, quality_level, negatives } = asked;
    return {
      concepts: concepts.map((concept) => ({ ...concept, emphasis: emphasised(concept.text) })),
      intent: { domain, content_type, quality_level },
      negatives,
      source: "llm",
    };
  }
  return byRules(plain, classNames, emphasised);
}

async function ask(
  llm: TaskModel,
  text: string,
  classNames: readonly string[],
): Promise<z.infer<typeof answer> | null> {
  const prompt = `Analyse a computer vision task. Task: ${text}\nClasses: ${classNames.join(", ") || "none given"}\nAnswer in JSON only.`;
  try {
    const given = await llm.ask(prompt, z.toJSONSchema(answer), AbortSignal.timeout(WAIT_MS));
    return answer.safeParse(given).data ?? null;
  } catch {
    return null;
  }
}

function byRules(plain: string, classNames: readonly string[], emphasised: (concept: string) => number): TaskAnalysis {
  const words = wordsOf(plain);
  const named = new Set(classNames.flatMap(wordsOf));
  const categoryOf = (word: string): ConceptCategory =>
    (Object.entries(LEXICON).find(([, list]) => list.includes(word))?.[0] as ConceptCategory | undefined) ?? "object";
  const seen = new Set<string>();
  const concepts: Concept[] = [];
  const add = (text: string, category: ConceptCategory) => {
    if (seen.has(text.toLowerCase())) return;
    seen.add(text.toLowerCase());
    concepts.push({ text, category, emphasis: emphasised(text) });
  };
  for (const name of classNames) add(name, categoryOf(wordsOf(name).at(-1) ?? ""));
  for (const word of words) if (!STOP.has(word) && !named.has(word) && !/^\d+$/.test(word)) add(word, categoryOf(word));
  const all = new Set([...words, ...named]);
  const domain = DOMAIN_WORDS.find(([, list]) => list.some((word) => all.has(word)))?.[0] ?? "photographic";
  const has = (category: ConceptCategory) => concepts.some((concept) => concept.category === category);
  const singular = (word: string) => word.replace(/s$/, "");
  const wanted = new Set([...all].map(singular));
  return {
    concepts,
    intent: {
      domain,
      content_type: has("defect") ? "defects" : has("part") ? "parts" : "objects",
      quality_level: ["precise", "exact", "pixel", "certified"].some((word) => all.has(word))
        ? "high"
        : ["quick", "rough", "draft", "fast"].some((word) => all.has(word))
          ? "draft"
          : "standard",
    },
    negatives: DISTRACTORS[domain]!.filter((phrase) => !wordsOf(phrase).some((word) => wanted.has(singular(word)))),
    source: "rules",
  };
}

/**
 * A local Ollama as {@link TaskModel}: `POST {baseUrl}/api/chat`, temperature 0, answer bound to the schema.
 * @param fetchFn - for tests
 */
export function ollamaModel({
  baseUrl = "http://127.0.0.1:11434",
  model,
  fetchFn = fetch,
}: {
  baseUrl?: string;
  model: string;
  fetchFn?: typeof fetch;
}): TaskModel {
  return {
    async ask(prompt, schema, signal) {
      const response = await fetchFn(new URL("/api/chat", baseUrl), {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({
          model,
          stream: false,
          format: schema,
          options: { temperature: 0 },
          messages: [{ role: "user", content: prompt }],
        }),
        signal,
      });
      if (!response.ok) throw new Error(`The language model answered ${response.status}.`);
      const { message } = (await response.json()) as { message?: { content?: string } };
      return JSON.parse(message?.content ?? "");
    },
  };
}
