/** @module Models: find, fetch, store, version and serve. */
export { HUB_ERROR_STATUS, HubError, type HubErrorCode } from "./errors.js";
