/**
 * An exported model where it is used: in Node, and in a browser page that no picture leaves. Both run the same decoder of `@seg/export/runtime` and
 * find the same objects.
 *
 *   npm start -w @seg/example-edge-runtime                                        pictures and model of examples/compose-your-own
 *   npm start -w @seg/example-edge-runtime -- --model FILE --pictures DIR     yours
 */
import { existsSync, readFileSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { createDetector } from "@seg/export/runtime";
import { decodeImage } from "@seg/preprocess";
import sharp from "sharp";
import { parse } from "yaml";
import { drawPhotos } from "../compose-your-own/photos.js";
import { buildPage } from "./build-page.js";
import { type FoundObject, findObjects, measureLatency } from "./find-objects.js";
import { servePage } from "./serve-page.js";

/** What `config.yaml` says. */
export interface Config {
  /** ONNX file of an exported student, from the root of the repository. */
  readonly model: string;
  /** Pictures that are drawn. */
  readonly pictures: number;
  readonly seed: number;
  /** Lowest score. */
  readonly confidence: number;
  /** Of the page; 0 takes a free one. */
  readonly port: number;
  readonly runs: { readonly warmup: number; readonly counted: number };
}

/** Encoded pictures by name. */
export type Pictures = Readonly<Record<string, Uint8Array>>;

/** Pictures as a line's camera could send them. */
export async function drawnPictures({ pictures, seed }: Pick<Config, "pictures" | "seed">): Promise<Pictures> {
  const encoded = drawPhotos({ count: pictures, seed }).map(async ({ image: { width, height, data } }, k) => {
    const png = sharp(data, { raw: { width, height, channels: 3 } }).png();
    return [`bench-${k + 1}.png`, new Uint8Array(await png.toBuffer())] as const;
  });
  return Object.fromEntries(await Promise.all(encoded));
}

/** Finds the objects in Node and says how long it takes. */
export async function runInNode(
  { model, confidence, runs }: Pick<Config, "model" | "confidence" | "runs">,
  { pictures, log }: { pictures: Pictures; log(line: string): void },
): Promise<Readonly<Record<string, FoundObject[]>>> {
  const detector = await createDetector({ model });
  try {
    const found: Record<string, FoundObject[]> = {};
    for (const [name, bytes] of Object.entries(pictures)) {
      const objects = await findObjects(detector, await decodeImage(bytes), { confidence });
      found[name] = objects;
      log(`${name}  ${objects.map(({ name: what, score }) => `${what} ${score.toFixed(2)}`).join(", ") || "nothing"}`);
    }
    const first = await decodeImage(Object.values(pictures)[0]!);
    const { p50, p95 } = await measureLatency(detector, first, runs);
    log(`Node: ${p50.toFixed(2)} ms, 95 % within ${p95.toFixed(2)} ms, one thread (${runs.counted} runs)`);
    return found;
  } finally {
    await detector.dispose();
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const text = { type: "string" } as const;
  const { values } = parseArgs({
    options: { smoke: { type: "boolean", default: false }, model: text, pictures: text, port: text },
  });
  const file = join(import.meta.dirname, values.smoke ? "config.smoke.yaml" : "config.yaml");
  const config = parse(readFileSync(file, "utf8")) as Config;
  const model = values.model ? resolve(values.model) : join(import.meta.dirname, "../..", config.model);
  if (!existsSync(model)) {
    const made = `npm start -w @seg/example-compose-your-own${values.smoke ? " -- --smoke" : ""}`;
    console.error(`${model} was not found. Make it with ${made}, or give an exported student with --model FILE.`);
    process.exit(1);
  }
  const folder = values.pictures;
  const pictures: Pictures = folder
    ? Object.fromEntries(
        await Promise.all(
          (await readdir(folder))
            .filter((name) => /\.(png|jpe?g|webp)$/i.test(name))
            .map(async (name) => [name, await readFile(join(folder, name))] as const),
        ),
      )
    : await drawnPictures(config);
  const log = (line: string) => console.log(line);
  await runInNode({ ...config, model }, { pictures, log });
  const page = await servePage(await buildPage({ model, pictures }), { port: Number(values.port ?? config.port) });
  // A smoke run ends by itself; else the page stays until Ctrl-C.
  if (values.smoke) await page.close();
  else log(`Browser: open ${page.url} (Ctrl-C ends it)`);
}
