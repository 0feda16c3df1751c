import { useCallback, useEffect, useMemo, useRef, useState } from "preact/hooks";
import {
  type ActivationRecord,
  type ActiveVersion,
  type AvailableDatasets,
  HubClient,
  HubHttpError,
  type Job,
  type RetrainResult,
  type Trainers,
  type VersionSummary,
} from "../src/client/index.js";
import { ActiveCard } from "./active-card.js";
import { ComparisonTable } from "./comparison-table.js";
import { ConfirmDialog, type Question } from "./dialog.js";
import { History } from "./history.js";
import { isEnded, JobPanel, RecentJobs } from "./job-panel.js";
import { Login, Mark, messageOf } from "./login.js";
import { MAX_COMPARED, MetricChart } from "./metric-chart.js";
import { PlanCard } from "./plan-card.js";
import { RetrainForm } from "./retrain-form.js";
import { applyTheme, type Caller, forgetToken, storedTheme, storedToken, storeToken, type Theme } from "./session.js";
import { type Toast, Toasts } from "./toasts.js";
import { VersionsTable } from "./versions-table.js";

export function App() {
  const [token, setToken] = useState(storedToken);
  const [caller, setCaller] = useState<Caller | null>(null);
  const [notice, setNotice] = useState<string | null>(null);
  const signOut = useCallback((why: string | null) => {
    forgetToken();
    setToken(null);
    setCaller(null);
    setNotice(why);
  }, []);
  useEffect(() => applyTheme(storedTheme()), []);
  useEffect(() => {
    if (token === null || caller !== null) return;
    new HubClient({ token })
      .whoAmI()
      .then(setCaller)
      .catch((error: unknown) =>
        signOut(
          HubHttpError.isInstance(error) && error.status === 401 ? "Your token is no longer valid." : messageOf(error),
        ),
      );
  }, [token, caller, signOut]);
  if (token === null) {
    return (
      <Login
        notice={notice}
        onSignIn={(secret, who) => {
          storeToken(secret);
          setCaller(who);
          setToken(secret);
          setNotice(null);
        }}
      />
    );
  }
  if (caller === null) return <p class="loading">Loading…</p>;
  return <Dashboard key={token} token={token} caller={caller} onSignOut={signOut} />;
}

const PAGE = 200;

