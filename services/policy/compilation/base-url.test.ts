import { describe, expect, it } from "vitest";
import { readBaseUrl } from "./base-url.ts";

describe("readBaseUrl()", () => {
  it.each([
    ["https://api.openai.com/v1", "https://api.openai.com/v1"],
    ["https://API.example.com:443/v1//", "https://api.example.com/v1"],
    ["https://10.1.2.3:8443", "https://10.1.2.3:8443"],
    ["http://127.0.0.1:11434/v1", "http://127.0.0.1:11434/v1"],
    ["http://localhost:8000", "http://localhost:8000"],
    ["http://[::1]:8000/v1", "http://[::1]:8000/v1"],
  ])("reads %s", (text, url) => {
    expect(readBaseUrl(text)).toEqual({ url });
  });

  it.each([
    ["", "URL_MALFORMED"],
    ["api.openai.com/v1", "URL_MALFORMED"],
    ["https:/api.openai.com", "URL_MALFORMED"],
    ["https:\\\\api.openai.com", "URL_MALFORMED"],
    [" https://api.openai.com", "URL_MALFORMED"],
    ["https://api.openai.com/v 1", "URL_MALFORMED"],
    ["https://", "URL_MALFORMED"],
    ["ftp://api.openai.com", "URL_SCHEME"],
    ["javascript://x", "URL_SCHEME"],
    ["http://api.openai.com", "URL_SCHEME"],
    ["http://10.0.0.1", "URL_SCHEME"],
    ["http://127.0.0.1.example.com", "URL_SCHEME"],
    ["https://me@api.openai.com", "URL_USER_INFO"],
    ["https://me:pw@api.openai.com", "URL_USER_INFO"],
    ["https://@api.openai.com", "URL_USER_INFO"],
    ["https://api.openai.com/v1?key=1", "URL_QUERY"],
    ["https://api.openai.com/v1?", "URL_QUERY"],
    ["https://api.openai.com/v1#a", "URL_QUERY"],
    ["https://169.254.169.254/latest", "URL_ADDRESS"],
    ["https://2852039166", "URL_ADDRESS"],
    ["https://0xa9fea9fe", "URL_ADDRESS"],
    ["https://0251.0376.0251.0376", "URL_ADDRESS"],
    ["https://①⑥⑨.254.169.254", "URL_ADDRESS"],
    ["https://[::ffff:169.254.169.254]", "URL_ADDRESS"],
    ["https://[::169.254.169.254]", "URL_ADDRESS"],
    ["https://[64:ff9b::a9fe:a9fe]", "URL_ADDRESS"],
    ["https://[fe80::1]", "URL_ADDRESS"],
    ["https://[fd00:ec2::254]", "URL_ADDRESS"],
    ["https://[::]", "URL_ADDRESS"],
    ["https://0.0.0.0", "URL_ADDRESS"],
    ["https://255.255.255.255", "URL_ADDRESS"],
    ["https://metadata.google.internal./v1", "URL_ADDRESS"],
    ["https://METADATA.google.internal", "URL_ADDRESS"],
    ["https://100.100.100.200", "URL_ADDRESS"],
    ["https://\u0430pi.openai.com/v1", "URL_HOST"],
  ])("refuses %j", (text, rule) => {
    const reading = readBaseUrl(text);

    expect("problems" in reading && reading.problems.map((problem) => problem.rule)).toContain(rule);
  });

  it("repeats no password in what it says", () => {
    expect(JSON.stringify(readBaseUrl("http://me:hunter2@example.com"))).not.toContain("hunter2");
  });
});
