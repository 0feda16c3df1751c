/**
 * Prompt-free students (YOLOv8, YOLOv8-seg), their losses, and distillation from mask teachers.
 * @module
 */
export { modelAnchors } from "./anchors.js";
export { BatchLoader, type BatchLoaderOptions, type LoadedBatch } from "./batch-loader.js";
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
export { distributionExpectation, distributionFocalLoss } from "./losses/distribution-focal.js";
export { boxKd, logitKd, softmaxKd } from "./losses/logit-kd.js";
export { maskKd, maskLoss, type PositiveMasks, positiveMasks } from "./losses/mask-loss.js";
export {
  DEFAULT_GAINS,
  type LossGains,
  type LossPart,
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
export { createStudent, loadWeights, type Student, type WeightReport } from "./student.js";
export {
  bucket,
  buildTargets,
  disposeTargets,
  sampleTeacherMask,
  type TargetArrays,
  type TargetShape,
  type TeacherAnswer,
  targetArrays,
  targetShape,
} from "./targets.js";
export { buildTeacherCache, type CacheProgress, type MaskTeacher, TeacherCache } from "./teacher-cache.js";
export { packLogits, type TeacherMask, type TeacherRecord, unpackLogits } from "./teacher-record.js";
export { closedEpochs, kdRampAt, type StudentData, type TrainStudentConfig } from "./train-config.js";
export { trainStudent } from "./train-student.js";
export { loadTrainingImages, type SkippedImage, type TrainingImage } from "./training-images.js";
