/**
 * A fault of the machine, as far as the product can tell: loaded into a router before its own code (NODE_OPTIONS=--import), it makes a
 * snapshot deadly that has one of these models, as soon as a decision asks for it by its id in a Map.
 */
const FAULTS: Readonly<Record<string, () => void>> = {
  "poison-loops": () => {
    for (;;);
  },
  // Not the decision but something that it began, once the snapshot is swapped in.
  "poison-throws-later": () => void setTimeout(fail, 200),
  "poison-throws": fail,
};

function fail(): never {
  throw new Error("poisoned by a snapshot");
}

const get = Map.prototype.get;
Map.prototype.get = function (this: Map<unknown, unknown>, key: unknown) {
  if (typeof key === "string" && key.startsWith("poison-")) FAULTS[key]?.();
  return get.call(this, key);
};
