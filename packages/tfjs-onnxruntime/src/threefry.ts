const ROTATIONS = [13, 15, 26, 6, 17, 29, 16, 24] as const;
const PARITY = 0x1bd11bda;

const rotate = (x: number, by: number) => (x << by) | (x >>> (32 - by));

/**
 * Threefry-2x32 with 20 rounds (Salmon, Moraes, Dror & Shaw, "Parallel random numbers: as easy as 1, 2, 3", 2011): two words from a
 * key and a counter of two words each.
 */
export function threefry2x32(k0: number, k1: number, c0: number, c1: number, out: Uint32Array): void {
  const keys = [k0, k1, PARITY ^ k0 ^ k1];
  let x = (c0 + k0) | 0;
  let y = (c1 + k1) | 0;
  for (let round = 0; round < 20; round++) {
    x = (x + y) | 0;
    y = rotate(y, ROTATIONS[round % 8]!) ^ x;
    if (round % 4 !== 3) continue;
    const injection = (round + 1) / 4;
    x = (x + keys[injection % 3]!) | 0;
    y = (y + keys[(injection + 1) % 3]! + injection) | 0;
  }
  out[0] = x;
  out[1] = y;
}
