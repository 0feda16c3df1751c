/**
 * A line that gets better while it runs: a hub in this process, and a client that talks to it over HTTP as any machine would. Upload pictures,
 * train, watch, compare with what is active, activate, predict, and go back when the new version disappoints.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { createPredictor, ownTrainers } from "@seg/cli";
import { HubClient, type RetrainResult } from "@seg/model-hub/client";
import { openConnectedHub } from "@seg/model-hub/server";
import { zipSync } from "fflate";
import sharp from "sharp";
import { parse } from "yaml";
import { cocoOf, drawPhotos, type Photo } from "../compose-your-own/photos.js";

/** What `config.yaml` says. */
export interface Config {
  readonly photos: number;
  readonly seed: number;
  /** Of the first version, and of the second, which goes on from it. */
  readonly epochs: readonly [first: number, second: number];
  readonly batch_size: number;
  readonly learning_rate: number;
  readonly params: { readonly imgsz: number; readonly student: string; readonly threads: number };
}

/** What came of it. */
export interface Outcome {
  readonly versions: readonly [first: string, second: string];
  /** Names of the events that the client saw of the second run, in order. */
  readonly events: readonly string[];
  readonly comparable: boolean;
  /** Version that answered each prediction: the second active, and after going back. */
  readonly answeredBy: readonly string[];
}

const png = ({ image: { width, height, data } }: Photo) =>
  sharp(data, { raw: { width, height, channels: 3 } })
    .png()
    .toBuffer();

/** Runs the story in a hub below `root`. */
export async function serveAndRetrain(
  config: Config,
  { root, log }: { root: string; log(line: string): void },
): Promise<Outcome> {
  // 1. The server: API, dashboard, queue and worker. `seg serve` does the same with options; PostgreSQL, Redis and S3 are addresses here.
  const hub = await openConnectedHub({
    root,
    port: 0,
    env: {},
    trainers: ownTrainers(),
    predictor: (parts) => createPredictor(parts),
  });
  try {
    log(`hub        ${hub.url}/dashboard`);

    // 2. The first start made an administrator; the line gets a token of its own, which can be revoked.
    const administrator = new HubClient({ baseUrl: hub.url, token: hub.firstToken });
    const { token, id } = await administrator.createToken({ name: "line 1", role: "admin" });
    const client = new HubClient({ baseUrl: hub.url, token });

    // 3. Data: a zip of COCO and pictures, checked on arrival.
    const photos = drawPhotos({ count: config.photos, seed: config.seed });
    const pictures = await Promise.all(photos.map(async (photo, k) => [`images/${k}.png`, await png(photo)] as const));
    const annotations = new TextEncoder().encode(JSON.stringify(cocoOf(photos)));
    const archive = zipSync({ "annotations.json": annotations, ...Object.fromEntries(pictures) }, { level: 0 });
    const upload = await client.uploadDataset(new Blob([archive]), { fileName: "bench.zip" });
    log(`uploaded   ${upload.dataset_name}: ${upload.records} pictures, ${upload.dataset.annotations} objects`);

    // 4. The first version, activated because nothing is active yet.
    const { batch_size, learning_rate, params, seed } = config;
    const request = { dataset_name: "bench", use_database: false, trainer: "student", batch_size, learning_rate };
    const [few, more] = config.epochs;
    const first = await client.retrain({ ...request, params, seed, epochs: few, description: "first try" });
    log(`trained    ${summary(first)}`);
    await client.activate(first.version, { reason: "there was none" });

    // 5. A longer run goes on from it; its events arrive as they happen (server-sent events, resumed after a broken connection).
    const events: string[] = [];
    const second = await client.retrain(
      { ...request, params, seed, epochs: more, base_version: first.version, description: "longer" },
      {
        onEvent({ type, data }) {
          events.push(type);
          const { phase, percent } = data as { phase?: string; percent?: number };
          if (phase === "training" && percent !== undefined) log(`${type.padEnd(10)} ${percent.toFixed(0)} %`);
        },
      },
    );
    log(`trained    ${summary(second)}`);

    // 6. Compare: on the same pictures and with the same definition, or the hub says that it is not comparable.
    const { metrics, comparable, overall, primary } = await client.compareVersions(first.version, second.version);
    for (const name of ["map50", "map50_95", "mask_iou"])
      log(`compared   ${name.padEnd(9)} ${number(metrics[name]?.a)} -> ${number(metrics[name]?.b)}`);
    log(
      `           by ${primary} the ${overall === "b" ? "second" : "first"} is better; suggested: ${second.suggest_activation}`,
    );

    // 7. Activate, predict, go back, predict: the caller names no version and changes nothing.
    const answeredBy: string[] = [];
    const picture = new Blob([await png(drawPhotos({ count: 1, seed: seed + 1 })[0]!)]);
    const ask = async () => {
      const { version, instances, milliseconds } = await client.predict(picture);
      answeredBy.push(version);
      const found = instances.map(({ name, score }) => `${name} ${score.toFixed(2)}`).join(", ");
      log(`predicted  by ${version} in ${milliseconds.toFixed(0)} ms: ${found || "nothing"}`);
    };
    await client.activate(second.version, { reason: "longer run" });
    await ask();
    await client.rollback({ reason: "shown in an example" });
    await ask();
    const { history } = await client.getHistory();
    for (const { version, previous, reason } of history.toReversed())
      log(`history    ${previous ?? "none"} -> ${version}: ${reason}`);
    await administrator.revokeToken(id);
    return { versions: [first.version, second.version], events, comparable, answeredBy };
  } finally {
    await hub.close();
  }
}

const number = (value: number | null | undefined) => (value == null ? "-" : value.toFixed(3));
const summary = ({ version, metrics, training_time }: RetrainResult) =>
  `${version}: mask mAP50 ${number(metrics.map50)} in ${training_time.toFixed(0)} s`;

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const name = process.argv.includes("--smoke") ? "config.smoke.yaml" : "config.yaml";
  const config = parse(readFileSync(join(import.meta.dirname, name), "utf8")) as Config;
  const root = mkdtempSync(join(tmpdir(), "seg-hub-"));
  try {
    await serveAndRetrain(config, { root, log: (line) => console.log(line) });
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}
