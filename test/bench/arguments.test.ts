import { describe, expect, it } from "vitest";
import { readArguments } from "./arguments.ts";

describe("arguments", () => {
  it("without any, everything runs in five rounds", () => {
    expect(readArguments([])).toMatchObject({ mode: "full", rounds: 5, write: false });
  });

  it("names are a list", () => {
    const { only, contenders } = readArguments(["--only", "streams,unary-4.5", "--contenders", "relay"]);
    expect(only).toEqual(["streams", "unary-4.5"]);
    expect(contenders).toEqual(["relay"]);
  });

  it.each([
    ["30m", 30],
    ["90s", 1.5],
    ["1h", 60],
  ])("a soak of %s lasts %d minutes", (text, minutes) => {
    expect(readArguments(["--soak", text])).toMatchObject({ mode: "soak", soakMinutes: minutes });
  });

  it.each([
    [["--soak", "long"], "--soak"],
    [["--rounds", "0"], "--rounds"],
    [["--quick", "--growth"], "choose one"],
    [["--unheard-of"], "unheard-of"],
  ])("%j is refused", (argv, words) => {
    expect(() => readArguments(argv)).toThrow(words);
  });
});
