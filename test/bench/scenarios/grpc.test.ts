import { describe, expect, it } from "vitest";
import { toReport } from "./grpc.ts";

/** As h2load of nghttp2 1.52 prints it at the end of a run with -D. */
const OUTPUT = `finished in 2.00s, 2934.00 req/s, 3.64MB/s
requests: 5868 total, 5932 started, 5868 done, 5866 succeeded, 2 failed, 0 errored, 0 timeout
status codes: 5866 2xx, 0 3xx, 2 4xx, 0 5xx
`;

describe("grpc", () => {
  it("what h2load prints becomes a report: calls that came back well, those that failed, and their events", () => {
    const report = toReport(OUTPUT, 2, 64);
    expect(report).toMatchObject({ requests: 5_866, rps: 2_933, events: 5_866 * 64 });
    expect(report.errors.reset).toBe(2);
  });

  it("anything else that it prints is an error", () => {
    expect(() => toReport("nothing", 2, 0)).toThrow("Cannot read");
  });
});
