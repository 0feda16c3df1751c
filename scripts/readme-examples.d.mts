/** The first example of a package's README. */
export interface ReadmeExample {
  /** The package's folder. */
  readonly name: string;
  readonly readme: string;
  readonly code: string;
  /** What it says it prints. */
  readonly output: string;
}
export const EXAMPLES: string;
export function readmeExamples(): ReadmeExample[];
export function writeExamples(): ReadmeExample[];
