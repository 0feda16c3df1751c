import type { RunDirectory } from "../run-directory.js";
import type { SafeHtml } from "./html.js";
import { svgFile } from "./svg-file.js";

/**
 * Writes a chart as `name.svg` and, where the optional package sharp is installed, as `name.png`. A chart without anything to draw writes nothing.
 * @param options - of {@link svgFile}
 * @returns the names of the files
 */
export async function writeChart(
  run: RunDirectory,
  name: string,
  chart: SafeHtml,
  options: { readonly scale?: number } = {},
): Promise<string[]> {
  if (!chart.text.startsWith("<svg ")) return [];
  const svg = svgFile(chart, options);
  run.write(`${name}.svg`, `${svg}\n`);
  const sharp = await optionalSharp();
  if (sharp === null) return [`${name}.svg`];
  run.write(`${name}.png`, await sharp(Buffer.from(svg)).png({ compressionLevel: 9 }).toBuffer());
  return [`${name}.svg`, `${name}.png`];
}

/** The image encoder, or null where it is not installed. */
export async function optionalSharp(): Promise<typeof import("sharp").default | null> {
  try {
    return (await import("sharp")).default;
  } catch {
    return null;
  }
}
