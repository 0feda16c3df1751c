import { expect, test } from "vitest";
import { parse } from "yaml";
import { renderModelCard } from "./render-model-card.js";

const card = {
  name: "denoiser",
  summary: "Removes noise.",
  licence: "MIT",
  files: [{ name: "a|b.pth", bytes: 6, sha256: "0".repeat(64), md5: null }],
  results: [
    {
      task: "image-to-image",
      dataset: { type: "sidd", name: "SIDD" },
      metrics: [
        { type: "psnr", value: 40.3 },
        { type: "ssim", value: Number.NaN },
      ],
    },
  ],
};

test("starts with YAML that leaves non-finite metrics out", () => {
  const text = renderModelCard(card);
  expect(text.startsWith("---\n")).toBe(true);
  const head = parse(text.split("---\n")[1]!);
  expect(head).toMatchObject({ license: "mit", metrics: ["psnr"] });
  expect(head["model-index"][0].results[0].metrics).toEqual([{ type: "psnr", value: 40.3 }]);
  expect(text).toContain("a\\|b.pth");
});

test("keeps what a person wrote", () => {
  const edited = renderModelCard(card).replace("<!-- user:begin -->\n", "<!-- user:begin -->\nours\n");
  expect(renderModelCard(card, { previous: edited })).toBe(edited);
});

test("keeps keys of the YAML that are another tool's, and no stale ones of its own", () => {
  const previous = `---\nlanguage: [de, en]\nlicense: other\nbase_model: gone\nco2_eq_emissions: { emissions: 12.5 }\n---\n# old\n`;
  const text = renderModelCard(card, { previous });
  const head = parse(text.split("---\n")[1]!);
  expect(head).toMatchObject({ license: "mit", language: ["de", "en"], co2_eq_emissions: { emissions: 12.5 } });
  expect(head).not.toHaveProperty("base_model");
  expect(renderModelCard(card, { previous: text })).toBe(text);
  // What cannot be read is no reason to fail.
  expect(renderModelCard(card, { previous: "---\na: [\n---\n" })).toBe(renderModelCard(card));
  expect(renderModelCard(card, { previous: "---\n- a\n---\n" })).toBe(renderModelCard(card));
});

test("states the strictest licence of the parents", () => {
  const text = renderModelCard({ ...card, parents: [{ id: "yolov8n", licence: "AGPL-3.0" }] });
  expect(text).toContain("with parents: copyleft");
  expect(text).toContain("AGPL");
});
