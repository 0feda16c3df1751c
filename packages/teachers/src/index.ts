/**
 * Promptable foundation models as teachers: SAM of any size, fine-tuned with LoRA.
 * @module
 */
export {
  NonFiniteTeacherLossError,
  NoTrainableDataError,
  TeacherConfigError,
  TeacherUnavailableError,
} from "./errors.js";
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
export type { SamPrompts } from "./sam/prompt-encoder.js";
export { Sam, type SamPrediction } from "./sam/sam.js";
export { countParameters, samStateShapes } from "./sam/state-shapes.js";
export type { SamTrace } from "./sam/vision-encoder.js";
