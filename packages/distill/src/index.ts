/**
 * Prompt-free students (YOLOv8, YOLOv8-seg), their losses, and distillation from mask teachers.
 * @module
 */
export {
  ABLATION_ARMS,
  type AblationArm,
  type AblationEvent,
  type AblationReport,
  type AblationRun,
  type ArmSummary,
  ablate,
  ablationCsv,
  summarizeAblation,
} from "./ablate.js";
export { modelAnchors } from "./anchors.js";
export { type Augmentation, type Augmenter, createAugmenter, type StudentAugmentation } from "./augmentation.js";
export { autoStudentBatch } from "./auto-batch.js";
export { BatchLoader, type BatchLoaderOptions, type FeatureArrays, type LoadedBatch } from "./batch-loader.js";
export { type ClassMappingFile, classMappingFile, datasetHash } from "./class-mapping-hash.js";
export {
  BadImageError,
  CacheCorruptError,
  CacheKeyMismatchError,
  ClassMappingMismatchError,
  ConfigError,
  EmptySplitError,
  KdInactiveError,
  SegError,
  StudentDataMismatchError,
} from "./errors.js";
export {
  checkMapping,
  type EvaluationSet,
  evaluateStudent,
  loadEvaluationSet,
  type StudentEvaluation,
} from "./evaluate-student.js";
export { FeatureAdaptors } from "./feature-adaptors.js";
export { type WarpedFeatures, warpFeatures } from "./feature-targets.js";
export { GradientProbe, type GradientShares } from "./gradient-probe.js";
export { type Assignment, type AssignTalInput, assignTal } from "./losses/assign-tal.js";
export { bceWithLogits } from "./losses/bce.js";
export { completeIou, generalizedIou, pairwiseCompleteIou } from "./losses/box-iou.js";
export {
  type Anchors,
  type DetectionLoss,
  type DetectionTargets,
  decodeBoxes,
  detectionLoss,
  type Positives,
} from "./losses/detection-loss.js";
export type { DistillationForms } from "./losses/distillation-terms.js";
export { distributionExpectation, distributionFocalLoss } from "./losses/distribution-focal.js";
export { distributionKd } from "./losses/distribution-kd.js";
export { cwdLoss, type FeaturePair, pkdLoss } from "./losses/feature-kd.js";
export { binaryKd, boxKd, logitKd, softmaxKd } from "./losses/logit-kd.js";
export { maskKd, maskLoss, type PositiveMasks, positiveMasks } from "./losses/mask-loss.js";
export {
  DEFAULT_GAINS,
  type LossGains,
  type LossPart,
  type LossWeights,
  lossGains,
  type StudentOutputs,
  type StudentTargets,
  studentLoss,
} from "./losses/student-loss.js";
export { type OperatingPoint, operatingPoint } from "./operating-point.js";
export { type Predictor, sessionPredictor, studentPredictor } from "./predictor.js";
export {
  type AnnotationFacts,
  isMaskStudent,
  STUDENT_IDS,
  type StudentDecision,
  type StudentId,
  selectStudent,
} from "./select-student.js";
export { createStudent, type Student } from "./student.js";
export { studentTeacher } from "./student-teacher.js";
export { type DistillEncoderConfig, distillEncoder } from "./students/mobile-sam/distill-encoder.js";
export { embeddingLoss } from "./students/mobile-sam/embedding-loss.js";
export { MobileSamNet, mobileSamConfig } from "./students/mobile-sam/network.js";
export { promptedMaskLoss } from "./students/mobile-sam/prompted-mask-loss.js";
export { samEmbeddings } from "./students/mobile-sam/sam-embeddings.js";
export { selectBoxes } from "./students/mobile-sam/select-boxes.js";
export { createMobileSamStudent, type MobileSamStudentOptions } from "./students/mobile-sam/student.js";
export { loadWeights, regMaxOf, type WeightReport } from "./students/weights/load-weights.js";
export {
  bucket,
  buildTargets,
  disposeTargets,
  type PointMap,
  sampleTeacherMask,
  type TargetArrays,
  type TargetInstance,
  type TargetParts,
  type TargetSample,
  type TargetShape,
  type TeacherAnswer,
  targetArrays,
  targetShape,
} from "./targets.js";
export {
  applyCalibration,
  type Calibration,
  type ClassCalibration,
  calibrate,
  type LabelledDetections,
} from "./teacher/calibrate.js";
export { bestClass, selectDetections } from "./teacher/detections.js";
export { mapToCells, type Placement } from "./teacher/map-to-cells.js";
export { mergeUnlabelled } from "./teacher/merge-unlabelled.js";
export {
  type CachedMask,
  type DistillationCounts,
  type DistillationData,
  type NotedAnnotation,
  type PrepareDistillationOptions,
  prepareDistillation,
  type TeacherNote,
} from "./teacher/prepare-distillation.js";
export { type Reconciled, reconcile, type TeacherDetection } from "./teacher/reconcile.js";
export { samMasks } from "./teacher/sam-masks.js";
export { ShardStore } from "./teacher/shard-store.js";
export { type SweptThreshold, sweepThresholds } from "./teacher/sweep-thresholds.js";
export { type CachedImage, type CacheProgress, type Question, TeacherCache } from "./teacher/teacher-cache.js";
export {
  type DetectionRecord,
  decodeRecord,
  encodeRecord,
  type FeatureMap,
  type FeatureRecord,
  type MaskRecord,
  packLogits,
  type TeacherMask,
  type TeacherRecord,
  unpackLogits,
} from "./teacher/teacher-record.js";
export type {
  DetectionTeacher,
  FeatureTeacher,
  MaskTeacher,
  TeacherIdentity,
  Teachers,
} from "./teacher/teachers.js";
export { closedEpochs, kdRampAt, type StudentData, type TrainStudentConfig } from "./train-config.js";
export { trainStudent } from "./train-student.js";
export { loadTrainingImages, type SkippedImage, type TrainingImage } from "./training-images.js";
