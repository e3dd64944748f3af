import { createDiskRouter } from "../contenders/disk-router.ts";
import { createRelay } from "../contenders/relay.ts";
import { PROMPT_BYTES } from "../prompts.ts";
import { createMemoryScenario } from "../scenarios/memory.ts";
import { createSaturation } from "../scenarios/unary.ts";
import { createComparison, type Stage } from "./stage.ts";

const bytes = PROMPT_BYTES;

/** What must not cost more when there is more of it, one stage each. */
export const comparisons: readonly Stage[] = [
  createComparison({
    name: "growth-keys",
    about: "Keys in the keyring; requests take turns with 10,000 of them",
    contenders: [
      ...[10, 1_000, 100_000].map((keys) =>
        createDiskRouter({ name: `keys-${keys}`, about: `Weir's router from disk with ${keys} keys`, keys }),
      ),
      createDiskRouter({ name: "keys-10-again", about: "The same as keys-10", keys: 10 }),
    ],
    scenarios: [
      createSaturation({ name: "growth-keys", about: "Saturation with many keys, prompts of 4.5 KB", bytes }),
    ],
  }),
  createComparison({
    name: "growth-models",
    about: "Models in the snapshot",
    contenders: [
      ...[10, 100, 1_000].map((models) =>
        createDiskRouter({ name: `models-${models}`, about: `Weir's router from disk with ${models} models`, models }),
      ),
      createDiskRouter({ name: "models-10-again", about: "The same as models-10", models: 10 }),
    ],
    scenarios: [
      createSaturation({ name: "growth-models", about: "Saturation with many models, prompts of 4.5 KB", bytes }),
    ],
  }),
  createComparison({
    name: "growth-rules",
    about: "Rules in the snapshot, of which few match",
    contenders: [
      ...[0, 1, 1_000].map((rules) =>
        createDiskRouter({ name: `rules-${rules}`, about: `Weir's router from disk with ${rules} rules`, rules }),
      ),
      createDiskRouter({ name: "rules-0-again", about: "The same as rules-0", rules: 0 }),
    ],
    scenarios: [
      createSaturation({ name: "growth-rules", about: "Saturation with many rules, prompts of 4.5 KB", bytes }),
    ],
  }),
  createComparison({
    name: "growth-routers",
    about: "Routers that share one port and one core",
    contenders: [
      ...[1, 2].map((routers) =>
        createDiskRouter({
          name: `routers-${routers}`,
          about: `${routers} of Weir's routers from disk on one port`,
          routers,
        }),
      ),
      createDiskRouter({ name: "routers-1-again", about: "The same as routers-1", routers: 1 }),
    ],
    scenarios: [
      createSaturation({
        name: "growth-routers",
        about: "Saturation of routers on one port, prompts of 4.5 KB",
        bytes,
      }),
    ],
  }),
  createComparison({
    name: "growth-streams",
    about: "Open streams",
    contenders: [
      createRelay("relay"),
      createDiskRouter({ name: "weir-disk", about: "Weir's router alone, from disk" }),
    ],
    scenarios: [100, 1_000, 4_000].map((streams) => createMemoryScenario(streams, 12)),
  }),
];
