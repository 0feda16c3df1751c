/**
 * The toolkit without its command: typed functions of the packages, composed by hand. Pictures of our own go through preparation, augmentation,
 * a network, a loss and an optimiser, and come out as an INT8 model that finds coins and nuts. Copy what you need.
 */
import "@seg/tfjs-onnxruntime";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { augmentSample, CounterRandom, IDENTITY, polygonBounds, type Sample } from "@seg/augment";
import { buildTargets, modelAnchors, type StudentTargets, studentLoss, targetArrays } from "@seg/distill";
import { calibrate, exportOnnx, quantizeStatic, traceStudent, writeArtefacts } from "@seg/export";
import { createDetector } from "@seg/export/runtime";
import { createYolov8, headTensors, loadStateDict } from "@seg/nn";
import { letterbox, mapPolygonToModel, prepareYolo } from "@seg/preprocess";
import {
  adamw,
  type BatchTensors,
  Ema,
  type LossFunction,
  paramGroups,
  schedule,
  TrainingManager,
  warmup,
} from "@seg/train";
import * as tf from "@tensorflow/tfjs";
import { parse } from "yaml";
import { CLASS_NAMES, drawPhotos } from "./photos.js";
import { maskMap50 } from "./score.js";

/** What `config.yaml` says. */
export interface Config {
  readonly photos: number;
  readonly epochs: number;
  readonly batch: number;
  /** Side of the network's input in pixels, a multiple of 32. */
  readonly size: number;
  readonly learning_rate: number;
  readonly seed: number;
}

const classes = { classes: CLASS_NAMES.map((name, index) => ({ index, categoryId: index + 1, name })) };

/** Pictures in memory -> `model.onnx`, `model_int8.onnx` and their companions in `output`. */
export async function composeYourOwn(config: Config, { output, log }: { output: string; log(line: string): void }) {
  const { size, batch, epochs, seed } = config;
  await tf.setBackend("onnxruntime");

  // 1. Data: any object will do. These are drawn; yours come from a camera, a database, a simulator.
  const photos = drawPhotos({ count: config.photos, seed });
  const unseen = drawPhotos({ count: 40, seed: seed + 1 });

  // 2. Preparation: letterbox every picture once and move its outlines along.
  const prepared: Sample[] = photos.map(({ image, objects }) => {
    const { image: boxed, geometry } = letterbox(image, { size });
    const instances = objects.map(({ classId, outline }) => {
      const polygon = mapPolygonToModel(outline, geometry);
      return { classId, polygons: [polygon], box: polygonBounds([polygon])!, matrix: IDENTITY };
    });
    return { image: boxed, instances };
  });

  // 3. Augmentation and targets: a batch follows from (epoch, step) alone, and all batches have room for as much, so the step is compiled once.
  const stepsPerEpoch = Math.floor(photos.length / batch);
  const room = { truths: 16, positives: 96 };
  const batchOf = (epoch: number, step: number): BatchTensors => {
    const order = new CounterRandom({ seed, path: "order", epoch }).permutation(photos.length);
    const samples = Array.from(order.subarray(step * batch, (step + 1) * batch), (index) => {
      const load = (k: number) => prepared[k]!;
      const options = { mosaic: 0, scale: 0.3, fliplr: 0.5, flipud: 0.5 };
      return augmentSample({ load, index, count: photos.length, seed, epoch, size, options });
    });
    const { positives: _, ...targets } = buildTargets(
      targetArrays({ samples, size, parts: { segment: true }, atLeast: room }),
    );
    const pixels = samples.map(({ image }) => tf.tensor3d(image.data, [size, size, 3]));
    return { ...targets, images: tf.div(tf.stack(pixels), 255) };
  };

  // 4. Network and loss.
  const network = createYolov8({ scale: "p", classes: CLASS_NAMES.length, segment: true, momentum: 0.1, seed });
  const anchors = modelAnchors(size, size);
  const loss: LossFunction = ({ images, ...targets }) => {
    const { proto, ...output } = network.forward(images as tf.Tensor4D);
    return studentLoss({
      outputs: { ...headTensors(output), proto: proto! },
      targets: { ...targets, positives: room.positives } as unknown as StudentTargets,
      anchors,
      size: [size, size],
    });
  };

  // 5. Training: AdamW on the three groups of YOLO, a linear schedule, averaged weights at the end.
  const lr = config.learning_rate;
  const ema = new Ema(network, { decay: 0.99, tau: 50 });
  const training = new TrainingManager({
    model: network,
    optimizer: adamw({ weightDecay: 5e-4 }),
    groups: paramGroups(network),
    lr,
    schedule: schedule({ kind: "linear", epochs, stepsPerEpoch, baseLr: lr }),
    warmup: warmup({ epochs, stepsPerEpoch, warmupEpochs: 1, byEpoch: false }),
    clip: { maxNorm: 10 },
    ema,
  });
  // A module begins in inference mode: batch statistics are learnt only when it is told to train.
  network.train();
  for (let epoch = 0; epoch < epochs; epoch++) {
    let mean = 0;
    for (let step = 0; step < stepsPerEpoch; step++) {
      const inputs = tf.tidy(() => batchOf(epoch, step));
      mean += (await training.step(loss, inputs)).loss / batch / stepsPerEpoch;
      tf.dispose(inputs);
    }
    log(`epoch ${epoch + 1}/${epochs}  loss ${mean.toFixed(3)}`);
  }
  loadStateDict(network, ema.state());

  // 6. Export and INT8: calibrated on training pictures, prepared as deployment prepares them.
  const trace = () => traceStudent({ model: network, imgsz: size });
  const facts = { imgsz: size, task: "segment", classes, author: "compose-your-own", license: "Apache-2.0" } as const;
  const { model } = await exportOnnx({ trace, ...facts });
  const calibration = await calibrate(
    model,
    photos.slice(0, 64).map(({ image }) => prepareYolo(image, { size }).data),
  );
  const models = { "model.onnx": model, "model_int8.onnx": quantizeStatic(model, calibration) };
  const paths = writeArtefacts(output, { models, model, classes, calibration });
  tf.dispose([anchors.centers, anchors.strides]);
  network.dispose();

  // 7. Deployment: a file and a picture are all it needs.
  const scores: Record<string, number> = {};
  for (const name of Object.keys(models)) {
    const detector = await createDetector({ model: paths[name]! });
    scores[name] = await maskMap50(detector, unseen);
    await detector.dispose();
    log(`${name}: mask mAP50 ${scores[name]!.toFixed(3)} on ${unseen.length} unseen pictures`);
  }
  return { paths, scores, unseen };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const smoke = process.argv.includes("--smoke");
  const file = join(import.meta.dirname, smoke ? "config.smoke.yaml" : "config.yaml");
  const config = parse(readFileSync(file, "utf8")) as Config;
  const output = join(import.meta.dirname, "../../experiments", smoke ? "compose-smoke" : "compose");
  const start = performance.now();
  const { paths } = await composeYourOwn(config, { output, log: (line) => console.log(line) });
  console.log(`${paths["model_int8.onnx"]} after ${((performance.now() - start) / 1000).toFixed(0)} s`);
}
