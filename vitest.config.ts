import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

/** Many short files: at the end they keep both workers busy, where a long file would leave one waiting for the other. */
const LAST = "@seg/coco-dataset";

class ShortLast extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    const isLast = ({ project }: TestSpecification) => project.name === LAST;
    return [...sorted.filter((file) => !isLast(file)), ...sorted.filter(isLast)];
  }
}

export default defineConfig({
  test: { projects: ["packages/*", "examples/*", "tests/*"], maxWorkers: 2, sequence: { sequencer: ShortLast } },
});
