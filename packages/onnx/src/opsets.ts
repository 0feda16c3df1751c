/** Last opset of the standard domain that each IR version carries (ONNX Versioning.md). */
const lastOpset: readonly (readonly [irVersion: number, opset: number])[] = [
  [3, 8],
  [4, 9],
  [5, 10],
  [6, 11],
  [7, 14],
  [8, 18],
  [9, 20],
  [10, 22],
  [11, 23],
  [12, 24],
];

/** The lowest IR version that belongs to an opset of the standard domain. @example irVersionFor(17) // 8 */
export function irVersionFor(opset: number): number {
  for (const [irVersion, last] of lastOpset) if (opset <= last) return irVersion;
  return 13;
}
