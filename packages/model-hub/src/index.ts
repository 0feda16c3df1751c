/** @module Models: find, fetch, store, version and serve. */
export { HubError } from "./errors.js";
