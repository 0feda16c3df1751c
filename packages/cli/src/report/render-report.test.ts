import { describe, expect, test } from "vitest";
import { fp32, exampleReport as full, int8, maskScore, teacher } from "../../test/report-example.js";
import { MAX_REPORT_BYTES, renderReport } from "./render-report.js";
import type { ModelRow, ReportData } from "./report-data.js";
import { STYLES } from "./styles.js";
import { verdict } from "./verdict.js";

const empty = (): ReportData => ({
  title: "Empty",
  subtitle: "",
  seed: 0,
  decisions: [],
  dataset: { images: 0, annotations: 0, classes: [], splits: {}, findings: [], generated: { boxes: 0, areas: 0 } },
  curves: { columns: [], rows: [] },
  teacher: null,
  models: [],
  certificate: null,
  overlays: [],
  environment: {},
  notMeasured: [],
  licences: [],
});

/** Words of the page without markup and style sheet. */
const words = (page: string) =>
  page
    .replace(/<style>[\s\S]*?<\/style>/g, "")
    .replace(/<[^>]*>/g, " ")
    .replace(/[\s\u00a0]+/g, " ");

/** Every text in the data, nested ones too, replaced. */
function withTexts<T>(value: T, replace: (text: string) => string): T {
  if (typeof value === "string") return replace(value) as T;
  if (value instanceof Uint8Array || value === null || typeof value !== "object") return value;
  if (Array.isArray(value)) return value.map((entry) => withTexts(entry, replace)) as T;
  return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, withTexts(entry, replace)])) as T;
}

