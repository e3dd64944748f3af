/** Where something stands in the files of a policy. */
export interface Place {
  /** Path of the file, as the tree was named on the command line. */
  readonly file: string;
  /** From 1. Absent when it is about the whole file. */
  readonly line?: number;
  /** From 1, in UTF-16 code units, as editors count. Absent with the line. */
  readonly column?: number;
}

/** A place as compilers write it: "policy/models.yaml:12:9". */
export function formatPlace({ file, line, column }: Place): string {
  return [file, line, column].filter((part) => part !== undefined).join(":");
}
