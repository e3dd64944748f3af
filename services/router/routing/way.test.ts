import { expect, it } from "vitest";
import { Dialect, Server } from "../../../gen/weir/policy/v1/policy_pb.ts";
import { findDialect } from "../providers/registry.ts";
import { Way } from "./way.ts";

it("a way has a path for streams and another for answers in one piece, whichever was asked for first", () => {
  const format = findDialect(Dialect.GEMINI, Server.UNSPECIFIED)!.typed;
  const settings = { apiVersion: "", cloudRegion: "" };
  const way = new Way({ kind: "typed", format }, { basePath: "/v1", settings, headers: [] });

  const paths = [true, false, true].map((streamed) => way.getPath("small", streamed));

  expect(paths.map((path) => path.includes(":streamGenerateContent"))).toEqual([true, false, true]);
});
