/** Runs an act when all that came before it has ended; acts never run at the same time. */
export type Turns = <Result>(act: () => Promise<Result>) => Promise<Result>;

/**
 * Lets batches in flight be taken apart one after the other, in the order in which they ask. Without it two batches that give way to each
 * other are taken apart side by side, go to the database at the same moment, and leave this process idle until both are back: one
 * waits for the other's work all the time. An act that throws ends its own turn only.
 */
export function createTurns(): Turns {
  let last: Promise<unknown> = Promise.resolve();
  return (act) => {
    const turn = last.then(act);
    last = turn.catch(() => {});
    return turn;
  };
}
