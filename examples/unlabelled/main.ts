/**
 * No labels at all: a folder of pictures and the words for what is in them. Text-prompted teachers name and outline the objects once; a small
 * network learns from their answers and then needs neither words nor teachers.
 *
 *   npm start -w @seg/example-unlabelled                                   the drawn pictures of this example, and how good it got
 *   ... -- --pictures DIR --words "red apple, leaf" --teacher DIR --sam DIR     your pictures, published teachers
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { createClassMapping } from "@seg/coco-dataset";
import { createStudent, loadWeights, prepareDistillation, type StudentId, trainStudent } from "@seg/distill";
import { calibrate, exportOnnx, quantizeStatic, traceStudent, writeArtefacts } from "@seg/export";
import { decodeImage, prepareYolo } from "@seg/preprocess";
import { configure } from "@seg/tfjs-onnxruntime";
import * as tf from "@tensorflow/tfjs";
import { parse } from "yaml";
import { compareWithTeacher } from "./compare-with-teacher.js";
import { drawPictures, picturesOf } from "./pictures.js";
import { loadTextTeachers } from "./teachers.js";

/** What `config.yaml` says. */
export interface Config {
  /** Class -> the words that the teacher looks for. */
  readonly words: Readonly<Record<string, string>>;
  /** From this score on the teacher's answer is a label; between `ignore` and it, a place where nothing is learnt. Nobody labelled anything, so nothing calibrates them. */
  readonly label: number;
  readonly ignore: number;
  readonly student: StudentId;
  /** Side of the network's input in pixels, a multiple of 32. */
  readonly size: number;
  readonly epochs: number;
  readonly batch: number;
  readonly seed: number;
  /** Curves and batches of the training as pictures. */
  readonly plots: boolean;
  /** Pictures that are drawn to learn from, and to measure on. */
  readonly pictures: number;
  readonly unseen: number;
}

/** A folder of pictures -> an INT8 model in `output`, which finds what the words say. Runs on where it was stopped. */
export async function learnFromWords(
  config: Config,
  {
    pictures,
    output,
    teachers: { teachers },
    log,
  }: { pictures: string; output: string; teachers: ReturnType<typeof loadTextTeachers>; log(line: string): void },
): Promise<string> {
  const { words, student: id, size, epochs, batch, seed, plots } = config;
  const train = { dataset: await picturesOf(pictures, Object.keys(words)), imagesDir: pictures };
  const mapping = createClassMapping(train.dataset);

  // 1. Every picture is shown to the teachers once; the answers stay on disk. Without annotations all of their labels are new ones.
  const distillation = await prepareDistillation({
    teachers,
    train,
    prompts: Object.values(words),
    pseudoScore: config.label,
    ignoreScore: config.ignore,
    dir: join(output, "teacher_cache"),
  });
  const { images, pseudo, ignored } = distillation.counts;
  log(`teachers   ${pseudo} objects in ${images} pictures, ${ignored} more that they are unsure about`);

  // 2. The student learns boxes, classes and outlines from them: the certain ones as labels, all scores and soft masks as they are.
  const run = { student: id, train, mapping, distillation, imgsz: size, epochs, batch, seed, plots };
  const training = trainStudent({ ...run, directory: join(output, "student"), bnMomentum: 0.1, resume: true });
  let weights = null;
  for await (const event of training) {
    if (event.type === "epoch") log(`epoch ${event.epoch}/${epochs}  box ${event.losses["box"]?.toFixed(3)}`);
    if (event.type === "end") weights = event.result.state;
  }
  distillation.close();

  // 3. Export and INT8, calibrated on the same pictures.
  const student = createStudent(id, { classes: mapping.classes.length, imgsz: size });
  loadWeights(student, weights!, { strict: true });
  const facts = {
    imgsz: size,
    task: "segment",
    classes: mapping,
    author: "unlabelled",
    license: "Apache-2.0",
  } as const;
  const trace = () => traceStudent({ model: student.net, deploy: (input) => student.deploy(input), imgsz: size });
  const { model } = await exportOnnx({ trace, ...facts });
  student.dispose();
  const some = train.dataset.images.slice(0, 64);
  const inputs = await Promise.all(
    some.map(async ({ file_name }) => prepareYolo(await decodeImage(join(pictures, file_name)), { size }).data),
  );
  const calibration = await calibrate(model, inputs);
  const models = { "model.onnx": model, "model_int8.onnx": quantizeStatic(model, calibration) };
  return writeArtefacts(output, { models, model, classes: mapping, calibration })["model_int8.onnx"]!;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const text = { type: "string" } as const;
  const { values } = parseArgs({
    options: { smoke: { type: "boolean", default: false }, pictures: text, words: text, teacher: text, sam: text },
  });
  const file = join(import.meta.dirname, values.smoke ? "config.smoke.yaml" : "config.yaml");
  const defaults = parse(readFileSync(file, "utf8")) as Config;
  const own = values.words?.split(",").map((word) => word.trim());
  const config =
    own === undefined ? defaults : { ...defaults, words: Object.fromEntries(own.map((word) => [word, word])) };
  const output = join(import.meta.dirname, "../../experiments", values.smoke ? "unlabelled-smoke" : "unlabelled");
  const log = (line: string) => console.log(line);
  const began = performance.now();
  configure({ threads: Number(process.env["SEG_THREADS"] ?? 2) });
  await tf.setBackend("onnxruntime");
  const teachers = loadTextTeachers({
    ...(values.teacher === undefined ? {} : { groundingDino: values.teacher }),
    ...(values.sam === undefined ? {} : { sam: values.sam }),
  });
  const pictures = values.pictures ?? join(output, "pictures");
  const { seed, pictures: count, unseen, words } = config;
  const classes = Object.keys(words);
  // What is in the drawn pictures is not looked at.
  if (values.pictures === undefined) await drawPictures(pictures, { count, seed, classes });
  mkdirSync(output, { recursive: true });
  const model = await learnFromWords(config, { pictures, output, teachers, log });
  if (values.pictures === undefined) {
    const folder = join(output, "unseen");
    const truth = await drawPictures(folder, { count: unseen, seed: seed + 1, classes });
    const { size, label } = config;
    const { comparison, sheet } = await compareWithTeacher({ model, size, teachers, words, label, truth, folder });
    writeFileSync(join(output, "comparison.jpg"), sheet);
    writeFileSync(join(output, "comparison.json"), `${JSON.stringify(comparison, null, 2)}\n`);
    log(JSON.stringify(comparison, null, 2));
  }
  teachers.dispose();
  log(`${model} after ${((performance.now() - began) / 60_000).toFixed(1)} minutes`);
}
