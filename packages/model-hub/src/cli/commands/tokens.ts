import { type CliCommand, CliUsageError } from "../command.js";
import { STATE_OPTIONS, withState } from "../open-state.js";
import { table } from "../table.js";

/** `seg-hub tokens ...`: bearer tokens of the HTTP API. */
export const tokenCommands: readonly CliCommand[] = [
  {
    name: "tokens create",
    help: "make a token; its secret is shown this once",
    options: {
      ...STATE_OPTIONS,
      role: { type: "string", help: "user or admin [user]" },
      name: { type: "string", help: "what it is for [the user's name]" },
      expires: { type: "string", help: "ISO-8601 time, or days as 30d [never]" },
    },
    run: (call) =>
      withState(call, async ({ tokens }) => {
        const role = call.text("role") ?? "user";
        if (role !== "user" && role !== "admin")
          throw new CliUsageError(`--role must be user or admin; got "${role}".`);
        const name = call.text("name") ?? call.io.env["USER"] ?? "token";
        const created = await tokens.create({
          name,
          role,
          expires_at: expiry(call.text("expires")),
          created_by: "seg-hub",
        });
        call.result(created, [created.token]);
        if (!call.json)
          call.io.err(
            `${role} token ${created.id}${created.expires_at === null ? "" : `, until ${created.expires_at}`}. Keep it: it is not shown again.\n`,
          );
        return 0;
      }),
  },
  {
    name: "tokens list",
    help: "tokens without their secrets",
    options: STATE_OPTIONS,
    run: (call) =>
      withState(call, async ({ tokens }) => {
        const all = await tokens.list();
        call.result(
          { tokens: all },
          table(
            ["id", "name", "role", "created", "expires", "revoked", "last used"],
            all.map((token) => [
              token.id,
              token.name,
              token.role,
              token.created_at,
              token.expires_at,
              token.revoked_at,
              token.last_used_at,
            ]),
          ),
        );
        return 0;
      }),
  },
  {
    name: "tokens revoke",
    operands: "<id>",
    help: "end a token at once",
    options: STATE_OPTIONS,
    run: (call) =>
      withState(call, async ({ tokens }) => {
        if (call.positional.length !== 1) throw new CliUsageError("Expected one token id; see seg-hub tokens list.");
        const revoked = await tokens.revoke(call.positional[0]!);
        call.result(revoked, [`${revoked.name} (${revoked.id}) is revoked`]);
        return 0;
      }),
  },
];

function expiry(given: string | undefined): string | null {
  const days = given === undefined ? null : /^(\d{1,4})d$/.exec(given);
  if (days != null) return new Date(Date.now() + Number(days[1]) * 24 * 3600_000).toISOString();
  return given ?? null;
}