/** WCAG's ratio of two colours, #rgb or #rrggbb. */
function contrast(a: string, b: string): number {
  const luminance = (color: string) => {
    const hex = color.length === 4 ? [...color.slice(1)].map((c) => c + c).join("") : color.slice(1);
    const [red, green, blue] = [0, 2, 4].map((i) => {
      const value = Number.parseInt(hex.slice(i, i + 2), 16) / 255;
      return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red! + 0.7152 * green! + 0.0722 * blue!;
  };
  const [high, low] = [luminance(a), luminance(b)].sort((x, y) => y - x);
  return (high! + 0.05) / (low! + 0.05);
}

/** Of a report without a confusion matrix: what INT8 keeps is the headline then. */
const uncounted = (): ReportData => ({ ...full(), confusion: null });
const plain = (text: string | undefined) => text?.replaceAll("\u00a0", " ");

describe("verdict", () => {
  test("begins with what is found, missed and made up, and on which images", () => {
    const { headline, details } = verdict(full());
    expect(plain(headline)).toBe(
      "The model to ship (student INT8) finds 690 of 748 objects (92 %) in 54 test images, and reports 31 where none is annotated.",
    );
    expect(details.slice(0, 4).map(plain)).toEqual([
      "The student was trained on none of these images, and none of them chose its weights.",
      "Missed: 58; taken for another class: 0. This is at confidence 0.40, where F1 is best on these images, with an overlap (IoU) of at least 0.5; a lower confidence finds more and makes up more.",
      "The only class: cell, 690 of 748 found (92 %; 95 % interval for so many objects 90 % to 94 %).",
      "Student INT8 keeps 98 % of fp32 box mAP50 and 97 % of mask mAP50 at 27 % of the size, 2.1× faster.",
    ]);
  });

  test("warns where the images are not new to the student", () => {
    const seen = (trainedOn: number | null, chosenOn: number | null) =>
      verdict({ ...full(), measuredOn: { split: "test", images: 54, trainedOn, chosenOn } }).details[0];
    expect(seen(3, 0)).toMatch(/^Warning: the student was trained on 3 of these 54 images/);
    expect(seen(0, 54)).toMatch(/54 of them chose its weights/);
    expect(seen(0, null)).toMatch(/is not known/);
    expect(seen(null, 0)).toMatch(/is not known/);
  });

  test("names the split of every sentence about a teacher", () => {
    const text = verdict(full()).details.join(" ");
    expect(text).toContain("On the validation split the mask teacher has mask IoU 0.717 before");
    expect(text).toContain("In 54 test images the text-prompted teacher has box mAP50 0.200 before");
  });

  test("says slower when it is slower, and does not round 'almost all' to 100 %", () => {
    const slow: ModelRow = { ...int8, box: { map50: 0.8875, map: 0.6 }, mask: null, latencyMs: { p50: 27.5, p95: 30 } };
    expect(plain(verdict({ ...uncounted(), models: [fp32, slow] }).headline)).toBe(
      "Student INT8 keeps 99.8 % of fp32 box mAP50 at 27 % of the size, 1.5× slower.",
    );
  });

  test("leaves out what was not measured and divides by nothing", () => {
    const bare: ModelRow = { ...int8, mask: null, sizeBytes: null, latencyMs: null };
    expect(plain(verdict({ ...uncounted(), models: [fp32, bare] }).headline)).toBe(
      "Student INT8 keeps 98 % of fp32 box mAP50.",
    );
    const zero: ModelRow = { ...fp32, box: { map50: 0, map: 0 }, mask: null };
    expect(verdict({ ...uncounted(), models: [zero, bare] }).headline).toBe("Student INT8 reaches box mAP50 0.872.");
    const nothing = {
      ...full().confusion!,
      counts: [
        [0, 2],
        [0, 0],
      ],
    };
    expect(verdict({ ...full(), confusion: nothing, models: [zero, bare] }).headline).toBe(
      "Student INT8 reaches box mAP50 0.872.",
    );
    expect(verdict(empty())).toEqual({ headline: "Nothing was measured yet.", details: [] });
  });

  test("holds the teacher against its trivial baselines", () => {
    const details = (after: number) =>
      verdict({ ...full(), teacher: { ...full().teacher!, after: maskScore(after) } }).details.join(" ");
    expect(details(0.857)).toContain("above both trivial baselines");
    expect(details(0.8)).toContain("above only the weaker");
    expect(details(0.7)).toContain("above neither");
  });

  test("never calls a failed, contradictory or empty certificate good", () => {
    const failed = { name: "inputs", passed: false, detail: "two inputs" };
    for (const certificate of [
      { promptFree: true, modelSha256: "", checks: [failed] },
      { promptFree: false, modelSha256: "", checks: [{ ...failed, passed: true }] },
      { promptFree: true, modelSha256: "", checks: [] },
    ]) {
      const text = words(renderReport({ ...full(), certificate }));
      expect(text).toContain("not certified prompt-free");
      expect(text).not.toContain("✓ prompt-free");
    }
  });
});

/** "2 Models": level and text of the headings, in order. */
const outline = (page: string) =>
  [...page.matchAll(/<h([1-6])[^>]*>(.*?)<\/h\1>/gs)].map(([, level, text]) => `${level} ${words(text!).trim()}`);

describe("renderReport", () => {
  test("has its sections in order under one heading, no level skipped, every table and picture named", () => {
    const page = renderReport(full());
    const sections = outline(page).filter((line) => line.startsWith("2 "));
    expect(sections).toEqual([
      ...["2 Models", "2 Decisions", "2 Per class", "2 Per size", "2 Precision, recall, confusion"],
      ...[
        "2 What the student lost",
        "2 Pictures",
        "2 INT8",
        "2 Training of the student",
        "2 Mask teacher",
        "2 Box teacher",
      ],
      ...["2 Dataset", "2 Prompt-free certificate", "2 Environment", "2 Licences", "2 Not measured"],
    ]);
    const levels = outline(page).map((line) => Number(line[0]));
    expect(levels[0]).toBe(1);
    expect(levels.filter((level) => level === 1)).toHaveLength(1);
    for (const [i, level] of levels.slice(1).entries()) expect(level).toBeLessThanOrEqual(levels[i]! + 1);
    for (const [, attributes] of page.matchAll(/<table([^>]*)>/g)) expect(attributes).toMatch(/aria-label="[^"]+"/);
    for (const [, attributes] of page.matchAll(/<img([^>]*)>/g)) expect(attributes).toMatch(/alt="[^"]+"/);
    for (const [, content] of page.matchAll(/<svg.*?>(.*?)<\/svg>/gs))
      expect(content).toMatch(/<title>.+<\/title><desc>/);
  });

  test("names what the student lost and what INT8 changed", () => {
    const text = words(renderReport(full()));
    expect(text).toContain(
      "Of 748 objects MobileSAM + LoRA finds 700, student INT8 690. Lost: 20 (2.9 % of what the former finds); gained: 10.",
    );
    expect(text).toContain("passed, first attempt: mAP50-95 changes by −0.012, a loss of 0.030 is allowed");
    expect(text).toContain("2.1× faster (95 % interval of the ratio 1.90 to 2.30)");
    expect(text).toContain("layers left float /model.22/dfl");
    expect(words(renderReport({ ...full(), comparisons: [], int8: null }))).toContain(
      "INT8: signal to noise, layers left float",
    );
  });

  test("text has a contrast of 4.5 and lines of 3 on both papers", () => {
    const [light, dark] = [...STYLES.matchAll(/:root\{([^}]*)\}/g)].map(
      ([, block]) =>
        new Map([...block!.matchAll(/--([\w-]+):(#[0-9a-f]+)/g)].map(([, name, value]) => [name!, value!])),
    );
    for (const colors of [light!, dark!]) {
      for (const paper of ["card", "paper"]) {
        for (const name of ["ink", "muted", "accent"])
          expect(contrast(colors.get(name)!, colors.get(paper)!)).toBeGreaterThan(4.5);
      }
      for (const name of ["good", "bad", "warn"]) {
        expect(contrast(colors.get(name)!, colors.get(`${name}-tint`)!)).toBeGreaterThan(4.5);
      }
      for (let s = 0; s < 6; s++) expect(contrast(colors.get(`series-${s}`)!, colors.get("card")!)).toBeGreaterThan(3);
    }
  });

  test("escapes every text of the data, wherever it is shown", () => {
    const hostile = `<script>alert(1)</script><img src=x onerror="alert(2)">'"&`;
    const kept = new Set(["teacher", "student-fp32", "student-int8", "warn", "none", "box", "mask", "small"]);
    const data = withTexts(full(), (text) => (kept.has(text) ? text : hostile));
    data.curves = {
      columns: ["epoch", `train/${hostile}_loss`],
      rows: [
        [1, 2],
        [2, 1],
      ],
    };
    data.dataset.classes[0]!.counts = { [hostile]: 3 };
    data.dataset.splits = { [hostile]: 3 };
    data.environment = { [hostile]: hostile };
    const page = renderReport(data);
    expect(page).not.toMatch(/<script|<img src=x|onerror="alert/i);
    expect(page).toContain("&lt;script&gt;alert(1)&lt;/script&gt;");
    // Exactly the one picture, with its mime type escaped into the attribute.
    expect(page.match(/<img /g)).toHaveLength(1);
  });

  test("loads nothing: no address on the network in any attribute or style, no script", () => {
    const page = renderReport(full());
    const addresses = [...page.matchAll(/(?:src|href|srcset|action|xlink:href)\s*=\s*"([^"]*)"/g)].map(
      (match) => match[1]!,
    );
    expect(addresses.length).toBeGreaterThan(5);
    for (const address of addresses) expect(address).toMatch(/^(#|data:image\/)/);
    expect(page).not.toMatch(/url\(|@import|<script|<link|<iframe/i);
    expect(
      [...page.matchAll(/https?:\/\/[^"' ]+/g)]
        .map(([url]) => url)
        .filter((url) => url !== "http://www.w3.org/2000/svg"),
    ).toEqual([]);
    for (const [, id] of page.matchAll(/href="#([^"]*)"/g)) expect(page).toContain(`id="${id}"`);
  });

  test("prints 'not measured' for what is missing, never 0, NaN or undefined", () => {
    const missing: ModelRow = {
      ...fp32,
      box: null,
      mask: { map50: Number.NaN, map: -1 },
      maskIou: null,
      sizeBytes: null,
      latencyMs: null,
      fps: null,
      peakMemoryBytes: null,
      perClass: [{ name: "cell", boxAp50: null, boxAp: null, maskAp50: -1, maskAp: null }],
    };
    const page = renderReport({ ...full(), models: [missing], teacher: null });
    const row = /<tr role="row" class="kind-student-fp32">.*?<\/tr>/s.exec(page)![0];
    expect(row.match(/>not measured</g)).toHaveLength(9);
    expect(words(row)).toContain("filled box not measured");
    expect(words(row)).not.toMatch(/\b0(\.0+)?\b/);
    expect(words(page)).toContain("student fp32: box mAP, mask mAP, mask IoU, size, latency, FPS, peak memory");
    expect(page).not.toMatch(/NaN|undefined|Infinity|\[object/);
  });

  test("shows what was counted before what explains it", () => {
    const text = words(renderReport(full()));
    expect(text).toMatch(
      /reports 31 where none is annotated\. Objects found 92 % 690 of 748 Not annotated 31 of 721 reported/,
    );
    expect(text).toContain("Mask teacher Measured on the validation split");
  });

  test("prints a measured zero as zero", () => {
    const zero: ModelRow = { ...fp32, box: { map50: 0, map: 0 } };
    expect(renderReport({ ...full(), models: [zero] })).toContain(
      'data-label="Box mAP50"><span class="value">0.000</span>',
    );
  });

  test("shows mask IoU beside both baselines in every model row, and marks baselines of other pictures", () => {
    const rows = (data: ReportData) =>
      [...renderReport(data).matchAll(/<tr role="row" class="kind-.*?<\/tr>/gs)].map(([row]) => words(row));
    for (const row of rows(full())) expect(row).toMatch(/filled box 0\.741\* .*ellipse 0\.836\*/);
    const own = { ...teacher, maskBaselines: { filledBox: 0.7, ellipse: 0.8 } };
    for (const row of rows({ ...full(), models: [own, fp32, int8] }))
      expect(row).toMatch(/filled box 0\.700 .*ellipse 0\.800 /);
  });

  test("shows differences of INT8 against fp32 with their direction", () => {
    const row = words(/<tr role="row" class="kind-student-int8">.*?<\/tr>/s.exec(renderReport(full()))![0]);
    expect(row).toContain("0.872 ▼ −0.017");
    expect(row).toContain("3.58 MB ▲ 27 % of fp32");
    expect(row).toContain("8.72 ms ▲ 2.1× faster");
    expect(row).toContain("148 MB ▲ 70 % of fp32");
  });

  test("survives a report without anything in it", () => {
    const page = renderReport(empty());
    expect(page.startsWith("<!doctype html>")).toBe(true);
    expect(words(page)).toContain("Nothing was measured yet.");
    expect(page).not.toMatch(/NaN|undefined|Infinity/);
  });

  test("survives odd numbers: one epoch, equal values, NaN losses, one class, hundreds of classes", () => {
    const data = full();
    data.curves = {
      columns: ["epoch", "train/box_loss", "metrics/mAP50(B)"],
      rows: [
        [1, Number.NaN, 0.5],
        [2, 3, 0.5],
      ],
    };
    data.teacher!.curve = Array.from({ length: 5000 }, (_, i) => ({
      step: i,
      loss: i === 7 ? Number.POSITIVE_INFINITY : 1,
    }));
    data.dataset.classes = Array.from({ length: 300 }, (_, index) => ({
      index,
      name: `class ${index}`,
      counts: { train: 0 },
    }));
    const page = renderReport(data);
    expect(page).not.toMatch(/NaN|undefined|Infinity/);
    expect(page.length).toBeLessThan(300_000);
  });

  test("gives the same text for the same data", () => {
    expect(renderReport(full())).toBe(renderReport(structuredClone(full())));
  });

  test("stays below its bound: pictures that do not fit are left out and counted, smaller ones behind them are kept", () => {
    const picture = (title: string, megabytes: number) => ({
      title,
      caption: "c",
      image: new Uint8Array(megabytes * 1e6).fill(255),
      mime: "image/jpeg",
    });
    const page = renderReport({
      ...full(),
      overlays: [picture("a", 1.1), picture("b", 0.9), picture("c", 0.9), picture("d", 0.1)],
    });
    expect(Buffer.byteLength(page)).toBeLessThanOrEqual(MAX_REPORT_BYTES);
    expect(page.match(/<img /g)).toHaveLength(3);
    expect(words(page)).toContain("1 of 4 pictures were left out");
  });
});
