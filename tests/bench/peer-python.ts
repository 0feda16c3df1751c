import process from "node:process";

/** Python interpreter for `--peer` runs: `SEG_PEER_PYTHON` (a scratch virtual environment), else `python3` of the PATH. */
export const peerPython = (): string => process.env["SEG_PEER_PYTHON"] ?? "python3";
