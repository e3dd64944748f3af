// @peculiar/x509 is built with tsyringe, which wants these three functions of the proposal "Metadata Reflection" and asks for a polyfill of a
// thousand lines. What it notes by them is which class stands for which interface; this much is enough for it, and its tests' outcome is
// checked by Node and OpenSSL, which read the certificates.
const notes = new WeakMap<object, Map<unknown, unknown>>();

const read = (key: unknown, target: object): unknown => notes.get(target)?.get(key);

Object.assign(Reflect, {
  defineMetadata(key: unknown, value: unknown, target: object) {
    notes.set(target, (notes.get(target) ?? new Map<unknown, unknown>()).set(key, value));
  },
  getOwnMetadata: read,
  getMetadata: read,
});
