import { useState } from "preact/hooks";
import { HubClient, HubHttpError } from "../src/client/index.js";
import type { Caller } from "./session.js";

export function Login({ notice, onSignIn }: { notice: string | null; onSignIn(token: string, caller: Caller): void }) {
  const [token, setToken] = useState("");
  const [error, setError] = useState<string | null>(null);
  const [isBusy, setBusy] = useState(false);
  const submit = async (event: Event) => {
    event.preventDefault();
    const secret = token.trim();
    if (secret === "") return setError("Paste a token.");
    setBusy(true);
    setError(null);
    try {
      onSignIn(secret, await new HubClient({ token: secret }).whoAmI());
    } catch (cause) {
      setError(HubHttpError.isInstance(cause) && cause.status === 401 ? "This token is not valid." : messageOf(cause));
      setBusy(false);
    }
  };
  return (
    <main class="login">
      <form class="card" onSubmit={submit} aria-labelledby="login-title">
        <div class="mark" aria-hidden="true">
          <Mark />
        </div>
        <h1 id="login-title">Model hub</h1>
        <p class="muted">Versions, retraining and rollback of your models.</p>
        {notice !== null && <p class="note warn">{notice}</p>}
        <label for="token">Access token</label>
        <input
          id="token"
          type="password"
          autocomplete="off"
          spellcheck={false}
          value={token}
          placeholder="segh_…"
          aria-invalid={error !== null}
          aria-describedby={error === null ? "token-hint" : "token-hint token-error"}
          onInput={(event) => setToken(event.currentTarget.value)}
        />
        <p id="token-hint" class="hint">
          It stays in this tab. The first start of the server prints one; <code>seg-hub tokens create</code> makes more.
        </p>
        {error !== null && (
          <p id="token-error" class="field-error" role="alert">
            {error}
          </p>
        )}
        <button class="primary wide" type="submit" disabled={isBusy}>
          {isBusy ? "Signing in…" : "Sign in"}
        </button>
      </form>
    </main>
  );
}

export function Mark() {
  return (
    <svg viewBox="0 0 32 32" width="32" height="32" aria-hidden="true">
      <title>Model hub</title>
      <rect class="mark-back" width="32" height="32" rx="8" />
      <path class="mark-front" d="M7 22l6.5-10 5 6.5L21 15l4 7z" />
    </svg>
  );
}

/** What to tell a person of any failure of a call. */
export function messageOf(error: unknown): string {
  if (HubHttpError.isInstance(error)) {
    const more = error.errors.length > 1 ? ` ${error.errors.map((e) => e.message).join("; ")}` : "";
    return error.message + more;
  }
  return "The server does not answer. Check that it runs and try again.";
}
