/**
 * Most values of a call that become objects: some eight times what the longest conversations have. A router reads, checks and translates so
 * many within some 50 ms, and all other callers wait meanwhile (the README has the figures). What is relayed becomes none.
 */
export const MOST_CALL_VALUES = 50_000;
