/**
 * Promptable foundation models as teachers: SAM of any size, fine-tuned with LoRA.
 *
 * @example
 * const sam = Sam.fromPretrained("packages/teachers/pretrained/sam-tiny-synthetic");
 * const { logits, iou } = await predictInstanceMasks({ sam, image, boxes: [[10, 20, 60, 80]] });
 * @module
 */
export {
  NonFiniteTeacherLossError,
  NoTrainableDataError,
  TeacherConfigError,
  TeacherUnavailableError,
} from "./errors.js";
export { type LoadedTeachers, loadTeachers, pretrainedSamDirectory } from "./load-teachers.js";
export { bitmapIou, trivialMask } from "./sam/baselines.js";
export {
  embeddingSide,
  parseSamConfig,
  type SamActivation,
  type SamConfig,
  type SamDecoderConfig,
  type SamPromptConfig,
  type SamVisionConfig,
  samConfigJson,
} from "./sam/config.js";
export { EmbeddingCache, mirrorImage } from "./sam/embedding-cache.js";
export { evaluateSam, formatSamEvaluation, type MaskScores, type SamEvaluation, type SamItem } from "./sam/evaluate.js";
export {
  fineTuneSam,
  SAM_LORA_TARGETS,
  type SamFineTuneEvent,
  type SamFineTuneOptions,
  type SamFineTuneResult,
} from "./sam/fine-tune.js";
export { PAPER_LOSS, type SamLossValue, type SamLossWeights, SCRATCH_LOSS, samLoss } from "./sam/loss.js";
export { checkMerge, type MergeCheck } from "./sam/merge-check.js";
export { encodeImageOnce, type InstanceMasks, predictInstanceMasks, samPixels } from "./sam/predict.js";
export type { SamPrompts } from "./sam/prompt-encoder.js";
export { Sam, type SamPrediction } from "./sam/sam.js";
export { countParameters, samStateShapes } from "./sam/state-shapes.js";
export { type BoxJitter, jitterBox, maskTarget, mirrorBox, validCells } from "./sam/targets.js";
export { type SamVariant, tinySamConfig } from "./sam/tiny-config.js";
export { type SamBatch, type SamStepResult, SamTrainStep } from "./sam/train-step.js";
export type { SamTrace } from "./sam/vision-encoder.js";
export { weightsHash } from "./sam/weights-hash.js";
export { selectTeachers, type TeacherDecision, type TeacherFacts, type TeacherSelection } from "./select-teachers.js";
export { BAG_CLASSES, bagScene } from "./synthetic/bag-world.js";
export { sceneItem } from "./synthetic/scene-item.js";
export { type Scene, type SceneInstance, type SceneKey, shapeScene } from "./synthetic/shape-world.js";
export { SHAPE_KINDS } from "./synthetic/shapes.js";
