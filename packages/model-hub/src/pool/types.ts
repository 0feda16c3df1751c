/** Where a model can live. */
export interface PoolDevice {
  /** For example `cpu` or `cuda:0`; unique in a pool. */
  readonly id: string;
  /** Bytes of the device. */
  readonly totalBytes: number;
  /** Bytes that stay free. @defaultValue {@link reserveBytes} of `totalBytes` */
  readonly reserveBytes?: number;
}

/** How a model's weights are held. Reduced forms are tried only where the pool's `quantisation` allows them. */
export type PoolPrecision = "full" | "fp16" | "int8";

/** A model that was loaded. */
export interface LoadedModel<Model> {
  readonly model: Model;
  /** Measured bytes on the device; null: the estimate stands. */
  readonly bytes: number | null;
  /** Frees the memory; the pool counts it as used until this ends. */
  dispose(): Promise<void> | void;
  /** Moves the weights to another device; absent where the model cannot. */
  moveTo?(device: string): Promise<void>;
}

/** How the pool gets a model. */
export interface ModelLoader<Model> {
  /** Bytes of the weights at full precision. */
  readonly weightBytes: number;
  /** Bytes that a run needs beyond the weights. @defaultValue 0 */
  readonly activationBytes?: number;
  /** Ids of devices it may be placed on, preferred first. @defaultValue all of the pool, in its order */
  readonly devices?: readonly string[];
  /** Reduced forms that exist, with the bytes of their weights. fp16 is used on accelerators only. @defaultValue none */
  readonly variants?: Readonly<Partial<Record<"fp16" | "int8", number>>>;
  /** Never evicted, moved or expired. @defaultValue false */
  readonly pinned?: boolean;
  load(place: { readonly device: string; readonly precision: PoolPrecision }): Promise<LoadedModel<Model>>;
}

/** A model in use. It stays where it is until every lease on it is released. */
export interface Lease<Model> extends AsyncDisposable {
  readonly key: string;
  readonly model: Model;
  readonly device: string;
  readonly precision: PoolPrecision;
  /** Gives the model back; further calls do nothing. */
  release(): void;
}

/** Counts since the pool was made. */
export interface PoolMetrics {
  /** Acquisitions that found their model loaded. */
  readonly hits: number;
  readonly loads: number;
  readonly evictions: number;
  /** Models dropped because nobody used them for `keepAliveMs`. */
  readonly expirations: number;
  readonly offloads: number;
  /** Acquisitions that had to wait for room. */
  readonly waits: number;
  /** Loads and disposals that failed. */
  readonly failures: number;
}

/** A model as {@link PoolStatus} lists it. */
export interface PooledModel {
  readonly key: string;
  readonly state: "waiting" | "loading" | "resident" | "moving" | "disposing";
  /** Null while it waits for room. */
  readonly device: string | null;
  readonly precision: PoolPrecision;
  /** Reserved or measured. */
  readonly bytes: number;
  readonly leases: number;
  readonly pinned: boolean;
  /** Milliseconds since it was last used; null while somebody uses it. */
  readonly idleMs: number | null;
}

/** What is where. */
export interface PoolStatus {
  readonly devices: readonly { readonly id: string; readonly budgetBytes: number; readonly usedBytes: number }[];
  readonly models: readonly PooledModel[];
  /** Callers that wait for room. */
  readonly waiting: number;
  readonly metrics: PoolMetrics;
}
