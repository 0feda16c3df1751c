/** Version of this package; a test keeps it equal to package.json. */
export const VERSION = "0.1.0";
/** Name and version that this package puts into what it writes. */
export const TOOL_VERSION = `@seg/model-hub ${VERSION}`;
