import { basename } from "node:path";
import { GroundingDinoTeacher, type TextEmbedder, textEmbedder } from "@seg/teachers";
import { startEngine } from "../engine.js";
import { groundingDinoDirectory } from "./detector-teacher.js";

/**
 * The text encoder of a Grounding DINO; `dispose` frees the whole model.
 * @param name - folder, or the name of the embedded one
 * @throws CommandError `cli/grounding-dino-not-found`
 */
export async function openTextEncoder(name: string): Promise<TextEmbedder> {
  const folder = groundingDinoDirectory(name);
  await startEngine();
  const teacher = GroundingDinoTeacher.fromPretrained(folder);
  const embedder = textEmbedder(teacher, { name: basename(folder) });
  return {
    ...embedder,
    dispose() {
      embedder.dispose();
      teacher.dispose();
    },
  };
}