function Dashboard({
  token,
  caller,
  onSignOut,
}: {
  token: string;
  caller: Caller;
  onSignOut(why: string | null): void;
}) {
  const client = useMemo(() => new HubClient({ token }), [token]);
  const isAdmin = caller.role === "admin";
  const [models, setModels] = useState<readonly string[]>(["default"]);
  const [model, setModel] = useState("default");
  const [active, setActive] = useState<ActiveVersion | null>(null);
  const [versions, setVersions] = useState<readonly VersionSummary[]>([]);
  const [total, setTotal] = useState(0);
  const [cursor, setCursor] = useState<string | null>(null);
  const [history, setHistory] = useState<readonly ActivationRecord[]>([]);
  const [jobs, setJobs] = useState<readonly Job[]>([]);
  const [data, setData] = useState<AvailableDatasets | null>(null);
  const [trainers, setTrainers] = useState<Trainers["trainers"]>([]);
  /** Null: the active version and the newest ones. */
  const [chosen, setChosen] = useState<readonly string[] | null>(null);
  const [question, setQuestion] = useState<Question | null>(null);
  const [toasts, setToasts] = useState<readonly Toast[]>([]);
  const [isLoaded, setLoaded] = useState(false);
  const nextToast = useRef(1);

  const say = useCallback((toast: Omit<Toast, "id">) => {
    const id = nextToast.current++;
    setToasts((now) => [...now.slice(-3), { ...toast, id }]);
    return id;
  }, []);
  const closeToast = useCallback((id: number) => setToasts((now) => now.filter((toast) => toast.id !== id)), []);
  const fail = useCallback(
    (title: string, error: unknown) => {
      if (HubHttpError.isInstance(error) && error.status === 401) onSignOut("Your token is no longer valid.");
      else say({ kind: "error", title, body: messageOf(error) });
    },
    [onSignOut, say],
  );

  const loadVersions = useCallback(async () => {
    const [page, current, past] = await Promise.all([
      client.listVersions({ model, limit: PAGE }),
      client.getActive({ model }),
      client.getHistory({ model, limit: 50 }),
    ]);
    setVersions(page.versions);
    setTotal(page.total);
    setCursor(page.next_cursor);
    setActive(current);
    setHistory(past.history);
  }, [client, model]);
  const loadJobs = useCallback(
    async () => setJobs((await client.listJobs({ kind: "retrain", limit: 30 })).jobs),
    [client],
  );
  const loadData = useCallback(async () => setData(await client.listDatasets()), [client]);

  useEffect(() => {
    let isCurrent = true;
    Promise.all([
      loadVersions(),
      loadJobs(),
      loadData(),
      client.listTrainers().then((list) => setTrainers(list.trainers)),
      client.listModels().then((list) => setModels([...new Set(["default", ...list.models.map((m) => m.model)])])),
    ])
      .catch((error: unknown) => isCurrent && fail("The dashboard could not be loaded", error))
      .finally(() => isCurrent && setLoaded(true));
    return () => {
      isCurrent = false;
    };
  }, [client, loadVersions, loadJobs, loadData, fail]);

  /** Runs a change, says how it went, shows the new state. */
  const change = async (title: string, work: () => Promise<unknown>, done: string) => {
    try {
      await work();
      say({ kind: "success", title: done });
    } catch (error) {
      fail(title, error);
    }
    await loadVersions().catch((error: unknown) => fail("The versions could not be loaded", error));
  };

  const askActivate = (version: string) =>
    setQuestion({
      title: `Activate ${version}?`,
      action: "Activate",
      body: (
        <p>
          It goes into production at once
          {active === null ? "." : ` and replaces ${active.version}. Roll back returns to it.`}
        </p>
      ),
      onYes: () =>
        change("It was not activated", () => client.activate(version, { model }), `${version} is in production`),
    });
  const askDelete = ({ version }: VersionSummary) =>
    setQuestion({
      title: `Delete ${version}?`,
      action: "Delete",
      isDanger: true,
      body: <p>The version disappears from the list and cannot be activated again.</p>,
      onYes: () =>
        change("It was not deleted", () => client.deleteVersion(version, { model }), `${version} was deleted`),
    });
  const askRollback = () =>
    setQuestion({
      title: "Roll back?",
      action: "Roll back",
      body: <p>The version that was active before {active?.version} goes into production again.</p>,
      onYes: () => change("It was not rolled back", () => client.rollback({ model }), "Rolled back"),
    });
  const askDeactivate = () =>
    setQuestion({
      title: `Deactivate ${active?.version ?? ""}?`,
      action: "Deactivate",
      isDanger: true,
      body: <p>No version will be in production until one is activated.</p>,
      onYes: () => change("It was not deactivated", () => client.deactivate({ model }), "No version is in production"),
    });
  const askCancel = (job: Job) =>
    setQuestion({
      title: "Cancel this run?",
      action: "Cancel the run",
      isDanger: true,
      body: <p>The step in progress is finished and a checkpoint saved: the run can be resumed.</p>,
      async onYes() {
        try {
          await client.cancelJob(job.id);
        } catch (error) {
          fail("The run was not cancelled", error);
        }
      },
    });

  const jobEnded = async (job: Job) => {
    await Promise.all([loadVersions(), loadJobs(), loadData()]).catch((error: unknown) =>
      fail("The versions could not be loaded", error),
    );
    if (job.state !== "succeeded") {
      const title = job.state === "cancelled" ? "The run was cancelled" : "The run did not finish";
      say({
        kind: job.state === "cancelled" ? "info" : "error",
        title,
        body: job.error?.message ?? "It can be resumed.",
      });
      return;
    }
    const result = job.result as unknown as RetrainResult;
    const { comparison } = result;
    const id = say({
      kind: "success",
      title: `${result.version} is ready`,
      body: (
        <>
          {comparison === null ? (
            <p>No version was active to compare it with.</p>
          ) : (
            <ComparisonTable comparison={comparison} names={["Active", "New"]} />
          )}
          {result.suggest_activation && comparison !== null && <p>It is better than the active version.</p>}
          {!result.suggest_activation && comparison !== null && <p>It is not better than the active version.</p>}
        </>
      ),
      ...(isAdmin && result.suggest_activation
        ? {
            action: {
              label: `Activate ${result.version}`,
              run: () => {
                closeToast(id);
                askActivate(result.version);
              },
            },
          }
        : {}),
    });
  };

  const ready = versions.filter(({ state }) => state === "ready");
  const byDefault = [...ready.filter((v) => v.is_active), ...ready.filter((v) => !v.is_active)]
    .slice(0, 3)
    .map(({ version }) => version);
  const selected = chosen ?? byDefault;
  const compared = selected
    .flatMap((name) => versions.find(({ version }) => version === name) ?? [])
    .slice(0, MAX_COMPARED);
  const running = jobs.filter((job) => !isEnded(job));

  return (
    <>
      <a class="skip" href="#main">
        Skip to content
      </a>
      <header class="top">
        <div class="brand">
          <Mark />
          <span>Model hub</span>
        </div>
        <div class="top-tools">
          {models.length > 1 && (
            <label>
              <span class="visually-hidden">Model</span>
              <select
                value={model}
                onChange={(event) => {
                  setChosen(null);
                  setModel(event.currentTarget.value);
                }}
              >
                {models.map((name) => (
                  <option key={name} value={name}>
                    {name}
                  </option>
                ))}
              </select>
            </label>
          )}
          <ThemeChoice />
          <span class="who" title={`Signed in as ${caller.name}`}>
            {caller.name} <span class="badge">{caller.role}</span>
          </span>
          <button type="button" onClick={() => onSignOut(null)}>
            Sign out
          </button>
        </div>
      </header>
      <main id="main" tabIndex={-1} aria-busy={!isLoaded}>
        <h1 class="visually-hidden">Model hub dashboard</h1>
        <ActiveCard active={active} isAdmin={isAdmin} onRollback={askRollback} onDeactivate={askDeactivate} />
        {running.map((job) => (
          <JobPanel key={job.id} client={client} job={job} isAdmin={isAdmin} onEnd={jobEnded} onCancel={askCancel} />
        ))}
        <section class="card" aria-labelledby="chart-title">
          <h2 id="chart-title">Metric comparison</h2>
          <MetricChart versions={compared} />
        </section>
        <VersionsTable
          versions={versions}
          total={total}
          isAdmin={isAdmin}
          selected={selected}
          onSelect={(version, isOn) =>
            setChosen(isOn ? [...selected, version] : selected.filter((name) => name !== version))
          }
          onActivate={({ version }) => askActivate(version)}
          onDelete={askDelete}
          onMore={
            cursor === null
              ? null
              : () => {
                  client
                    .listVersions({ model, limit: PAGE, cursor })
                    .then((page) => {
                      setVersions((now) => [...now, ...page.versions]);
                      setCursor(page.next_cursor);
                    })
                    .catch((error: unknown) => fail("More versions could not be loaded", error));
                }
          }
        />
        {data !== null && <PlanCard client={client} data={data} onError={fail} />}
        {isAdmin && data !== null && (
          <RetrainForm
            client={client}
            model={model}
            data={data}
            trainers={trainers}
            onAsk={setQuestion}
            onStarted={() => {
              loadJobs()
                .then(() => window.scrollTo({ top: 0 }))
                .catch((error: unknown) => fail("The run could not be shown", error));
            }}
            onDataChange={loadData}
            onError={fail}
          />
        )}
        <RecentJobs
          jobs={jobs.filter(isEnded)}
          isAdmin={isAdmin}
          onResume={(job) => {
            client
              .resumeJob(job.id)
              .then(loadJobs)
              .catch((error: unknown) => fail("The run was not resumed", error));
          }}
        />
        <History records={history} />
      </main>
      <footer class="foot">
        <a href="/docs">API documentation</a>
      </footer>
      <Toasts toasts={toasts} onClose={closeToast} />
      {question !== null && <ConfirmDialog question={question} onClose={() => setQuestion(null)} />}
    </>
  );
}

function ThemeChoice() {
  const [theme, setTheme] = useState<Theme>(storedTheme);
  return (
    <label>
      <span class="visually-hidden">Colours</span>
      <select
        value={theme}
        onChange={(event) => {
          const next = event.currentTarget.value as Theme;
          applyTheme(next);
          setTheme(next);
        }}
      >
        <option value="system">System colours</option>
        <option value="light">Light</option>
        <option value="dark">Dark</option>
      </select>
    </label>
  );
}
