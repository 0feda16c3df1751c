import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { configure } from "@seg/tfjs-onnxruntime";
import * as tf from "@tensorflow/tfjs";
import sharp from "sharp";
import { afterAll, expect, test, vi } from "vitest";
import { parse } from "yaml";
import { compareWithTeacher } from "./compare-with-teacher.js";
import { type Config, learnFromWords } from "./main.js";
import { drawPictures, picturesOf } from "./pictures.js";
import { loadTextTeachers } from "./teachers.js";

vi.setConfig({ testTimeout: 300_000 });
configure({ threads: 1 });
const root = mkdtempSync(join(tmpdir(), "seg-unlabelled-"));
afterAll(() => rmSync(root, { recursive: true }));

test("words and pictures become a student that is compared with its teacher", async () => {
  const config = parse(readFileSync(join(import.meta.dirname, "config.smoke.yaml"), "utf8")) as Config;
  const { seed, pictures: count, unseen, words, size, label } = config;
  const classes = Object.keys(words);
  const [pictures, output, folder] = ["pictures", "output", "unseen"].map((name) => join(root, name)) as [
    string,
    string,
    string,
  ];
  const drawn = await drawPictures(pictures, { count, seed, classes });
  // What the student learns from holds not one annotation.
  const bare = await picturesOf(pictures, classes);
  expect(bare).toEqual({ ...drawn, annotations: [] });

  await tf.setBackend("onnxruntime");
  const teachers = loadTextTeachers();
  const lines: string[] = [];
  const model = await learnFromWords(config, { pictures, output, teachers, log: (line) => lines.push(line) });
  expect(lines[0]).toMatch(/^teachers {3}\d+ objects in 8 pictures, \d+ more that they are unsure about$/);
  expect(lines[1]).toMatch(/^epoch 1\/1 /);
  expect(existsSync(model)).toBe(true);

  const truth = await drawPictures(folder, { count: unseen, seed: seed + 1, classes });
  expect(truth.annotations.length).toBeGreaterThan(0);
  const { comparison, sheet } = await compareWithTeacher({ model, size, teachers, words, label, truth, folder });
  teachers.dispose();
  expect(comparison.pictures).toBe(unseen);
  // The teacher knows these words; one epoch teaches nobody anything.
  expect(comparison.teacher.box_mAP50).toBeGreaterThan(0.2);
  expect(comparison.student.box_mAP50).toBeLessThan(0.2);
  expect((await sharp(sheet).metadata()).format).toBe("jpeg");
});
