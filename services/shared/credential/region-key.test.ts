import { describe, expect, it } from "vitest";
import { scrub } from "../telemetry/scrub.ts";
import { generateRegionKey, parseRecipients, parseRegionKeys, toRecipients } from "./region-key.ts";

describe("parseRegionKeys()", () => {
  it("reads several keys, of which each opens, and passes over comments", () => {
    const [first, second] = [generateRegionKey("eu"), generateRegionKey("eu")];

    const keys = parseRegionKeys(`# keys of eu\n\n${first.privateKey}\n  ${second.privateKey}  \n`, "eu");

    expect(keys).toHaveLength(2);
    expect(keys[0]?.keyId).not.toBe(keys[1]?.keyId);
  });

  it.each([
    ["nothing", "\n# nothing\n", "it holds no key"],
    ["a public key", generateRegionKey("eu").recipient, "line 1: it is not of the form"],
    ["a key of another region", generateRegionKey("us").privateKey, 'it is a key of region "us"'],
    ["a key that was cut", generateRegionKey("eu").privateKey.slice(0, -3), "line 1: it is not of the form"],
    ["a key under another id", withOtherId(generateRegionKey("eu").privateKey), "its key id does not match"],
    ["too many keys", Array.from({ length: 9 }, () => generateRegionKey("eu").privateKey).join("\n"), "more than 8"],
  ])("refuses %s, and repeats nothing of it", (_, text, state) => {
    let message = "";
    try {
      parseRegionKeys(text, "eu");
    } catch (error) {
      message = (error as Error).message;
    }

    expect(message).toContain(state);
    const secrets = text.split("\n").map((line) => line.split("+").at(-1) as string);
    expect(secrets.filter((secret) => secret.length > 20 && message.includes(secret))).toEqual([]);
  });
});

describe("parseRecipients()", () => {
  it("takes the last key of a region, so that a new one is added below", () => {
    const [old, next, other] = [generateRegionKey("eu"), generateRegionKey("eu"), generateRegionKey("us")];

    const recipients = parseRecipients([old, next, other].map(({ recipient }) => recipient).join("\n"));

    expect([...recipients.keys()]).toEqual(["eu", "us"]);
    expect(recipients.get("eu")?.keyId).toBe(parseRegionKeys(next.privateKey, "eu")[0]?.keyId);
  });

  it("refuses a private key: it must not lie where everyone reads", () => {
    expect(() => parseRecipients(generateRegionKey("eu").privateKey)).toThrow("line 1");
  });
});

describe("generateRegionKey()", () => {
  it("makes halves that belong together, and a private one that logs take out", () => {
    const { privateKey, recipient } = generateRegionKey("eu");

    expect(toRecipients(privateKey, "eu")).toEqual([recipient]);
    expect(scrub(`key ${privateKey} of eu`)).toBe("key REGION+[secret] of eu");
  });
});

function withOtherId(text: string): string {
  const id = text.split("+")[4] as string;
  return text.replace(id, id.startsWith("0") ? `1${id.slice(1)}` : `0${id.slice(1)}`);
}
