/** A third-party package that installing ours can bring. */
export interface ShippedPackage {
  readonly name: string;
  readonly version: string;
  /** SPDX expression; absent where the package states none. */
  readonly license?: string;
}
export function isPermissive(expression: string): boolean;
export function isAllowed(entry: { readonly name: string; readonly license?: string }): boolean;
export function shippedPackages(entries: Record<string, object>): ShippedPackage[];
