/**
 * Promptable foundation models as teachers: Grounding DINO and SAM of any size, fine-tuned with LoRA; MobileSAM, FastSAM, text to masks.
 *
 * @example
 * const sam = Sam.fromPretrained("packages/teachers/pretrained/sam-tiny-synthetic");
 * const { logits, iou } = await predictInstanceMasks({ sam, image, boxes: [[10, 20, 60, 80]] });
 * @module
 */

export { weightsHash } from "@seg/nn";
export {
  NonFiniteTeacherLossError,
  NoTrainableDataError,
  TeacherConfigError,
  TeacherUnavailableError,
} from "./errors.js";
export { type EverythingMasks, FastSam, type FastSamMask, type SegmentEverything } from "./fast-sam/fast-sam.js";
export { type DecodeYolov8, loadFastSam } from "./fast-sam/load.js";
export type { SamSource, TextDetector } from "./grounded-sam/detector.js";
export {
  type GroundedInstance,
  type GroundedPrediction,
  GroundedSam,
  type GroundedSamOptions,
} from "./grounded-sam/grounded-sam.js";
export { type LoadedGroundedSam, loadGroundedSam } from "./grounded-sam/load.js";
export type { ClassScore } from "./grounding-dino/batch-predictor.js";
export { BERT_TOKENIZER_CONFIG, bertTokenizerJson, loadBertTokenizer } from "./grounding-dino/bert-tokenizer.js";
export {
  GROUNDING_DINO_SIZES,
  type GroundingDinoConfig,
  groundingDinoConfigJson,
  parseGroundingDinoConfig,
} from "./grounding-dino/config.js";
export { ClassNameError, PromptTooLongError } from "./grounding-dino/errors.js";
export { type GroundedResult, groundedResults } from "./grounding-dino/grounded-results.js";
export {
  type EncodedImage,
  GroundingDino,
  type GroundingDinoInput,
  type GroundingDinoLayerOutput,
  type GroundingDinoOutput,
  type GroundingDinoProposals,
  paddedLogits,
} from "./grounding-dino/grounding-dino.js";
export { type MapSize, mapSizes } from "./grounding-dino/image-levels.js";
export { loadGroundingDino } from "./grounding-dino/load.js";
export { groundingDinoConfigOfWeights, loadOriginalGroundingDino } from "./grounding-dino/load-original.js";
export {
  GROUNDING_DINO_PRESETS,
  type GroundingDinoPreset,
  groundingDinoTargets,
} from "./grounding-dino/lora-presets.js";
export { groundingDinoOriginalKeys } from "./grounding-dino/original-keys.js";
export {
  type GroundingDinoProcessor,
  loadGroundingDinoProcessor,
} from "./grounding-dino/processor.js";
export { sampleLevels } from "./grounding-dino/sample-levels.js";
export { countGroundingDinoParameters, groundingDinoStateShapes } from "./grounding-dino/state-shapes.js";
export {
  type BackboneMap,
  GroundingDinoTeacher,
  type TextDetection,
  type TextLogits,
} from "./grounding-dino/teacher.js";
export {
  type EncodeCaption,
  type TextBatch,
  type TextTensors,
  textBatch,
  textOf,
  textTensors,
} from "./grounding-dino/text-batch.js";
export { type PhraseColumns, phraseColumns, textBlocks } from "./grounding-dino/text-blocks.js";
export { type TextEmbedder, textEmbedder } from "./grounding-dino/text-embedder.js";
export { TINY_GROUNDING_DINO_SIDE, tinyGroundingDinoConfig } from "./grounding-dino/tiny-config.js";
export type { DetectorAugmentation } from "./grounding-dino/train/augment-item.js";
export { forwardHeads, headsOf } from "./grounding-dino/train/detection-heads.js";
export { type DetectionBatch, type DetectionHeads, DetectionStep } from "./grounding-dino/train/detection-step.js";
export type { DetectorItem } from "./grounding-dino/train/detector-item.js";
export {
  type Detection,
  type DetectorClassScores,
  type DetectorEvaluation,
  type DetectorRun,
  detectionsOf,
  evaluateGroundingDino,
  formatDetectorEvaluation,
  predictItems,
} from "./grounding-dino/train/evaluate.js";
export {
  type DetectorFineTuneEvent,
  type DetectorFineTuneOptions,
  type DetectorFineTuneResult,
  fineTuneGroundingDino,
} from "./grounding-dino/train/fine-tune.js";
export type { Detections, DetectionTargets } from "./grounding-dino/train/match-costs.js";
export { minimumCostAssignment } from "./grounding-dino/train/minimum-cost-assignment.js";
export { formatRetention, measureRetention, RETENTION_GATE, type Retention } from "./grounding-dino/train/retention.js";
export { type DetectionTarget, toCxcywh } from "./grounding-dino/train/targets.js";
export { MAX_TRAINING_PHRASES, trainingPhrases } from "./grounding-dino/train/training-phrases.js";
export { groundingDinoAdapterKeys } from "./keys/grounding-dino-adapter-keys.js";
export {
  type LoadedTeachers,
  type LoadTeachersOptions,
  loadTeachers,
  pretrainedGroundingDinoDirectory,
  pretrainedSamDirectory,
} from "./load-teachers.js";
export { bitmapIou, trivialMask } from "./sam/baselines.js";
export type { SamAugmentation } from "./sam/batch-source.js";
export {
  embeddingSide,
  parseSamConfig,
  type SamActivation,
  type SamConfig,
  type SamDecoderConfig,
  type SamPromptConfig,
  type SamVisionConfig,
  samConfigJson,
  type TinyVitConfig,
} from "./sam/config.js";
export { samConfigOfWeights } from "./sam/config-of-weights.js";
export { EmbeddingCache, mirrorImage } from "./sam/embedding-cache.js";
export { evaluateSam, formatSamEvaluation, type MaskScores, type SamEvaluation, type SamItem } from "./sam/evaluate.js";
export {
  fineTuneSam,
  type SamFineTuneEvent,
  type SamFineTuneOptions,
  type SamFineTuneResult,
} from "./sam/fine-tune.js";
export { loadOriginalSam } from "./sam/load-original.js";
export { SAM_PRESETS, type SamPreset, samTargets } from "./sam/lora-presets.js";
export { PAPER_LOSS, type SamLossValue, type SamLossWeights, SCRATCH_LOSS, samLoss } from "./sam/loss.js";
export { checkMerge, type MergeCheck } from "./sam/merge-check.js";
export { samOriginalKeys } from "./sam/original-keys.js";
export { encodeImageOnce, type InstanceMasks, predictInstanceMasks, samPixels } from "./sam/predict.js";
export type { SamPrompts } from "./sam/prompt-encoder.js";
export { Sam, type SamPrediction } from "./sam/sam.js";
export { countParameters, samStateShapes } from "./sam/state-shapes.js";
export { type BoxJitter, jitterBox, maskTarget, mirrorBox, promptBox, validCells } from "./sam/targets.js";
export { type SamVariant, tinySamConfig } from "./sam/tiny-config.js";
export { TinyVitEncoder } from "./sam/tiny-vit.js";
export { type SamBatch, type SamStepResult, SamTrainStep } from "./sam/train-step.js";
export type { TrainingMethod } from "./sam/trainable.js";
export type { SamImageEncoder, SamTrace } from "./sam/vision-encoder.js";
export { defaultZoom, type SamZoom, SMALL_SAM_ZOOM, type ZoomWindow, zoomWindow } from "./sam/zoom.js";
export { selectTeachers, type TeacherDecision, type TeacherFacts, type TeacherSelection } from "./select-teachers.js";
export { type Attributes, isHeldOutCombination } from "./synthetic/attributes.js";
export { BAG_CLASSES, bagScene } from "./synthetic/bag-world.js";
export {
  type DescribedScene,
  type DetectorPrompt,
  detectorPrompt,
  PHRASE_WORDS,
  type Phrase,
} from "./synthetic/detector-prompts.js";
export {
  type DetectorInstance,
  type DetectorScene,
  type DetectorSceneKey,
  detectorScene,
} from "./synthetic/detector-world.js";
export { sceneItem } from "./synthetic/scene-item.js";
export { type Scene, type SceneInstance, type SceneKey, shapeScene } from "./synthetic/shape-world.js";
export { SHAPE_KINDS } from "./synthetic/shapes.js";
export { SQUARE_VIEWS, viewBox, viewSource } from "./synthetic/views.js";
