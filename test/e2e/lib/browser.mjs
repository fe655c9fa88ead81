// A real Chromium with a profile of its own, which is removed with it.

import assert from "node:assert/strict";
import { accessSync, constants, mkdirSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { chromium } from "playwright-core";
import { DEADLINE } from "./wait.mjs";

const NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

export function findChromium() {
  if (process.env.TIDINGS_CHROMIUM) return process.env.TIDINGS_CHROMIUM;
  for (const dir of (process.env.PATH ?? "").split(":")) {
    for (const name of NAMES) {
      try {
        const file = path.join(dir, name);
        accessSync(file, constants.X_OK);
        return file;
      } catch {
        // not in this directory
      }
    }
  }
  throw new Error(`no ${NAMES.join(", ")} on PATH; TIDINGS_E2E_SKIP_BROWSER=1 leaves the browser out`);
}

/** One browser; every page of it is watched. */
export class Browser {
  static async launch(options = {}) {
    const browser = new Browser();
    browser.home = await mkdtemp(path.join(tmpdir(), "tidings-e2e-browser-"));
    try {
      browser.context = await chromium.launchPersistentContext(path.join(browser.home, "profile"), {
        executablePath: findChromium(),
        headless: true,
        chromiumSandbox: false,
        args: FLAGS,
        env: { ...process.env, HOME: browser.home, XDG_CONFIG_HOME: browser.home, XDG_CACHE_HOME: browser.home },
        artifactsDir: browser.home,
        viewport: { width: 1280, height: 900 },
        ...options,
      });
    } catch (error) {
      await rm(browser.home, { recursive: true, force: true });
      throw error;
    }
    browser.context.setDefaultTimeout(DEADLINE);
    return browser;
  }

  async close() {
    await this.context?.close();
    await rm(this.home, { recursive: true, force: true, maxRetries: 5 });
  }

  /** A tab that must keep to the hub, break no policy and throw nothing; check() says whether it did. */
  async page(t, hub, address = "/") {
    const page = await this.context.newPage();
    const wrong = [];
    page.on("request", (request) => {
      const url = request.url();
      if (!url.startsWith(`${hub.url}/`) && !/^(data|blob):/.test(url)) wrong.push(`external request: ${url}`);
    });
    page.on("pageerror", (error) => wrong.push(`error: ${error.message}`));
    page.on("console", (message) => {
      if (/Content Security Policy|Refused to/.test(message.text())) wrong.push(`policy: ${message.text()}`);
    });
    await page.addInitScript(() => {
      globalThis.policyViolations = [];
      addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI }) => {
        globalThis.policyViolations.push(`${violatedDirective} ${blockedURI}`);
      });
    });
    t.after(() => page.close());
    page.check = async () => {
      assert.deepEqual(await page.evaluate(() => globalThis.policyViolations), []);
      assert.deepEqual(wrong, []);
    };
    await page.goto(hub.url + address);
    return page;
  }
}

/** A picture for people, if they asked for pictures. */
export async function picture(page, name) {
  const dir = process.env.TIDINGS_E2E_SCREENSHOTS;
  if (!dir) return;
  mkdirSync(dir, { recursive: true });
  await page.screenshot({ path: path.join(dir, `${name}.png`), fullPage: true });
}
