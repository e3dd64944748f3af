// A router under a long run of bad requests keeps its memory: what it refuses, it lets go.
import { afterAll, beforeAll, expect, it } from "vitest";
import { type Mesh, startMesh } from "../mesh.ts";
import { readRssBytes, sendRaw } from "./raw.ts";

/** Growth allowed between two equal runs, bytes: what the heap takes before it is swept, with room for a loaded machine. */
const ALLOWED_BYTES = 96 << 20;

let mesh: Mesh;

beforeAll(async () => {
  mesh = await startMesh({ name: "flat-memory" });
});

afterAll(() => mesh?.stop());

async function runOnce(): Promise<void> {
  const url = mesh.routerUrl("eu");
  const chat = (body: string, key = mesh.key) =>
    fetch(`${url}/v1/chat/completions`, {
      method: "POST",
      body,
      headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    }).then((response) => response.arrayBuffer());
  const message = '"messages":[{"role":"user","content":"hello"}]';
  const large = `{"model":"no-such-model","messages":[{"role":"user","content":"${"x".repeat(1 << 20)}"}]}`;
  const deep = `{"model":"small","messages":${"[".repeat(200_000)}`;
  for (let round = 0; round < 20; round += 1) {
    await Promise.all([
      chat(large),
      chat(deep),
      chat('{"model"'),
      chat(`{"model":"model-${Math.random()}",${message}}`),
      chat(`{"model":"small",${message}}`, `nonsense-${Math.random()}`),
      fetch(`${url}/${Math.random()}`).then((response) => response.arrayBuffer()),
      sendRaw(url, `GET / HTTP/1.1\r\nhost: x\r\nx-a: ${"y".repeat(65_536)}\r\n\r\n`),
      sendRaw(url, "nonsense\r\n\r\n"),
    ]);
  }
}

it("the second run needs no more memory than the first", async () => {
  const { pid } = mesh.processes["router-eu"];
  await runOnce();
  await runOnce();
  const before = readRssBytes(pid);

  await runOnce();
  await runOnce();

  expect(mesh.processes["router-eu"].pid).toBe(pid);
  expect(readRssBytes(pid) - before).toBeLessThan(ALLOWED_BYTES);
});
