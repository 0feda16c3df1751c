import { HubError } from "../errors.js";

/** Refusal of a route whose part the server was started without. */
export const absent = (what: string): HubError =>
  new HubError({ code: "INVALID_STATE", message: `This server was started without ${what}.` });
