/** Name and version that this package puts into what it writes; a test keeps it equal to package.json. */
export const TOOL_VERSION = "@seg/model-hub 0.1.0";
