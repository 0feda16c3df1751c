import { createHash } from "node:crypto";
import type { Box } from "@seg/coco-dataset";
import { type StateDict, stateDict } from "@seg/nn";
import { letterbox } from "@seg/preprocess";
import * as tf from "@tensorflow/tfjs";
import { STUDENT_STRIDES } from "./feature-adaptors.js";
import { studentPredictor } from "./predictor.js";
import type { Student } from "./student.js";
import { BOX_FLOOR, logit } from "./teacher/detections.js";
import { mapToCells } from "./teacher/map-to-cells.js";
import type { FeatureMap } from "./teacher/teacher-record.js";
import type { DetectionTeacher, FeatureTeacher } from "./teacher/teachers.js";

function hashOf(state: StateDict): string {
  const hash = createHash("sha256");
  for (const [key, { data }] of state)
    hash.update(key).update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  return hash.digest("hex");
}

/**
 * A trained student as the teacher of a smaller one (teacher, medium assistant, small student): its boxes with the logits of all classes, and its feature maps of strides 8, 16,
 * 32. Puts the student into inference mode; the caller disposes it.
 */
export function studentTeacher(student: Student): { detector: DetectionTeacher; features: FeatureTeacher } {
  student.net.train(false);
  const { imgsz, classes } = student;
  const identity = { id: `${student.id} student`, hash: hashOf(stateDict(student.net)) };
  const predictor = studentPredictor(student);
  const detector: DetectionTeacher = {
    ...identity,
    async detect(image) {
      const { image: input, geometry } = letterbox(image, { size: imgsz });
      const plane = imgsz * imgsz;
      const pixels = new Float32Array(3 * plane);
      for (let i = 0; i < plane; i++) for (let c = 0; c < 3; c++) pixels[c * plane + i] = input.data[3 * i + c]! / 255;
      const { output0 } = await predictor.run(pixels, 1, imgsz);
      const anchors = output0.dims[2]!;
      const at = (channel: number, anchor: number) => output0.data[channel * anchors + anchor]!;
      const boxes: Box[] = [];
      const logits: number[] = [];
      for (let a = 0; a < anchors; a++) {
        const probabilities = Array.from({ length: classes }, (_, c) => at(4 + c, a));
        if (!(Math.max(...probabilities) >= BOX_FLOOR)) continue;
        const [x, y, w, h] = [at(0, a), at(1, a), at(2, a), at(3, a)];
        const { padL, padT, scaleX, scaleY } = geometry;
        boxes.push([
          (x - w / 2 - padL) / scaleX,
          (y - h / 2 - padT) / scaleY,
          (x + w / 2 - padL) / scaleX,
          (y + h / 2 - padT) / scaleY,
        ]);
        logits.push(...probabilities.map(logit));
      }
      return { boxes, logits: Float32Array.from(logits) };
    },
  };
  const features: FeatureTeacher = {
    ...identity,
    async features(image): Promise<FeatureMap[]> {
      const { image: input, geometry } = letterbox(image, { size: imgsz });
      const maps = tf.tidy(() => {
        const pixels = Float32Array.from(input.data, (v) => v / 255);
        return [...(student.forward(tf.tensor4d(pixels, [1, imgsz, imgsz, 3])).features ?? [])];
      });
      const result: FeatureMap[] = [];
      for (const [level, map] of maps.entries()) {
        const [, height, width, channels] = map.shape;
        const stride = STUDENT_STRIDES[level]!;
        const toMap = mapToCells(geometry, stride);
        result.push({ stride, height, width, channels, data: Float32Array.from(await map.data()), toMap });
      }
      tf.dispose(maps);
      return result;
    },
  };
  return { detector, features };
}
