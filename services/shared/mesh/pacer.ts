/**
 * Creates what takes things one by one and does `act` with each, in their order and never at once: with at most `eachTurn` of them in a turn
 * of the event loop, so that others get their turns between.
 */
export function createPacer<T>(eachTurn: number, act: (thing: T) => void): (thing: T) => void {
  const waiting: T[] = [];
  const actOnSome = (): void => {
    const some = waiting.splice(0, eachTurn);
    if (waiting.length > 0) setImmediate(actOnSome);
    for (const thing of some) act(thing);
  };
  return (thing) => {
    waiting.push(thing);
    if (waiting.length === 1) setImmediate(actOnSome);
  };
}
