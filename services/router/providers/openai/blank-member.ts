const SPACE = 0x20;

/**
 * Writes spaces over a member of an object, and over the comma that parted it from its neighbour. Offsets of the object and of the
 * member's value are given; the member's name has no escapes.
 */
export function blankMember(
  bytes: Buffer,
  objectStart: number,
  valueStart: number,
  valueEnd: number,
  objectEnd: number,
): void {
  let from = bytes.lastIndexOf(0x22, bytes.lastIndexOf(0x22, valueStart - 1) - 1);
  let to = valueEnd;
  let before = from - 1;
  while (before > objectStart && bytes[before]! <= SPACE) before -= 1;
  if (bytes[before] === 0x2c) {
    from = before;
  } else {
    while (to < objectEnd && bytes[to]! <= SPACE) to += 1;
    if (bytes[to] === 0x2c) to += 1;
    else to = valueEnd;
  }
  bytes.fill(SPACE, from, to);
}
