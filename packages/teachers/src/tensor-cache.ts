import { existsSync } from "node:fs";
import { join } from "node:path";
import { float16ToFloat32, float32ToFloat16, readSafetensors, SafetensorsFormatError, writeSafetensors } from "@seg/nn";

/** Values with their extents. */
export interface CachedTensor {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** Settings of a {@link TensorCache}. */
export interface TensorCacheOptions {
  /** One safetensors file per entry there. @defaultValue null: memory only */
  readonly directory?: string | null;
  /** Of the stored values; what `get` returns is rounded to it on disk and in memory alike. @defaultValue "F32" */
  readonly dtype?: "F32" | "F16";
  /** In memory; further entries live on disk alone. @defaultValue 1 GiB */
  readonly maxBytes?: number;
  /** Written into every file beside its key. @defaultValue none */
  readonly metadata?: Readonly<Record<string, string>>;
}

/**
 * Named float tensors under keys that say everything they depend on. An entry on disk that is truncated, has other names, shapes or types than expected, holds values that are not finite or was written
 * under another key is computed again. `F32` entries equal computed values bit for bit; `F16` halves the size at up to 2^-11 relative.
 */
export class TensorCache {
  readonly #directory: string | null;
  readonly dtype: "F32" | "F16";
  readonly #maxBytes: number;
  readonly #metadata: Readonly<Record<string, string>>;
  readonly #memory = new Map<string, ReadonlyMap<string, CachedTensor>>();
  #bytes = 0;

  constructor({ directory = null, dtype = "F32", maxBytes = 2 ** 30, metadata = {} }: TensorCacheOptions = {}) {
    this.#directory = directory;
    this.dtype = dtype;
    this.#maxBytes = maxBytes;
    this.#metadata = metadata;
  }

  /**
   * @param key - letters and digits; names the file
   * @param shapes - of the tensors that an entry holds
   * @returns the tensors and whether they had to be computed
   */
  async get(
    key: string,
    shapes: Readonly<Record<string, readonly number[]>>,
    compute: () => Promise<ReadonlyMap<string, Float32Array>>,
  ): Promise<{ tensors: ReadonlyMap<string, CachedTensor>; computed: boolean }> {
    const known = this.#memory.get(key);
    if (known) return { tensors: known, computed: false };
    const stored = this.#read(key, shapes);
    let tensors = stored;
    if (tensors === null) {
      const fresh = await compute();
      tensors = new Map(
        Object.entries(shapes).map(([name, shape]) => [name, { shape, data: this.#rounded(fresh.get(name)!) }]),
      );
      if (this.#directory !== null) {
        const dict = new Map(
          [...tensors].map(([name, { shape, data }]) => [name, { dtype: "F32" as const, shape: [...shape], data }]),
        );
        writeSafetensors(this.#path(key), dict, { dtype: this.dtype, metadata: { ...this.#metadata, key } });
      }
    }
    const bytes = [...tensors.values()].reduce((sum, { data }) => sum + data.byteLength, 0);
    if (this.#bytes + bytes <= this.#maxBytes) {
      this.#memory.set(key, tensors);
      this.#bytes += bytes;
    }
    return { tensors, computed: stored === null };
  }

  /** The same values whether or not they have been on disk. */
  #rounded(values: Float32Array): Float32Array {
    return this.dtype === "F32" ? values : float16ToFloat32(float32ToFloat16(values));
  }

  #path(key: string): string {
    return join(this.#directory!, `${key}.safetensors`);
  }

  #read(key: string, shapes: Readonly<Record<string, readonly number[]>>): Map<string, CachedTensor> | null {
    if (this.#directory === null || !existsSync(this.#path(key))) return null;
    try {
      const file = readSafetensors(this.#path(key));
      if (file.metadata["key"] !== key) return null;
      const tensors = new Map<string, CachedTensor>();
      for (const [name, shape] of Object.entries(shapes)) {
        if (!file.has(name)) return null;
        const info = file.info(name);
        if (info.dtype !== this.dtype || info.shape.join() !== shape.join()) return null;
        const data = file.tensor(name).data as Float32Array;
        if (!data.every(Number.isFinite)) return null;
        tensors.set(name, { shape, data });
      }
      return tensors;
    } catch (error) {
      if (error instanceof SafetensorsFormatError || error instanceof RangeError) return null;
      throw error;
    }
  }
}
