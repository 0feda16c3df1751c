import * as tf from "@tensorflow/tfjs";

type Config = Parameters<typeof tf.registerGradient>[0];

const brand = Symbol.for("@seg/engine/gradient");

/** Registers a gradient that tfjs lacks. */
export function addGradient(config: Config): void {
  if (!tf.getGradient(config.kernelName)) tf.registerGradient(config);
}

/** Replaces a gradient of tfjs that is wrong, once for all copies of this package. */
export function replaceGradient(config: Config): void {
  const known = tf.getGradient(config.kernelName) as (Config & { [brand]?: true }) | undefined;
  if (known?.[brand]) return;
  if (known) tf.unregisterGradient(config.kernelName);
  tf.registerGradient(Object.assign(config, { [brand]: true as const }));
}
