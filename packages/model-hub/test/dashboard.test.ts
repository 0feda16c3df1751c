import { mkdirSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import {
  accessibilityViolations,
  type Browser,
  complaintsOf,
  findChromium,
  launchChromium,
  type Page,
} from "../../../scripts/browser/chromium.js";
import { Advisor } from "../src/advisor/advisor.js";
import { dashboardPage } from "../src/dashboard/dashboard-page.js";
import { type RunningServer, serve } from "../src/server/serve.js";
import { temporaryDirectory } from "./databases.js";
import { cocoDocument } from "./datasets.js";
import { openApp, type TestHub } from "./open-app.js";

const browserPath = findChromium();
// A browser, a server and a training process on a busy machine of two cores; nothing here waits for time to pass.
vi.setConfig({ testTimeout: 300_000 });
/** Set to a folder to keep pictures of what the tests see (docs/screenshots). */
const pictures = process.env["SEG_SCREENSHOTS"] ?? null;

test("the page is one file that loads nothing from elsewhere", () => {
  const { html } = dashboardPage();
  expect(html).not.toMatch(/(?:src|href)="(?:https?:)?\/\//);
  expect(html).not.toMatch(/@import|url\(/);
});

test("the committed bundle is what its sources make", async () => {
  const { committedModule, dashboardModule } = await import("../dashboard/build.mjs");
  expect(await dashboardModule()).toBe(committedModule());
});

describe.skipIf(browserPath === null)("dashboard in Chromium", () => {
  const directory = temporaryDirectory();
  let browser: Browser;
  let hub: TestHub;
  let server: RunningServer;
  let page: Page;
  let complaints: string[];

  /** Four versions; the last but one and the last were activated in turn. */
  async function fill() {
    const runs = [
      { rates: [0.861, 0.88, 0.85, 0.8648, 0.902, 0.655, 0.752], loss: 0.131, note: "first run on the line" },
      { rates: [0.884, 0.9, 0.871, 0.8853, 0.915, 0.688, 0.771], loss: 0.102, note: "" },
      { rates: [0.872, 0.881, 0.869, 0.875, 0.909, 0.671, 0.764], loss: 0.118, note: "higher learning rate, unstable" },
      { rates: [0.913, 0.927, 0.905, 0.9159, 0.938, 0.719, 0.795], loss: 0.071, note: "night shift images added" },
    ];
    const names: string[] = [];
    for (const [i, { rates, loss, note }] of runs.entries()) {
      const [accuracy, precision, recall, f1_score, map50, map50_95, mask_iou] = rates as [
        number,
        number,
        number,
        number,
        number,
        number,
        number,
      ];
      const { version } = await hub.registry.register({
        files: [{ path: "model.onnx", content: Buffer.alloc(65_000 + i * 1000, i) }],
        metrics: {
          accuracy,
          precision,
          recall,
          f1_score,
          map50,
          map50_95,
          mask_iou,
          loss,
          training_samples: 210 + i * 60,
          training_time: 61 + i * 13.2,
        },
        metric_definition_id: "coco-1",
        dataset: { id: i < 2 ? "bags-2025" : "bags-2026", split_hash: "split-1" },
        description: note,
        tags: i === 3 ? ["night"] : [],
        aliases: i === 1 ? ["golden"] : [],
      });
      names.push(version);
    }
    await hub.registry.activate(names[1]!, { actor: "ana", reason: "first release" });
    await hub.registry.activate(names[3]!, { actor: "ana", reason: "night shift works" });
    await upload(60);
    return names as [string, string, string, string];
  }
  const csv = (images: number) =>
    [
      "file_name,class,x,y,width,height",
      ...Array.from({ length: images }, (_, i) => `img_${i}.jpg,bag,${i},2,30,40`),
    ].join("\n");
  async function upload(images: number) {
    const form = new FormData();
    form.append("file", new Blob([cocoDocument(images)]), "bags-2026.json");
    expect((await hub.call("POST", "/model/upload-dataset", { body: form })).status).toBe(201);
  }

  async function open(options: Parameters<Browser["newPage"]>[0] = {}) {
    page = await browser.newPage({ viewport: { width: 1280, height: 860 }, locale: "en-GB", ...options });
    page.setDefaultTimeout(60_000);
    complaints = complaintsOf(page);
    await page.goto(`${server.url}/dashboard`);
  }
  async function signIn(token: string) {
    await page.getByLabel("Access token").fill(token);
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByRole("heading", { name: "Versions" }).waitFor();
    await page.locator("main[aria-busy=false]").waitFor();
  }
  async function picture(name: string, { fullPage = false }: { fullPage?: boolean } = {}) {
    if (pictures === null) return;
    mkdirSync(pictures, { recursive: true });
    // The header stays at the top of the window: of a whole page it belongs at the page's top.
    if (fullPage) await page.evaluate("window.scrollTo({ top: 0, behavior: 'instant' })");
    await page.screenshot({ path: join(pictures, `${name}.png`), fullPage, animations: "disabled" });
  }
  /** No violation of WCAG 2.2 A and AA, contrast included. */
  async function checkAccessibility() {
    expect(await accessibilityViolations(page)).toEqual([]);
  }
  const row = (version: string) =>
    page
      .locator(".versions")
      .getByRole("row")
      .filter({ has: page.getByText(version, { exact: true }) });
  const rowNames = () => page.locator(".versions tbody th .mono").allTextContents();
  const dialog = () => page.getByRole("dialog");

  beforeAll(async () => {
    browser = await launchChromium(browserPath!);
  });
  afterAll(() => browser?.close());
  afterEach(async () => {
    await page?.close();
    await server?.close({ graceMs: 0 });
    await hub?.close();
    expect(complaints).toEqual([]);
    expect(hub.faults).toEqual([]);
  });
  const module = new URL("./steady-trainer.ts", import.meta.url).href;
  async function start(
    options: Parameters<Browser["newPage"]>[0] = {},
    trainers: Parameters<typeof openApp>[0]["trainers"] = [{ module }, { module, export: "adapter" }],
  ) {
    hub = await openApp({
      root: directory.path,
      trainers,
      deps: { advisor: new Advisor() },
    });
    const names = await fill();
    server = await serve(hub.app, { port: 0 });
    await open(options);
    return names;
  }

  test("asks for a token, says when it is wrong, keeps it for the tab, signs out", async () => {
    await start();
    await checkAccessibility();
    await page.getByLabel("Access token").fill("segh_wrong");
    await page.keyboard.press("Enter");
    await page.getByText("This token is not valid.").waitFor();
    await picture("dashboard-sign-in");
    await signIn(hub.admin);
    await page.reload();
    await page.getByRole("heading", { name: "Versions" }).waitFor();
    expect(await page.evaluate("Object.keys(localStorage).length")).toBe(0);
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByLabel("Access token").waitFor();
    expect(await page.evaluate("sessionStorage.length")).toBe(0);
  });

  test("shows the active version, the table, sorts and filters it", async () => {
    const [first, second, third, fourth] = await start();
    await signIn(hub.admin);
    const card = page.locator(".active-card");
    expect(await card.getByRole("heading").textContent()).toBe(fourth);
    expect(await card.textContent()).toContain("91.3 %");
    expect(await card.textContent()).toContain("0.9159");
    expect(await rowNames()).toEqual([fourth, third, second, first]);
    expect(await row(second).textContent()).toContain("0.8853");
    expect(await row(second).textContent()).toContain("88.4 %");

    await page.getByRole("button", { name: "Accuracy", exact: false }).first().click();
    expect(await rowNames()).toEqual([fourth, second, third, first]);
    await expect
      .poll(() => page.getByRole("columnheader", { name: "Accuracy" }).getAttribute("aria-sort"))
      .toBe("descending");
    await page.getByRole("button", { name: "Accuracy", exact: false }).first().click();
    expect(await rowNames()).toEqual([first, third, second, fourth]);

    await page.getByLabel("Filter versions").fill("bags-2025 golden");
    expect(await rowNames()).toEqual([second]);
    await page.getByLabel("Filter versions").fill("nothing like it");
    await page.getByText("No version matches.").waitFor();
    await page.getByLabel("Filter versions").fill("");

    // The page itself never scrolls sideways.
    expect(await page.evaluate("document.documentElement.scrollWidth <= innerWidth")).toBe(true);
    await checkAccessibility();
    await picture("dashboard-light", { fullPage: true });
  });

  test("compares up to four versions in the chart, with the numbers as a table", async () => {
    const [first, second, third] = await start();
    await signIn(hub.admin);
    const names = () => page.locator(".legend li").allTextContents();
    expect(await names()).toHaveLength(3);
    await page.getByLabel(`Show ${first} in the chart`).check();
    expect(await names()).toHaveLength(4);
    await expect.poll(() => page.locator("rect.bar").count()).toBe(4 * 7);
    const cells = await page.locator(".chart table tbody tr").first().locator("td").allTextContents();
    expect(cells).toContain("86.1 %");
    for (const name of [first, second, third]) await page.getByLabel(`Show ${name} in the chart`).uncheck();
    expect(await names()).toHaveLength(1);
  });

  test("activates, rolls back and deletes only after a confirmation", async () => {
    const [first, second, third, fourth] = await start();
    await signIn(hub.admin);
    // The active one: neither Activate nor Delete.
    await expect.poll(() => page.getByRole("button", { name: `Activate ${fourth}` }).isDisabled()).toBe(true);
    await expect.poll(() => page.getByRole("button", { name: `Delete ${fourth}` }).isDisabled()).toBe(true);

    await page.getByRole("button", { name: `Activate ${third}` }).click();
    await picture("dashboard-confirm");
    await checkAccessibility();
    await dialog().getByRole("button", { name: "Keep as it is" }).click();
    expect((await hub.registry.active())?.version).toBe(fourth);
    await page.getByRole("button", { name: `Activate ${third}` }).click();
    await dialog().getByRole("button", { name: "Activate" }).click();
    await page.getByText(`${third} is in production`).waitFor();
    expect((await hub.registry.active())?.version).toBe(third);
    // The card is drawn again with the next answer.
    await page.locator(".active-card").getByRole("heading", { name: third }).waitFor();

    await page.getByRole("button", { name: "Roll back" }).click();
    await dialog().getByRole("button", { name: "Roll back" }).click();
    await page.getByText("Rolled back", { exact: true }).waitFor();
    expect((await hub.registry.active())?.version).toBe(fourth);

    await page.getByRole("button", { name: `Delete ${first}` }).click();
    await page.keyboard.press("Escape");
    expect((await hub.registry.list()).total).toBe(4);
    await page.getByRole("button", { name: `Delete ${first}` }).click();
    await dialog().getByRole("button", { name: "Delete" }).click();
    await page.getByText(`${first} was deleted`).waitFor();
    expect((await hub.registry.list()).total).toBe(3);

    // An alias protects: the refusal is shown and nothing changes.
    await page.getByRole("button", { name: `Delete ${second}` }).click();
    await dialog().getByRole("button", { name: "Delete" }).click();
    await page.getByText("It was not deleted").waitFor();
    expect((await hub.registry.list()).total).toBe(3);
    await page.getByText("History of activations").click();
    await page.getByText("rolled back to", { exact: false }).waitFor();
    expect(hub.audit.map(({ action }) => action)).toContain("rollback");
  });

  test("checks a CSV before it is sent, uploads a good one", async () => {
    await start();
    await signIn(hub.admin);
    await page.getByLabel("One data set", { exact: false }).check();
    const choose = (name: string, text: string) =>
      page.getByLabel("Upload a data set").setInputFiles({ name, mimeType: "text/csv", buffer: Buffer.from(text) });
    await choose("bad.csv", "file_name,class,x,y\na.jpg,bag,1,2\n");
    await page.getByText("Missing columns: width, height.").waitFor();
    await expect.poll(() => page.getByRole("button", { name: "Upload", exact: true }).isDisabled()).toBe(true);
    await choose("worse.csv", "file_name,class,x,y,width,height\na.jpg,bag,one,2,3,4\n");
    await page.getByText('Line 2: x is "one", not a number').waitFor();
    await choose("few.csv", csv(4));
    await page.getByText("Fewer than 10 records", { exact: false }).waitFor();
    await checkAccessibility();
    await choose("zero.csv", "file_name,class,x,y,width,height\na.jpg,bag,1,2,0,4\n");
    await page.getByText("Line 2: width is 0, not above 0").waitFor();
    await choose("table.csv", csv(30));
    await page.getByText("Looks right: 30 records.").waitFor();
    await page.getByRole("button", { name: "Upload", exact: true }).click();
    await page.getByText("table: 30 records stored.").waitFor();
    await page.getByText("it cannot train on this one", { exact: false }).waitFor();
    await choose("line3.json", '{"images":[]}');
    await page.getByText("A COCO file needs lists called annotations, categories.").waitFor();
    await choose("line3.json", cocoDocument(30));
    await page.getByText("Looks right: 30 records.").waitFor();
    await page.getByRole("button", { name: "Upload", exact: true }).click();
    await page.getByText("line3: 30 records stored.").waitFor();
    await expect.poll(() => page.getByLabel("Data set", { exact: true }).inputValue()).toBe("line3");
    expect((await hub.datasets.list()).datasets.map(({ name }) => name).sort()).toEqual([
      "bags-2026",
      "line3",
      "table",
    ]);
  });

  test("previews, trains with live progress, suggests the better version", async () => {
    const [, , , fourth] = await start();
    await signIn(hub.admin);
    const epochs = page.getByRole("slider", { name: "Epochs" });
    expect(await epochs.getAttribute("aria-valuetext")).toContain("automatic");
    await page.getByLabel("Epochs, exact value").fill("30");
    await page.getByLabel("Learning rate, exact value").fill("7");
    await page.getByText("Give a number from", { exact: false }).waitFor();
    await page.getByLabel("Learning rate, exact value").fill("");
    await page.getByRole("button", { name: "Preview" }).click();
    const preview = page.getByRole("region", { name: "Preview of the configuration" });
    await preview.waitFor();
    expect(await preview.textContent()).toContain("30 chosen here");
    await checkAccessibility();
    await picture("dashboard-preview");
    await page.getByRole("button", { name: "Start…" }).click();
    await dialog().getByRole("button", { name: "Start retraining" }).click();
    const bar = page.getByRole("progressbar");
    await bar.waitFor();
    await page.getByText(/epoch \d+ of 30/).waitFor();
    await page.getByText(/ left$/).waitFor();
    await picture("dashboard-progress");
    const toast = page.getByRole("status").filter({ hasText: "is ready" });
    await toast.waitFor();
    expect(await toast.textContent()).toContain("better than the active version");
    expect(await toast.getByRole("row").filter({ hasText: "Accuracy" }).textContent()).toContain("better");
    await checkAccessibility();
    await picture("dashboard-suggestion");
    await toast.getByRole("button", { name: /^Activate v/ }).click();
    await dialog().getByRole("button", { name: "Activate" }).click();
    await page.getByText("is in production", { exact: false }).waitFor();
    expect((await hub.registry.active())?.version).not.toBe(fourth);
  });

  test("offers every trainer, each with its own bounds and defaults", async () => {
    await start();
    await signIn(hub.admin);
    await expect.poll(() => page.getByRole("combobox", { name: "Trainer" }).inputValue()).toBe("yolov8n-seg");
    await page.getByLabel("Hidden size, exact value").fill("300");
    const preview = page.getByRole("region", { name: "Preview of the configuration" });
    await page.getByRole("button", { name: "Preview" }).click();
    await preview.getByText("300 chosen here").waitFor();
    await page.getByRole("combobox", { name: "Trainer" }).selectOption("sam-lora");
    // What was typed for the other trainer is no rank of this one.
    await page.getByText("Give a whole number from 1 to 256", { exact: false }).waitFor();
    await page.getByLabel("Hidden size, exact value").fill("");
    await page.getByText("Trainable capacity, 1 to 256").waitFor();
    await page.getByRole("button", { name: "Preview" }).click();
    await preview.getByText("sam-lora").waitFor();
    expect(await preview.textContent()).toContain("8 default of the trainer");
    await page.getByRole("button", { name: "Start…" }).click();
    await dialog().getByRole("button", { name: "Start retraining" }).click();
    await page.getByText(/epoch \d+ of 40/).waitFor();
    expect((await hub.jobs.list()).jobs[0]?.payload).toMatchObject({ config: { trainer: "sam-lora", hidden_size: 8 } });
    await page.getByRole("button", { name: "Cancel", exact: true }).click();
    await dialog().getByRole("button", { name: "Cancel the run" }).click();
    await page.getByText("The run was cancelled").waitFor();
  });

  test("proposes a plan in words, explains it, takes the answer", async () => {
    await start();
    await signIn(hub.user);
    const card = page.getByRole("region", { name: "Plan a training" });
    await card.getByRole("button", { name: "Propose a plan" }).click();
    await card.getByText("Choose a data set first.").waitFor();
    await card.getByLabel("Data set to plan for").selectOption("bags-2026");
    await card.getByLabel("What shall be found?").fill("torn straps on bags on a conveyor");
    await card.getByLabel("What matters most?").selectOption("quality");
    await card.getByRole("button", { name: "Propose a plan" }).click();
    await card.getByRole("row", { name: /Model for the device yolov8s-seg .*one size down/ }).waitFor();
    await card.getByRole("button", { name: "Explain in detail" }).click();
    await card.getByText("What would change a choice").waitFor();
    await checkAccessibility();
    await card.scrollIntoViewIfNeeded();
    await picture("dashboard-plan", { fullPage: true });
    await card.getByRole("button", { name: "Accept the plan" }).click();
    await card.getByText(/Accepted\. Its number is [0-9a-f]{16}\./).waitFor();
  });

  test("cancels a run and resumes it", async () => {
    await start({}, [{ module, export: "patient" }]);
    await signIn(hub.admin);
    await page.getByRole("button", { name: "Start…" }).click();
    await dialog().getByRole("button", { name: "Start retraining" }).click();
    await page.getByText(/epoch \d+ of/).waitFor();
    await page.getByRole("button", { name: "Cancel", exact: true }).click();
    await dialog().getByRole("button", { name: "Cancel the run" }).click();
    await page.getByText("The run was cancelled").waitFor();
    expect((await hub.jobs.list()).jobs[0]?.state).toBe("cancelled");
    await page.getByText("Earlier runs").click();
    await page.getByRole("button", { name: /^Resume/ }).click();
    await page.getByRole("status").filter({ hasText: "is ready" }).waitFor();
  });

  test("shows a user everything and changes nothing", async () => {
    const [first] = await start({ colorScheme: "dark" });
    await signIn(hub.user);
    await row(first).waitFor();
    expect(await page.getByRole("button", { name: /Activate|Delete|Roll back|Deactivate|Start/ }).count()).toBe(0);
    await checkAccessibility();
  });

  test("works with the keyboard alone", async () => {
    const [, , third] = await start({ colorScheme: "dark" });
    await page.locator("#token").focus();
    await page.keyboard.type(hub.admin);
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "Versions" }).waitFor();
    await page.locator("main[aria-busy=false]").waitFor();
    const focused = () =>
      page.evaluate(
        "(document.activeElement?.getAttribute('aria-label') ?? document.activeElement?.textContent ?? '').trim()",
      ) as Promise<string>;
    const tabTo = async (name: string) => {
      for (let i = 0; i < 80; i++) {
        await page.keyboard.press("Tab");
        if ((await focused()).startsWith(name)) return;
      }
      throw new Error(`${name} was not reached`);
    };
    await tabTo("Skip to content");
    await tabTo(`Activate ${third}`);
    await page.keyboard.press("Enter");
    await dialog().waitFor();
    // Focus is inside the dialog, on the answer that changes nothing, and comes back when it closes.
    expect(await focused()).toBe("Keep as it is");
    await page.keyboard.press("Escape");
    expect(await focused()).toBe(`Activate ${third}`);
    await page.keyboard.press("Enter");
    await dialog().waitFor();
    await page.keyboard.press("Tab");
    expect(await focused()).toBe("Activate");
    await page.keyboard.press("Enter");
    await page.getByText(`${third} is in production`).waitFor();
    await page.getByRole("slider", { name: "Batch size" }).focus();
    const before = await page.getByRole("slider", { name: "Batch size" }).getAttribute("aria-valuetext");
    await page.keyboard.press("ArrowRight");
    await expect
      .poll(() => page.getByRole("slider", { name: "Batch size" }).getAttribute("aria-valuetext"))
      .not.toBe(before);
    await picture("dashboard-dark", { fullPage: true });
    await checkAccessibility();
  });

  test("fits a phone", async () => {
    const [first] = await start({
      viewport: { width: 390, height: 844 },
      deviceScaleFactor: 1,
      isMobile: true,
      hasTouch: true,
    });
    await signIn(hub.admin);
    expect(await page.evaluate("document.documentElement.scrollWidth <= innerWidth")).toBe(true);
    await page.getByRole("button", { name: `Activate ${first}` }).tap();
    await dialog().getByRole("button", { name: "Keep as it is" }).tap();
    await checkAccessibility();
    await picture("dashboard-phone");
  });

  test("says so when the token is revoked meanwhile", async () => {
    const [, , third] = await start();
    await signIn(hub.admin);
    const { id } = (await hub.tokens.list()).find(({ name }) => name === "ana")!;
    expect((await hub.call("DELETE", `/tokens/${id}`)).status).toBe(200);
    await page.getByRole("button", { name: `Activate ${third}` }).click();
    await dialog().getByRole("button", { name: "Activate" }).click();
    await page.getByText("Your token is no longer valid.").waitFor();
  });
});
