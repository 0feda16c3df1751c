const MIB = 2 ** 20;

/**
 * Bytes of a device that stay free for the system: 400 MiB, 600 on Windows (its desktop takes more), 100 more above 15 GB.
 * @param totalBytes - of the device
 */
export function reserveBytes(totalBytes: number, platform: string = process.platform): number {
  return (platform === "win32" ? 600 : 400) * MIB + (totalBytes > 15e9 ? 100 * MIB : 0);
}
