import { join } from "node:path";
import type { StudentData } from "../train-config.js";
import type { CachedImage, Question } from "./teacher-cache.js";
import type { FeatureRecord } from "./teacher-record.js";
import type { FeatureTeacher } from "./teachers.js";

/** Images of a set as the cache asks about them. */
export const cachedImages = ({ dataset, imagesDir }: StudentData): CachedImage[] =>
  dataset.images.map(({ id, file_name, width, height }) => ({ id, file: join(imagesDir, file_name), width, height }));

/** The feature maps of every image; they depend on nothing else. */
export const featureQuestion = (teacher: FeatureTeacher, images: readonly CachedImage[]): Question<FeatureRecord> => ({
  kind: "features",
  teacher,
  images,
  settings: () => [],
  ask: async (pixels, { width, height }) => ({ kind: "features", width, height, maps: await teacher.features(pixels) }),
});
