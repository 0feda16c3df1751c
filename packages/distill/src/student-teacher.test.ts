import type { Box } from "@seg/coco-dataset";
import { Module } from "@seg/nn";
import * as tf from "@tensorflow/tfjs";
import { beforeAll, expect, test } from "vitest";
import type { Student } from "./student.js";
import { studentTeacher } from "./student-teacher.js";

class Nothing extends Module {}

beforeAll(async () => {
  await tf.setBackend("cpu");
});

/** A student of 64 px that always answers the same two anchors, in network pixels. */
const student: Student = {
  id: "yolov8p",
  classes: 2,
  imgsz: 64,
  segment: false,
  net: new Nothing(),
  // Channel 0 is the column, so that its place can be told.
  forward: (images) => {
    const maps = [8, 16, 32].map((stride) => {
      const cells = 64 / stride;
      const columns = tf.reshape(tf.range(0, cells, 1, "float32"), [1, 1, cells, 1]);
      return tf.tile(columns, [1, cells, 1, 1]) as tf.Tensor4D;
    });
    const empty = tf.zeros([images.shape[0], 1, 1]) as tf.Tensor3D;
    return { box: empty, cls: empty, features: maps };
  },
  deploy: () => ({
    // Rows x, y, w, h, p(0), p(1); columns anchors. The third anchor says nothing.
    output0: tf.tensor3d([
      [
        [32, 20, 1],
        [24, 40, 1],
        [16, 8, 1],
        [8, 8, 1],
        [0.9, 0.2, 0.01],
        [0.05, 0.6, 0.02],
      ],
    ]),
  }),
  dispose: () => {},
};

// 128 x 64 is scaled by one half and padded by 16 rows above and below.
const image = { width: 128, height: 64, data: new Uint8Array(128 * 64 * 3) };

test("boxes come back in image pixels with the logits of all classes, above the floor", async () => {
  const { detector } = studentTeacher(student);
  const { boxes, logits } = await detector.detect(image, ["a", "b"]);
  expect(boxes.map((box: Box) => box.map((v) => Math.round(v * 100) / 100))).toEqual([
    [48, 8, 80, 24],
    [32, 40, 48, 56],
  ]);
  const logit = (p: number) => Math.log(p / (1 - p));
  [0.9, 0.05, 0.2, 0.6].forEach((p, i) => {
    expect(logits[i]).toBeCloseTo(logit(p), 4);
  });
});

test("feature maps know where they lie in the image, and nothing stays behind", async () => {
  const { features } = studentTeacher(student);
  const before = tf.memory().numTensors;
  const maps = await features.features(image);
  expect(maps.map(({ stride, height, width, channels }) => [stride, height, width, channels])).toEqual([
    [8, 8, 8, 1],
    [16, 4, 4, 1],
    [32, 2, 2, 1],
  ]);
  // Image pixel (0, 0) is network pixel (0, 16): cell (0, 2) of stride 8.
  const [a, b, c, d, e, f] = maps[0]!.toMap;
  expect([a * 64 + b * 0 + c, d * 64 + e * 0 + f]).toEqual([4, 2]);
  expect(maps[0]!.data[3]).toBe(3);
  expect(tf.memory().numTensors).toBe(before);
});
