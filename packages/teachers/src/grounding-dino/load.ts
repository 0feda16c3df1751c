import { readFileSync } from "node:fs";
import { join } from "node:path";
import { loadStateDict, openWeights, SegError } from "@seg/nn";
import { TeacherUnavailableError } from "../errors.js";
import { parseGroundingDinoConfig } from "./config.js";
import { GroundingDino } from "./grounding-dino.js";
import { huggingFaceKeys } from "./key-rules.js";

/**
 * Loads a Hugging Face folder: `config.json` and `model.safetensors`, an index of shards or `pytorch_model.bin` (fp32, fp16 or bf16). Tensors are
 * read one at a time, after all names and shapes have been checked.
 *
 * @throws {@link TeacherUnavailableError} when a file is missing or unreadable, TeacherConfigError or StateDictError when they do not fit
 */
export function loadGroundingDino(directory: string): GroundingDino {
  const unavailable = (reason: string, cause: unknown): never => {
    throw new TeacherUnavailableError({ teacher: "grounding_dino", reason, cause });
  };
  const parse = (): unknown => {
    let text: string;
    try {
      text = readFileSync(join(directory, "config.json"), "utf8");
    } catch (cause) {
      return unavailable(`${directory} holds no readable config.json`, cause);
    }
    try {
      return JSON.parse(text);
    } catch (cause) {
      return unavailable(`${directory}/config.json is not JSON`, cause);
    }
  };
  const open = () => {
    try {
      return openWeights(directory);
    } catch (cause) {
      // A damaged file says more about itself than this layer can.
      if (SegError.isInstance(cause)) throw cause;
      return unavailable(`the weights in ${directory} cannot be read`, cause);
    }
  };
  const config = parseGroundingDinoConfig(parse());
  const weights = open();
  const model = new GroundingDino(config, { seed: 0, blank: true });
  try {
    loadStateDict(model, weights, { map: huggingFaceKeys });
  } catch (error) {
    model.dispose();
    throw error;
  }
  return model;
}
