import { HubError } from "../errors.js";
import type { Trainer, TrainerModule } from "./types.js";

/** Imports a trainer. @throws {@link HubError} INVALID_REQUEST when the module does not export one */
export async function loadTrainer({ module, export: name = "trainer" }: TrainerModule): Promise<Trainer> {
  const exported = ((await import(module)) as Record<string, unknown>)[name] as Partial<Trainer> | undefined;
  if (typeof exported?.train === "function" && typeof exported.id === "string") return exported as Trainer;
  throw new HubError({
    code: "INVALID_REQUEST",
    message: `${module} exports no trainer under the name ${JSON.stringify(name)}.`,
    details: { module, export: name },
  });
}
