import {
  Dialect,
  type Policy,
  type Prices,
  type Provider,
  Server,
  type Timeouts,
} from "../../../gen/weir/policy/v1/policy_pb.ts";
import { parseDollars } from "../../shared/money/money.ts";
import { readBaseUrl } from "./base-url.ts";
import type { Findings, Report } from "./finding.ts";
import { toMs } from "./timeouts.ts";

/**
 * Reports values that fit their field's form and still cannot be: addresses, prices, timeouts that never run out,
 * settings that the dialect does not know.
 */
export function checkValues(policy: Policy, findings: Findings): void {
  const hosts = new Map<string, string>();
  policy.providers.forEach((provider, p) => {
    const reading = readBaseUrl(provider.baseUrl);
    // An empty one is reported as such already.
    if ("problems" in reading && provider.baseUrl !== "") {
      for (const { rule, message } of reading.problems) findings.error(`providers[${p}].base_url`, rule, message);
    }
    if ("url" in reading && provider.credential !== "") {
      const { origin } = new URL(reading.url);
      const other = hosts.get(provider.credential) ?? origin;
      hosts.set(provider.credential, other);
      // A secret that one host may see is shown to another: seldom meant, and how a stolen pen gets at a secret.
      const message = `Credential "${provider.credential}" also goes to ${other}; give each host a credential of its own`;
      if (other !== origin) findings.warn(`providers[${p}].credential`, "CREDENTIAL_SHARED", message);
    }
    checkTimeouts(provider.timeouts, `providers[${p}].timeouts`, findings.warn);
    checkDialect(provider, `providers[${p}]`, findings.error);
  });
  checkTimeouts(policy.timeouts, "timeouts", findings.warn);
  const elsewhere = new Set(policy.providers.filter(({ baseUrl }) => /^https:/i.test(baseUrl)).map(({ id }) => id));
  policy.targets.forEach(({ provider, prices, timeouts }, t) => {
    checkTimeouts(timeouts, `targets[${t}].timeouts`, findings.warn);
    if (prices === undefined) return;
    checkPrices(prices, `targets[${t}].prices`, findings.error);
    if (elsewhere.has(provider) && isFree(prices)) {
      // A model on this machine may well be free. One elsewhere seldom is, and what costs nothing is never held back by its cost.
      const message = "Its calls cost nothing: no spend will show them, no budget hold them back; give it its price";
      findings.warn(`targets[${t}].prices`, "PRICE_ZERO", message);
    }
  });
}

/** Settings that only some dialects know: one that is set for nothing was meant for something. */
function checkDialect({ dialect, apiVersion, cloudRegion, server }: Provider, path: string, error: Report): void {
  if (apiVersion !== "" && dialect !== Dialect.AZURE_OPENAI) {
    error(`${path}.api_version`, "SETTING_UNUSED", "Is for the dialect AZURE_OPENAI only");
  }
  if (dialect === Dialect.BEDROCK) {
    if (cloudRegion === "")
      error(`${path}.cloud_region`, "CLOUD_REGION_MISSING", 'Must be set, such as "eu-central-1"');
  } else if (cloudRegion !== "") {
    error(`${path}.cloud_region`, "SETTING_UNUSED", "Is for the dialect BEDROCK only");
  }
  if (server !== Server.UNSPECIFIED && dialect !== Dialect.OPENAI) {
    error(`${path}.server`, "SETTING_UNUSED", "Is for the dialect OPENAI only");
  }
}

const PRICE_FIELDS = [
  ["input", "input"],
  ["output", "output"],
  ["cachedInput", "cached_input"],
  ["cacheWrite", "cache_write"],
  ["reasoning", "reasoning"],
] as const;

function checkPrices(prices: Prices, path: string, error: Report): void {
  for (const [property, field] of PRICE_FIELDS) {
    const text = prices[property];
    // What does not fit the pattern in the proto is reported as that.
    if (!/^[0-9]{1,7}(\.[0-9]{1,9})?$/.test(text)) continue;
    try {
      parseDollars(text);
    } catch {
      error(
        `${path}.${field}`,
        "PRICE_MALFORMED",
        'Must be dollars for a million tokens without leading zeros, such as "2.50"',
      );
    }
  }
}

/** Whether every price that is set is zero. */
function isFree(prices: Prices): boolean {
  return prices.input !== "" && PRICE_FIELDS.every(([property]) => /^[0.]*$/.test(prices[property]));
}

function checkTimeouts(timeouts: Timeouts | undefined, path: string, warn: Report): void {
  const total = timeouts?.total;
  if (timeouts === undefined || total === undefined) return;
  for (const [property, field] of [
    ["connect", "connect"],
    ["firstToken", "first_token"],
    ["idle", "idle"],
  ] as const) {
    const timeout = timeouts[property];
    if (timeout !== undefined && toMs(timeout) > toMs(total)) {
      warn(`${path}.${field}`, "TIMEOUT_UNREACHABLE", "Is longer than total, which always runs out first");
    }
  }
}
