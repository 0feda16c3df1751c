import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { codeBlocks, ROOT, readText, texts } from "../../../scripts/doc-texts.mjs";

const PREFIXES = "cli|coco|train|distill|lora|nn|onnx|teachers|augment|preprocess|hub";
const CODE = new RegExp(`\`((?:${PREFIXES})/[a-z]+(?:-[a-z0-9]+)*|[A-Z][A-Z0-9]+(?:_[A-Z0-9]+)+)\``, "g");
/** Variables of the environment and words of other formats look like codes. */
const NO_CODE =
  /^(SEG|HF|AWS|XDG|ONNXRUNTIME|MALLOC|CHECK|EXIT|QUANT|CONV|TFLITE|GROUNDING|SAM|JOB|DEFAULT|ABLATION)_|_PRESETS$/;

/** Codes that pages for users name, each with the page. */
function namedCodes(): Map<string, string> {
  const found = new Map<string, string>();
  for (const file of texts().filter((name) => /^docs\/(guide|how-to|explanation|help|reference)\//.test(name))) {
    let text = readText(file);
    for (const { code } of codeBlocks(text)) text = text.replace(code, "");
    for (const [, code] of text.matchAll(CODE)) {
      // A path such as `train/box_loss` or `cli/src` is none.
      if (!NO_CODE.test(code!) && !/^(train|nn)\/(src|yolov8)/.test(code!)) found.set(code!, file);
    }
  }
  return found;
}

test("error codes that pages name exist in the sources", () => {
  const words = new Set(
    readdirSync(join(ROOT, "packages"), { recursive: true, encoding: "utf8" })
      .filter((name) => /^[^/]+\/src\/.*(?<!\.test)\.ts$/.test(name))
      .flatMap(
        (name) =>
          readFileSync(join(ROOT, "packages", name), "utf8").match(/(?<=["'])[\w/-]+(?=["'])|[A-Z][A-Z0-9_]+(?=:)/g) ??
          [],
      ),
  );
  const codes = namedCodes();
  expect([...codes].filter(([code]) => !words.has(code)).map(([code, file]) => `${file}: ${code}`)).toEqual([]);
  expect(codes.size).toBeGreaterThan(15);
});
