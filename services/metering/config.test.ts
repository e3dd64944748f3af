import { describe, expect, it } from "vitest";
import { readConfig } from "./config.ts";

const needed = { WEIR_DATABASE_URL: "postgres://m:p@127.0.0.1:1/m", WEIR_NATS_URL: "nats://127.0.0.1:1" };

describe("readConfig()", () => {
  it("needs only a database and a bus", () => {
    expect(readConfig(needed)).toMatchObject({
      WEIR_LISTEN: { host: "127.0.0.1", port: 7401 },
      WEIR_REGIONS: ["eu", "us"],
    });
  });

  it("takes a region once", () => {
    expect(readConfig({ ...needed, WEIR_REGIONS: "eu, ap-south-1,eu" }).WEIR_REGIONS).toEqual(["eu", "ap-south-1"]);
  });

  it.each(["eu.us", "*", "EU", ">", " , ", "-eu"])("refuses the regions %j", (regions) => {
    const read = () => readConfig({ ...needed, WEIR_REGIONS: regions });

    expect(read).toThrowError(expect.objectContaining({ reason: "SETTING_INVALID" }));
  });

  it("refuses a setting that it does not have", () => {
    expect(() => readConfig({ ...needed, WEIR_REGION: "eu" })).toThrowError(/WEIR_REGION is not a setting/);
  });
});
