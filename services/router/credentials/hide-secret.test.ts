import { describe, expect, it } from "vitest";
import { createSecretHider } from "./hide-secret.ts";

describe("createSecretHider()", () => {
  const SECRET = "sk-abc/def+ghi=?";

  it.each([
    ["as it is", SECRET],
    ["percent-encoded", encodeURIComponent(SECRET)],
    ["in base64", Buffer.from(SECRET).toString("base64")],
    ["in base64url", Buffer.from(SECRET).toString("base64url")],
    ["in base64 without its padding", Buffer.from(SECRET).toString("base64").replaceAll("=", "")],
    ["in hexadecimal digits", Buffer.from(SECRET).toString("hex")],
    ["in capital hexadecimal digits", Buffer.from(SECRET).toString("hex").toUpperCase()],
  ])("takes out a secret that is quoted %s", (_, form) => {
    expect(createSecretHider(SECRET)(`no ${form}, and ${form}`)).toMatch(/^no …=*, and …=*$/);
  });

  it("takes out each part of a secret of several, but no word that is too short to be one", () => {
    const secret = JSON.stringify({ accessKeyId: "AKIAEXAM", secretAccessKey: "wJalr/XUtn", region: "eu-west" });

    const hide = createSecretHider(secret);

    expect(hide("key AKIAEXAM with wJalr/XUtn in eu-west")).toBe("key … with … in eu-west");
    expect(hide(`all: ${secret}`)).toBe("all: …");
    expect(hide(JSON.stringify({ said: secret }))).toBe('{"said":"…"}');
  });

  it("leaves everything as it is when there is no secret", () => {
    expect(createSecretHider("")("anything")).toBe("anything");
  });
});
